"""The token issuer: reads its public keys (JWKS) over HTTP or from a file."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from hannun.errors import IssuerUnavailable, OperatorError, reason_of

BYTES_MAX = 1_000_000
RETRY_S = 5.0

ReadKeySet = Callable[[], Awaitable[bytes]]


def check_key_set_url(url: str) -> None:
    """Check that keys may be read from this URL.

    Raises:
        OperatorError: it is no URL, or keys from it could not be trusted.
    """
    import httpx2  # only where an issuer's keys are read over HTTP

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise OperatorError(f"HANNUN_JWT_JWKS_URL is not a valid URL: {error}", hint=_EXAMPLE) from error
    if parsed.scheme == "https" and parsed.host:
        return
    if parsed.scheme == "http" and _is_loopback(parsed.host):
        return
    raise OperatorError(
        "HANNUN_JWT_JWKS_URL is not https: anybody on the network path could replace the keys",
        hint=_EXAMPLE + "; http only to this machine; or HANNUN_JWT_JWKS_FILE",
    )


_EXAMPLE = "it looks like https://login.example.com/.well-known/jwks.json"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def key_set_over_http(url: str, read_s_max: float) -> AsyncIterator[ReadKeySet]:
    """A function that reads the key set from a URL. Redirects are not followed: the setting alone decides the address.

    Args:
        read_s_max: how long a read may take, from the look-up of the name to the last byte.

    Raises:
        OperatorError: the URL is refused by `check_key_set_url`.
    """
    import httpx2

    check_key_set_url(url)
    async with httpx2.AsyncClient(timeout=read_s_max, follow_redirects=False) as client:

        async def read() -> bytes:
            try:
                async with asyncio.timeout(read_s_max), client.stream("GET", url) as response:
                    if response.status_code != 200:
                        raise IssuerUnavailable(f"{url} answers {response.status_code}", retry_after_s=RETRY_S)
                    body = bytearray()
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > BYTES_MAX:
                            raise IssuerUnavailable(f"{url} answers more than {BYTES_MAX} bytes", retry_after_s=RETRY_S)
                    return bytes(body)
            except (httpx2.HTTPError, TimeoutError, OSError) as error:
                reason = reason_of(error)
                raise IssuerUnavailable(f"{url} does not answer: {reason}", retry_after_s=RETRY_S) from error

        yield read


@asynccontextmanager
async def key_set_in_file(path: str, read_s_max: float) -> AsyncIterator[ReadKeySet]:
    """A function that reads the key set from a file, which may be replaced at any time.

    Raises:
        OperatorError: the file cannot be read at the start.
    """

    async def read() -> bytes:
        try:
            async with asyncio.timeout(read_s_max):  # it may lie on another machine
                return await asyncio.to_thread(Path(path).read_bytes)
        except OSError as error:  # TimeoutError is one
            reason = error.strerror or "it takes too long"
            raise IssuerUnavailable(f"{path} cannot be read: {reason}", retry_after_s=RETRY_S) from error

    try:
        await read()
    except IssuerUnavailable as error:
        raise OperatorError(
            f"HANNUN_JWT_JWKS_FILE {error}", hint="it must be a JSON object with a list of keys"
        ) from error
    yield read


def open_key_set(url: str, path: str, read_s_max: float) -> AbstractAsyncContextManager[ReadKeySet]:
    """The reader of the key set that the settings name: the URL, or the file.

    Raises:
        OperatorError: both are set.
    """
    if url and path:
        raise OperatorError("HANNUN_JWT_JWKS_URL and HANNUN_JWT_JWKS_FILE are both set", hint="set one of them")
    return key_set_over_http(url, read_s_max) if url else key_set_in_file(path, read_s_max)
