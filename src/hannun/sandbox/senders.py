"""How the simulated platform's messages reach Hannun: over HTTP or over Kafka.

A sender either has everything taken and returns, or raises, and then some of it may have been taken.
What to do then is always the same: send the same again. A repeat changes nothing (that is Hannun's
promise, and a demo is a good place to rely on it).

    HTTP    batch -> POST -> 200             the next batch
                          -> 413             two halves, one after the other
                          -> 401             once more, with a new token
                          -> 429, 5xx, none  wait, the same batch; out of tries: `Transient`
                          -> anything else   `OperatorError`: no trying helps
    Kafka   all produced -> all acknowledged within the deadline, else `KafkaUnavailable`
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Protocol
from urllib.parse import urlsplit

import httpx2
import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivery

from hannun.errors import Busy, KafkaUnavailable, OperatorError, Transient
from hannun.sandbox.wording import Message

# The service's own limits are 1,000 messages and 1 MB; the rest is for what stands between.
BATCH_COUNT_MAX = 1_000
BATCH_BYTES_MAX = 900_000

TRIES_MAX = 5
BACKOFF_S = 0.2
BACKOFF_S_MAX = 5.0
# A service that says "in an hour" is asked again in half a minute all the same.
RETRY_AFTER_S_MAX = 30.0


class Sender(Protocol):
    """Whoever takes messages to Hannun."""

    def send(self, messages: Sequence[Message]) -> None:
        """Return when all are taken.

        Raises:
            Transient: not all were; send the same again.
            OperatorError: a setting or a right is wrong.
        """

    def close(self) -> None: ...


class HttpSender:
    """Posts messages to `POST {api}/api/v1/messages`.

    Args:
        api: the service's origin, without a path.
        token: a bearer token with role SERVICE, or who gives one (asked for each request, as tokens expire).
        form: how a batch is written; the service takes both.
        wait: waits so many seconds between tries. A program that must end promptly hands in its stop
            event's `wait`: once that is set, no try waits any more.
        jitter: between 0 and 1, so that many senders do not come back at once.
    """

    def __init__(
        self,
        api: str,
        token: str | Callable[[], str],
        *,
        form: Literal["array", "ndjson"] = "array",
        timeout_s: float = 10.0,
        wait: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.answered: Counter[str] = Counter()  # what Hannun said of the messages: counted, repeated, deadLettered
        self._url = f"{api.rstrip('/')}/api/v1/messages"
        self._token = token
        self._form = form
        self._wait = wait
        self._jitter = jitter
        # A proxy out of the environment cannot reach this machine's own service.
        self._client = httpx2.Client(timeout=timeout_s, trust_env=not _is_this_machine(api))

    def send(self, messages: Sequence[Message]) -> None:
        items = (msgspec.json.encode({**value, "type": topic}) for topic, _, value in messages)
        for batch in batches(items):
            self._post(batch)

    def close(self) -> None:
        self._client.close()

    def _post(self, batch: list[bytes]) -> None:
        """Have one batch taken, whole or in halves."""
        response = self._try(batch)
        if response.status_code == 413 and len(batch) > 1:
            # The service is set to smaller limits than ours.
            half = len(batch) // 2
            self._post(batch[:half])
            self._post(batch[half:])
            return
        if response.status_code != 200:
            raise OperatorError(
                f"posted {len(batch)} messages to {self._url}, got {response.status_code}: {response.text[:300]}",
                hint="check the address, and that the token has role SERVICE (hannun token)",
            )
        self.answered += _counts(response)

    def _try(self, batch: list[bytes]) -> httpx2.Response:
        """The service's word on a batch, asked until it gives one that another try would not change."""
        refused_s: float | None = None
        for tried in range(1, TRIES_MAX + 1):
            found, refused_s = self._once(batch)
            if isinstance(found, httpx2.Response):
                # A callable may have a newer token by now; one that is refused twice is wrong.
                if found.status_code != 401 or not callable(self._token) or tried > 1:
                    return found
            elif tried < TRIES_MAX:
                self._wait(pause_s(tried, refused_s, self._jitter()))
        message = f"posted {len(batch)} messages to {self._url} {TRIES_MAX} times, got {found}"
        raise Transient(message) if refused_s is None else Busy(message, retry_after_s=refused_s)

    def _once(self, batch: list[bytes]) -> tuple[httpx2.Response | str, float | None]:
        """The answer, or else why there is none yet and after how many seconds the service wants to be asked again."""
        token = self._token() if callable(self._token) else self._token
        content, kind = written(batch, self._form)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        try:
            response = self._client.post(self._url, content=content, headers=headers)
        except (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError) as error:
            return f"{type(error).__name__}: {error}", None
        if response.status_code == 429 or response.status_code >= 500:
            return f"{response.status_code}", _retry_after_s(response)
        return response, None


