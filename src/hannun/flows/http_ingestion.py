"""Ingests messages over HTTP: a body becomes a batch, which is counted like any other and answered after the commit.

    body ──► items (JSON object, array or NDJSON) ──► batch ──► count ──► one result for each item

A body is counted as a whole or not at all. Sending it again is safe: the messages counted before are repeats.
"""

import json
import queue
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from hannun import deadlines
from hannun.counting.batch_counter import BatchCounter
from hannun.domain.batch import MessageOutcome, ReceivedMessage
from hannun.domain.field_values import without_byte_order_mark
from hannun.domain.response_schemas import MessageResult, MessagesTaken, encode
from hannun.errors import BadRequest, Busy, ConnectionLost

_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
_RETRY_S = 1.0


class _Head(msgspec.Struct):
    """The fields that identify an item. They may be of any type; the decoder checks the rest."""

    type: Any = None
    messageId: Any = None


_HEAD = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a body: its bytes, its type (or "") and its id, if it has one."""

    raw: bytes
    kind: str
    message_id: str | None


class HttpIngestion:
    """Counts bodies of messages. Each counter counts one body at a time; further bodies wait for a free counter."""

    def __init__(
        self,
        counters: Sequence[BatchCounter],
        *,
        messages_max: int,
        wait_s_max: float,
        now: Callable[[], int],
    ) -> None:
        self._free: queue.LifoQueue[BatchCounter] = queue.LifoQueue()
        for counter in counters:
            self._free.put(counter)
        self._messages_max = messages_max
        self._wait_s_max = wait_s_max
        self._now = now

    def ingest(self, body: bytes, *, lines: bool) -> bytes:
        """Count the messages of a body. Returns the JSON answer with the result of each.

        Args:
            body: a JSON object, a JSON array, or with `lines` one JSON object on each line.

        Raises:
            BadRequest: the body is not JSON, or has too many messages.
            Busy: too many bodies are being counted; nothing was counted.
            StoreUnavailable: PostgreSQL is unavailable. The body may or may not be counted; send it again.
        """
        items = _lines(body) if lines else _items(body)
        if len(items) > self._messages_max:
            raise BadRequest(
                "the body has {count} messages, and at most {count_max} are taken: send it in parts",
                code="too-many-messages",
                count=len(items),
                count_max=self._messages_max,
            )
        received_at = self._now()
        batch = [ReceivedMessage(item.kind, item.raw, received_at) for item in items]
        return _answer(items, self._count(batch) if batch else [])

    def _count(self, batch: Sequence[ReceivedMessage]) -> list[MessageOutcome]:
        """Count a batch, once more where the connection broke before anything of it was committed."""
        with self._free_counter() as counter:
            try:
                return counter.count(batch).outcomes()
            except ConnectionLost:
                return counter.count(batch).outcomes()

    @contextmanager
    def _free_counter(self) -> Iterator[BatchCounter]:
        try:
            counter = self._free.get(timeout=min(self._wait_s_max, deadlines.remaining_s()))
        except queue.Empty:
            raise Busy("too many bodies wait to be counted: send it again later", retry_after_s=_RETRY_S) from None
        try:
            yield counter
        finally:
            self._free.put(counter)


def _items(body: bytes) -> list[Item]:
    """The items of a JSON body. Broken JSON inside an array leaves no item boundaries, so the body is refused (400)."""
    text = without_byte_order_mark(body.strip(b" \t\r\n")).lstrip(b" \t\r\n")
    if not text.startswith((b"{", b"[")):
        raise BadRequest("the body is neither a JSON object nor a JSON array", code="not-json")
    try:
        if text.startswith(b"["):
            return [_item(bytes(raw)) for raw in _ITEMS.decode(text)]
        _RAW.decode(text)
        return [_item(text)]
    except RecursionError:
        # One item nests deeper than the parser goes. Only that item becomes a dead letter.
        return [_item(raw) for raw in _split(text)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _is_json_grammar(text):
            # An item holds half of a surrogate pair: JSON by its grammar, but no text. Only that item is a dead letter.
            return [_item(raw) for raw in _split(text)]
        if _is_object(text.partition(b"\n")[0]):  # NDJSON with another content type, as a plain curl sends it
            return _lines(text)
        raise BadRequest("the body is not JSON ({found})", code="not-json", found=error) from error


def _is_json_grammar(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_object(line: bytes) -> bool:
    try:
        _HEAD.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _split(text: bytes) -> list[bytes]:
    """The items of a JSON array (or the one object), split at the brackets alone, however deeply they nest."""
    inner = 1 if text.startswith(b"[") else 0
    depth, start, items = 0, inner, []
    for token in _TOKENS.finditer(text):
        mark = token.group()
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
        if (mark == b"," and depth == inner) or depth < inner or (depth == 0 and inner == 0):
            end = token.end() if inner == 0 else token.start()
            items.append(text[start:end].strip())
            start = token.end()
            if depth == 0 and text[start:].strip():
                raise BadRequest("the body is not JSON: something follows its end", code="not-json")
    if depth != 0:
        raise BadRequest("the body is not JSON: its brackets do not close", code="not-json")
    return items


def _lines(body: bytes) -> list[Item]:
    """The items of NDJSON. Each invalid line becomes a dead letter of its own.

    Any line may begin with a byte-order mark: the body may be files that were joined.
    """
    lines = (without_byte_order_mark(line.strip(b" \t\r")).lstrip(b" \t\r") for line in body.split(b"\n"))
    return [_item(line) for line in lines if line]


def _item(raw: bytes) -> Item:
    try:
        head = _HEAD.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Item(raw, "", None)  # the decoder finds the reason
    kind = head.type if isinstance(head.type, str) else ""
    message_id = head.messageId if isinstance(head.messageId, str) and 1 <= len(head.messageId) <= 64 else None
    return Item(raw, kind, message_id)


def _answer(items: Sequence[Item], outcomes: Sequence[MessageOutcome]) -> bytes:
    counts = Counter[str](outcome.result for outcome in outcomes)
    results = [
        MessageResult(item.message_id, outcome.result, UNSET if outcome.reason is None else outcome.reason)
        for item, outcome in zip(items, outcomes, strict=True)
    ]
    return encode(MessagesTaken(counts["counted"], counts["repeated"], counts["dead-letter"], results))
