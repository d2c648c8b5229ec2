"""Senders deliver the messages of the simulated platform to Hannun, over HTTP or over Kafka.

A sender returns when Hannun has accepted all messages. If it raises, Hannun may have accepted some of them. The caller
then sends the same messages again: Hannun guarantees that a repeat changes nothing.

    HTTP    POST a batch -> 200                      send the next batch
                         -> 413                      send its two halves, one after the other
                         -> 401                      send it once more, with a new token
                         -> 429, 5xx, no response    wait and send it again; after the last attempt: `Transient`
                         -> any other status         `OperatorError`, since another attempt cannot help
    Kafka   produce all  -> all acknowledged within the deadline, else `KafkaUnavailable`
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol
from urllib.parse import urlsplit

import httpx2
import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as ProducedMessage

from hannun.errors import Busy, KafkaUnavailable, OperatorError, Transient
from hannun.sandbox.message_format import Message

# The service's limits are 1,000 messages and 1 MB. The difference is a margin for proxies in between.
BATCH_COUNT_MAX = 1_000
BATCH_BYTES_MAX = 900_000

ATTEMPTS_MAX = 5
BACKOFF_S = 0.2
BACKOFF_S_MAX = 5.0
# A longer Retry-After, of an hour for example, is cut to this.
RETRY_AFTER_S_MAX = 30.0

KafkaOptions = Callable[[], Mapping[str, str | int | float | bool]]
"""Returns librdkafka's options that say where the brokers are and how a client that is created now logs in."""


class Sender(Protocol):
    """Delivers messages to Hannun."""

    def send(self, messages: Sequence[Message]) -> None:
        """Send the messages, and return when Hannun has accepted all of them.

        Raises:
            Transient: Hannun did not accept all of them. Send the same messages again.
            OperatorError: a setting or a permission is wrong.
        """

    def close(self) -> None: ...