class KafkaSender:
    """Produces messages to the topics they name, keyed by event so that an event's stay in order.

    The partitioner is that of Java's client, as the rest of the platform uses: the same event lands in
    the same partition, whoever writes. The time of a record is the broker's present, as in life.

    Args:
        bootstrap: host:port of brokers, with commas between.
        deadline_s: how long one `send` may take until all is acknowledged.
    """

    def __init__(self, bootstrap: str, *, deadline_s: float = 20.0) -> None:
        self._bootstrap = bootstrap
        self._deadline_s = deadline_s
        self._producer: Producer | None = None

    def send(self, messages: Sequence[Message]) -> None:
        producer = self._producer = self._producer or self._open()
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: Delivery) -> None:
            if error is not None:
                failures.append(str(error))

        end_s = time.monotonic() + self._deadline_s
        try:
            for topic, key, value in messages:
                _produce(producer, topic, key.encode(), msgspec.json.encode(value), delivered, end_s)
            left = producer.flush(max(0.0, end_s - time.monotonic()))
        except (KafkaException, KafkaUnavailable) as error:
            failures.append(str(error))
            left = len(producer)
        if failures or left:
            self._abandon()
            reason = failures[0] if failures else f"{left} unacknowledged after {self._deadline_s:g} s"
            raise KafkaUnavailable(f"sent {len(messages)} messages to {self._bootstrap}, got: {reason}")

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(self._deadline_s)
            self._abandon()

    def _open(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "delivery.timeout.ms": int(self._deadline_s * 1_000),
                # What goes wrong is in the error raised; librdkafka would write it over the demo's lines too.
                "log_level": 2,
            }
        )

    def _abandon(self) -> None:
        """Forget this producer and what it still holds: an idempotent one that lost a message may never go on."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None


def batches(
    items: Iterable[bytes], count_max: int = BATCH_COUNT_MAX, bytes_max: int = BATCH_BYTES_MAX
) -> Iterator[list[bytes]]:
    """Cut into batches within both limits, in order; a single item above `bytes_max` goes alone."""
    batch: list[bytes] = []
    size = 0
    for item in items:
        # One byte of comma or line end for each, and the two brackets.
        if batch and (len(batch) == count_max or size + len(item) + 1 + 2 > bytes_max):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item) + 1
    if batch:
        yield batch


def written(batch: Sequence[bytes], form: Literal["array", "ndjson"]) -> tuple[bytes, str]:
    """The body and its content type."""
    if form == "ndjson":
        return b"\n".join(batch) + b"\n", "application/x-ndjson"
    return b"[" + b",".join(batch) + b"]", "application/json"


def pause_s(tried: int, retry_after_s: float | None, jitter: float) -> float:
    """How long to wait after so many tries: what the service asked for and a little more, else growing, and bounded.

    Args:
        jitter: between 0 and 1.
    """
    if retry_after_s is not None:
        return min(retry_after_s, RETRY_AFTER_S_MAX) + BACKOFF_S * jitter
    return float(min(BACKOFF_S_MAX, BACKOFF_S * 2 ** (tried - 1)) * (0.5 + jitter / 2))


def _produce(
    producer: Producer,
    topic: str,
    key: bytes,
    value: bytes,
    delivered: Callable[[KafkaError | None, Delivery], None],
    end_s: float,
) -> None:
    """Hand one message to the producer, waiting while its queue is full, at most until `end_s`."""
    while True:
        try:
            producer.produce(topic, key=key, value=value, on_delivery=delivered)
        except BufferError:
            if time.monotonic() > end_s:
                raise KafkaUnavailable(f"the queue to {topic} is full and does not get emptier") from None
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds; None where there is no such header, or a date (which Hannun never sends)."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _counts(response: httpx2.Response) -> Counter[str]:
    answer = response.json()
    return Counter({name: answer.get(name, 0) for name in ("counted", "repeated", "deadLettered")})


def _is_this_machine(api: str) -> bool:
    return urlsplit(api).hostname in ("127.0.0.1", "::1", "localhost")
