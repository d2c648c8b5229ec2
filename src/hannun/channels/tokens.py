"""The OAuth2 token of a channel: got once for all calls under way, renewed before it expires."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

from hannun.channels.http_exchange import ExchangeFailed, Received

LIFETIME_S = 3_600.0
"""Of a token whose response does not say how long it lives."""
LIFETIME_S_MAX = 86_400.0
EARLY_S = 60.0
"""How long before its end a token is renewed, or a fifth of its lifetime if that is less."""
TOKEN_LENGTH_MAX = 8_192


class _Token(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float | None = None


class TokenSource:
    """Keeps the token of one channel.

    Args:
        request: gets a new one from the channel. It raises `ExchangeFailed`.
    """

    def __init__(self, request: Callable[[], Awaitable[Received]]) -> None:
        self._request = request
        self._token = ""
        self._renew_at_s = 0.0
        self._ends_at_s = 0.0
        self._lock = asyncio.Lock()
        self._failure: ExchangeFailed | None = None
        self._failed_at_s = 0.0

    async def get(self) -> str:
        """A token that is still valid for a while.

        Raises:
            ExchangeFailed: there is none. All callers that waited for the same request get the same failure.
        """
        if time.monotonic() < self._renew_at_s:
            return self._token
        began_at_s = time.monotonic()
        async with self._lock:
            if time.monotonic() < self._renew_at_s:
                return self._token
            if self._failure is not None and self._failed_at_s >= began_at_s:
                raise ExchangeFailed(self._failure.reason, sent=self._failure.sent)
            try:
                self._accept(await self._request())
            except ExchangeFailed as failure:
                if time.monotonic() < self._ends_at_s:
                    return self._token
                self._failure, self._failed_at_s = failure, time.monotonic()
                raise
            return self._token

    def refused(self, token: str) -> None:
        """Drop this token: the channel refused it. A newer one stays."""
        if token == self._token:
            self._renew_at_s = self._ends_at_s = 0.0

    def _accept(self, received: Received) -> None:
        if received.status != 200:
            raise ExchangeFailed("token")
        try:
            token = msgspec.json.decode(received.body, type=_Token)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise ExchangeFailed("token") from None
        value = token.access_token
        if not 0 < len(value) <= TOKEN_LENGTH_MAX or not value.isascii() or not value.isprintable():
            raise ExchangeFailed("token")
        lifetime_s = LIFETIME_S if token.expires_in is None else min(max(token.expires_in, 0.0), LIFETIME_S_MAX)
        self._token = value
        self._ends_at_s = time.monotonic() + lifetime_s
        self._renew_at_s = self._ends_at_s - min(EARLY_S, lifetime_s / 5)