class HttpSender:
    """Posts messages to `POST {api}/api/v1/messages`.

    Args:
        api: the service's origin, without a path.
        token: a bearer token with role SERVICE, or a function that returns one. The function is called for each
            request, since tokens expire.
        body_format: a JSON array or NDJSON; the service accepts both.
        wait: waits this number of seconds between attempts. A program that must end promptly passes its stop event's
            `wait`: after that is set, no attempt waits.
        jitter: returns a number between 0 and 1, so that many senders do not retry at the same time.
    """

    def __init__(
        self,
        api: str,
        token: str | Callable[[], str],
        *,
        body_format: Literal["array", "ndjson"] = "array",
        timeout_s: float = 10.0,
        wait: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        # The sums over all responses: messages counted, repeated and deadLettered.
        self.result_counts: Counter[str] = Counter()
        self._url = f"{api.rstrip('/')}/api/v1/messages"
        self._token = token
        self._body_format = body_format
        self._wait = wait
        self._jitter = jitter
        # A proxy from the environment could not reach a service on the loopback interface of this machine.
        self._client = httpx2.Client(timeout=timeout_s, trust_env=not _is_loopback(api))

    def send(self, messages: Sequence[Message]) -> None:
        items = (msgspec.json.encode({**value, "type": topic}) for topic, _, value in messages)
        for batch in split_into_batches(items):
            self._send_batch(batch)

    def close(self) -> None:
        self._client.close()

    def _send_batch(self, batch: list[bytes]) -> None:
        """Send a batch. If the service refuses it as too large, send its halves."""
        response = self._post_with_retries(batch)
        if response.status_code == 413 and len(batch) > 1:
            # The service is configured with smaller limits than ours.
            half = len(batch) // 2
            self._send_batch(batch[:half])
            self._send_batch(batch[half:])
            return
        if response.status_code != 200:
            raise OperatorError(
                f"posted {len(batch)} messages to {self._url}, got {response.status_code}: {response.text[:300]}",
                hint="check the address, and that the token has role SERVICE: "
                "`hannun token platform --role SERVICE` creates one",
            )
        self.result_counts += _result_counts(response)

    def _post_with_retries(self, batch: list[bytes]) -> httpx2.Response:
        """Post a batch until the service returns a status that another attempt would not change.

        Raises:
            Transient: there was no such response to the last attempt.
        """
        retry_after_s: float | None = None
        for attempt in range(1, ATTEMPTS_MAX + 1):
            result, retry_after_s = self._post_once(batch)
            if isinstance(result, httpx2.Response):
                # The function may return a newer token now. A second 401 means that the token is wrong.
                if result.status_code != 401 or not callable(self._token) or attempt > 1:
                    return result
            elif attempt < ATTEMPTS_MAX:
                self._wait(retry_delay_s(attempt, retry_after_s, self._jitter()))
        message = f"posted {len(batch)} messages to {self._url} {ATTEMPTS_MAX} times, got {result}"
        raise Transient(message) if retry_after_s is None else Busy(message, retry_after_s=retry_after_s)

    def _post_once(self, batch: list[bytes]) -> tuple[httpx2.Response | str, float | None]:
        """The response; or the reason to try again, and the seconds of Retry-After if the service sent them."""
        token = self._token() if callable(self._token) else self._token
        content, content_type = encode_body(batch, self._body_format)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        try:
            response = self._client.post(self._url, content=content, headers=headers)
        except (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError) as error:
            return f"{type(error).__name__}: {error}", None
        if response.status_code == 429 or response.status_code >= 500:
            return f"{response.status_code}", _retry_after_s(response)
        return response, None


class KafkaSender:
    """Produces messages to their topics, with the event's id as key, so that the messages of an event stay in order.

    It uses the Java client's default partitioner, like the rest of the platform. So all producers send the messages of
    an event to the same partition. The timestamp of a record is the time of sending, as with other producers.

    Args:
        options: of the connection.
        deadline_s: the time in which one `send` must be acknowledged.
    """

    def __init__(self, options: KafkaOptions, *, deadline_s: float = 20.0) -> None:
        self._options = options
        self._deadline_s = deadline_s
        self._producer: Producer | None = None

    def send(self, messages: Sequence[Message]) -> None:
        producer = self._producer = self._producer or self._create_producer()
        failures: list[str] = []

        def on_delivery(error: KafkaError | None, _: ProducedMessage) -> None:
            if error is not None:
                failures.append(str(error))

        end_s = time.monotonic() + self._deadline_s
        try:
            for topic, key, value in messages:
                _enqueue(producer, topic, key.encode(), msgspec.json.encode(value), on_delivery, end_s)
            unacknowledged = producer.flush(max(0.0, end_s - time.monotonic()))
        except (KafkaException, KafkaUnavailable) as error:
            failures.append(str(error))
            unacknowledged = len(producer)
        if failures or unacknowledged:
            self._discard_producer()
            reason = failures[0] if failures else f"{unacknowledged} unacknowledged after {self._deadline_s:g} s"
            raise KafkaUnavailable(
                f"sent {len(messages)} messages to {self._options()['bootstrap.servers']}, got: {reason}"
            )

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(self._deadline_s)
            self._discard_producer()

    def _create_producer(self) -> Producer:
        return Producer(
            {
                **self._options(),
                "acks": "all",
                "max.in.flight.requests.per.connection": 1,  # a repeated request does not overtake another one
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "delivery.timeout.ms": int(self._deadline_s * 1_000),
                # Only critical errors: others are in the exception, and would be printed between the demo's own lines.
                "log_level": 2,
            }
        )

    def _discard_producer(self) -> None:
        """Drop the producer and its queue: the messages that remain are sent again by the caller."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None


def split_into_batches(
    items: Iterable[bytes], count_max: int = BATCH_COUNT_MAX, bytes_max: int = BATCH_BYTES_MAX
) -> Iterator[list[bytes]]:
    """Split items into batches within both limits, in order. An item above `bytes_max` is a batch of its own."""
    batch: list[bytes] = []
    size = 0
    for item in items:
        # Each item takes one more byte for a comma or a line end. The array takes two for its brackets.
        if batch and (len(batch) == count_max or size + len(item) + 1 + 2 > bytes_max):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item) + 1
    if batch:
        yield batch


def encode_body(batch: Sequence[bytes], body_format: Literal["array", "ndjson"]) -> tuple[bytes, str]:
    """The request body and its content type."""
    if body_format == "ndjson":
        return b"\n".join(batch) + b"\n", "application/x-ndjson"
    return b"[" + b",".join(batch) + b"]", "application/json"


def retry_delay_s(attempts: int, retry_after_s: float | None, jitter: float) -> float:
    """The seconds to wait after this number of attempts.

    With a Retry-After it is that and a little more. Without, it grows exponentially. Both have an upper bound.

    Args:
        jitter: between 0 and 1.
    """
    if retry_after_s is not None:
        return min(retry_after_s, RETRY_AFTER_S_MAX) + BACKOFF_S * jitter
    return float(min(BACKOFF_S_MAX, BACKOFF_S * 2 ** (attempts - 1)) * (0.5 + jitter / 2))


def _enqueue(
    producer: Producer,
    topic: str,
    key: bytes,
    value: bytes,
    on_delivery: Callable[[KafkaError | None, ProducedMessage], None],
    end_s: float,
) -> None:
    """Add one message to the producer's queue. While the queue is full, wait, at most until `end_s` (monotonic)."""
    while True:
        try:
            producer.produce(topic, key=key, value=value, on_delivery=on_delivery)
        except BufferError:
            if time.monotonic() > end_s:
                raise KafkaUnavailable(
                    f"the producer queue stayed full until the deadline, and cannot take more messages for {topic}"
                ) from None
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _retry_after_s(response: httpx2.Response) -> float | None:
    """The seconds of Retry-After; None if the header is missing or contains a date, which Hannun never sends."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _result_counts(response: httpx2.Response) -> Counter[str]:
    body = response.json()
    return Counter({name: body.get(name, 0) for name in ("counted", "repeated", "deadLettered")})


def _is_loopback(api: str) -> bool:
    return urlsplit(api).hostname in ("127.0.0.1", "::1", "localhost")
