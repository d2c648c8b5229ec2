"""Fetches the totals of events from a channel, and survives whatever it does.

    fetch(ids) ─► a place among the calls under way ─► deadline of the whole call
        for each page:
            attempt ─► address (looked up, checked) ─► token (OAuth2) ─► HTTP exchange ─► classified
               ▲                                                                 │
               └── wait with jitter, or what Retry-After says ◄── may succeed ───┤
                                                                                 ├─► document ─► raw counts ─► checked
                                                                                 └─► over quota, failed
        ─► Reply

An attempt is repeated where that is safe: nothing was sent, or the call only reads. A reply that says "over quota" is
not repeated: another attempt would cost another unit.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import stamina
import stamina.instrumentation

from hannun.channels.access import Access
from hannun.channels.addresses import Addresses, AddressRefused, Lookup, NameNotFound
from hannun.channels.calls import Calls, Origin, token_call
from hannun.channels.declaration import Declaration, Limits, OAuth2Authentication
from hannun.channels.http_exchange import ExchangeFailed, HttpExchange, Received
from hannun.channels.mapping import RawCounts, mapping_of
from hannun.channels.paging import Page, PagingFailed, first_page, next_page
from hannun.channels.reply import Reply
from hannun.channels.responses import Classified, classify, retry_after_s, usage_pause_s
from hannun.channels.tokens import TokenSource
from hannun.domain.channel_totals import checked
from hannun.telemetry import log, metrics

CALLS_AT_ONCE = 32
BACKOFF_S = 0.1
BACKOFF_S_MAX = 2.0
JITTER_S = 0.2

_MAY_SUCCEED = frozenset(f"status-{status}" for status in (408, 500, 502, 503, 504))
"""Statuses after which another attempt may succeed."""
_BROKEN = frozenset({"timeout", "connect", "name", "protocol"})

# Its own hooks would write a line, and count, for each retry. Ours count each call.
stamina.instrumentation.set_on_retry_hooks([])


class _Failed(Exception):
    """An attempt brought no document.

    Args:
        again: another attempt may succeed and does no harm.
    """

    def __init__(self, reason: str, *, again: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.retry_after_s = retry_after_s


class _UnknownId(Exception):
    """The channel says that it does not know the event."""


class _Progress:
    """What one `fetch` has done so far."""

    __slots__ = ("ends_at_s", "units", "wait_s")

    def __init__(self, ends_at_s: float) -> None:
        self.ends_at_s = ends_at_s
        self.units = 0
        self.wait_s: float | None = None


class ChannelClient:
    """The API of one channel. Use it as an asynchronous context manager, in one event loop.

    Args:
        present_access: returns the access of that moment, from the access in use: credentials may be rotated.
        calls_at_once: calls under way at the same time; further ones wait.
        private_addresses: allow servers inside our own network, for development.
        tls: verifies the server; by default with the certificates of the system. Clients can share one: it takes time
            and memory to read them.
        look_up: finds the addresses of a name, by default that of the system.
        now_s: returns the seconds since 1970, for signatures and dates in headers.
        open_exchange: opens what sends the requests.
    """

    def __init__(
        self,
        declaration: Declaration,
        access: Access,
        *,
        present_access: Callable[[Access], Access] | None = None,
        calls_at_once: int = CALLS_AT_ONCE,
        private_addresses: bool = False,
        tls: ssl.SSLContext | None = None,
        look_up: Lookup | None = None,
        now_s: Callable[[], float] = time.time,
        open_exchange: Callable[[Limits, ssl.SSLContext], HttpExchange] = HttpExchange,
    ) -> None:
        if declaration.request is None or declaration.response is None:
            raise ValueError(f"{declaration.name} has no API")
        self.declaration = declaration
        self._present_access = present_access
        self._limits = declaration.limits
        self._repeatable = declaration.request.repeatable
        self._raw_counts = mapping_of(declaration.response)
        self._places = asyncio.Semaphore(calls_at_once)
        self._tls = tls
        self._now_s = now_s
        self._private = private_addresses
        self._look_up = look_up
        self._addresses: dict[Origin, Addresses] = {}
        self._open_exchange = open_exchange
        self._exchange: HttpExchange | None = None
        self._seconds = metrics.channel_call_seconds.labels(declaration.name)
        self._use(access)

    def _use(self, access: Access) -> None:
        assert self.declaration.request is not None
        self._access = access
        self._calls = Calls(self.declaration, self.declaration.request, access, self._now_s)
        self._tokens = TokenSource(self._request_token) if _has_token(self.declaration) else None

    async def __aenter__(self) -> "ChannelClient":
        tls = self._tls or ssl.create_default_context()
        self._exchange = self._open_exchange(self._limits, tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._exchange is not None:
            await self._exchange.close()

    async def fetch(self, event_ids: Sequence[str]) -> Reply:
        """The totals of at most `declaration.request.batch` events. It does not raise for what the channel does."""
        if self._present_access is not None and (access := self._present_access(self._access)) != self._access:
            self._use(access)
        ids = self._calls.separable(event_ids)
        if not ids:
            return Reply("measured")
        async with self._places:
            began_at_s = time.monotonic()
            progress = _Progress(began_at_s + self._limits.call_s)
            reply = await self._bounded(ids, progress)
            return reply._replace(seconds=time.monotonic() - began_at_s, units=progress.units)

    async def _bounded(self, ids: Sequence[str], progress: _Progress) -> Reply:
        """The reply within the deadline of the call."""
        try:
            async with asyncio.timeout(self._limits.call_s):
                found = await self._all_pages(ids, progress)
        except TimeoutError:
            return Reply("failed", reason="timeout")
        except _Failed as failure:
            wait_s = progress.wait_s if failure.retry_after_s is None else failure.retry_after_s
            if failure.reason == "over-quota":
                return Reply("over-quota", retry_after_s=wait_s)
            return Reply("failed", retry_after_s=wait_s, reason=failure.reason)
        except _UnknownId:
            return Reply("measured", retry_after_s=progress.wait_s)
        except Exception as error:
            # The promise holds for what nobody foresaw, too. The text may hold an address with a key: only its type.
            log.error("channel_call_failed", channel=self.declaration.name, error=type(error).__name__)
            return Reply("failed", reason="unexpected")
        totals = {id_: checked(raw) for id_, raw in found.items()}
        return Reply("measured", totals, retry_after_s=progress.wait_s)

    async def _all_pages(self, ids: Sequence[str], progress: _Progress) -> dict[str, RawCounts]:
        """Raw counts by event. Where pages shift while they are read, the newest mention of an event counts."""
        found: dict[str, RawCounts] = {}
        page: Page | None = first_page(self.declaration.paging)
        while page is not None:
            document = await self._with_retries(ids, page, progress)
            counts = self._raw_counts(document, ids)
            if counts is None:
                raise _Failed("wrong-shape")
            found.update(counts)
            try:
                page = next_page(self.declaration.paging, page, document)
            except PagingFailed:
                raise _Failed("paging") from None
        return found

    async def _with_retries(self, ids: Sequence[str], page: Page, progress: _Progress) -> object:
        """The document of one page."""
        try:
            return await self._measured_attempt(ids, page, progress)
        except _Failed as failure:
            if not failure.again:
                raise
            return await self._further_attempts(failure, ids, page, progress)

    async def _further_attempts(self, failure: _Failed, ids: Sequence[str], page: Page, progress: _Progress) -> object:
        """The document of a page whose first attempt failed. Stamina counts that one, and waits before the next."""

        def wait_s(error: Exception) -> bool | float:
            """Whether to try again; a number is how long to wait before, instead of stamina's own wait."""
            if not isinstance(error, _Failed) or not error.again:
                return False
            if error.retry_after_s is None:
                return True
            wait_s = error.retry_after_s + random.random() * JITTER_S
            return wait_s if time.monotonic() + wait_s < progress.ends_at_s else False

        first: _Failed | None = failure
        attempts = stamina.retry_context(
            on=wait_s,
            attempts=self._limits.attempts,
            timeout=None,
            wait_initial=BACKOFF_S,
            wait_max=BACKOFF_S_MAX,
            wait_jitter=JITTER_S,
        )
        async for attempt in attempts:
            with attempt:
                if first is not None:
                    failed, first = first, None
                    raise failed
                return await self._measured_attempt(ids, page, progress)
        raise AssertionError("stamina ends with a result or an exception")

    async def _measured_attempt(self, ids: Sequence[str], page: Page, progress: _Progress) -> object:
        began_at_s = time.monotonic()
        outcome = "cancelled"
        try:
            document = await self._attempt(ids, page, progress)
            outcome = "measured"
            return document
        except _Failed as failure:
            outcome = _label(failure.reason)
            raise
        except _UnknownId:
            outcome = "measured"
            raise
        finally:
            if outcome == "cancelled" and time.monotonic() >= progress.ends_at_s:
                outcome = "timeout"
            self._seconds.observe(time.monotonic() - began_at_s)
            metrics.channel_calls.labels(self.declaration.name, outcome).inc()

    async def _attempt(self, ids: Sequence[str], page: Page, progress: _Progress) -> object:
        """The document of one HTTP call; of two where the token has just been refused."""
        received, token = await self._call(ids, page, progress)
        if received.status == 401 and self._tokens is not None and token is not None:
            self._tokens.refused(token)
            received, _ = await self._call(ids, page, progress)
        classified = self._classified(received, progress)
        if classified.reason:
            again = self._repeatable and classified.reason in _MAY_SUCCEED
            raise _Failed(classified.reason, again=again, retry_after_s=retry_after_s(received.headers, self._now_s()))
        if not classified.known:
            raise _UnknownId
        return classified.document

    async def _call(self, ids: Sequence[str], page: Page, progress: _Progress) -> tuple[Received, str | None]:
        try:
            token = None if self._tokens is None else await self._tokens.get()
            address = await self._address(self._calls.origin, progress.units)
            progress.units += 1
            call = self._calls.build(ids, page, token)
            return await self._opened.send(self._calls.origin, address, call), token
        except ExchangeFailed as failure:
            again = failure.reason in _BROKEN and (self._repeatable or not failure.sent)
            raise _Failed(failure.reason, again=again) from failure

    def _classified(self, received: Received, progress: _Progress) -> Classified:
        rule = self.declaration.over_quota.usage
        if rule is not None and (pause_s := usage_pause_s(rule, received.headers)) is not None:
            progress.wait_s = pause_s
        return classify(self.declaration, received)

    async def _request_token(self) -> Received:
        how = self.declaration.authentication
        assert isinstance(how, OAuth2Authentication)
        origin, call = token_call(how, self._access)
        return await self._opened.send(origin, await self._address(origin, 0), call)

    async def _address(self, origin: Origin, attempt: int) -> str:
        """An address of the server, another one at each attempt.

        Raises:
            ExchangeFailed: there is none that may be called.
        """
        addresses = self._addresses.get(origin)
        if addresses is None:
            addresses = Addresses(origin.host, origin.port, private=self._private, look_up=self._look_up)
            self._addresses[origin] = addresses
        try:
            found = await addresses.get(self._limits.connect_s)
        except NameNotFound:
            raise ExchangeFailed("name", sent=False) from None
        except AddressRefused:
            raise ExchangeFailed("address-refused", sent=False) from None
        return found[attempt % len(found)]

    @property
    def _opened(self) -> HttpExchange:
        assert self._exchange is not None, "use the client as an asynchronous context manager"
        return self._exchange


def _has_token(declaration: Declaration) -> bool:
    return isinstance(declaration.authentication, OAuth2Authentication)


def _label(reason: str) -> str:
    """The outcome of a call as a metric's label: statuses by their class, so that labels are few."""
    return f"{reason[:8]}xx" if reason.startswith("status-") else reason
