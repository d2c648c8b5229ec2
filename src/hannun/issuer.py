"""The issuer of tokens: where its public keys (JWKS) are published, over HTTP or in a file."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2

from hannun.errors import IssuerUnavailable, OperatorError

READ_S_MAX = 5.0
BYTES_MAX = 1_000_000
RETRY_S = 5.0

Read = Callable[[], Awaitable[bytes]]


def check_address(url: str) -> None:
    """
    Raises:
        OperatorError: keys cannot be had, or not be trusted, from this address.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise OperatorError(f"HANNUN_JWT_JWKS_URL is no address: {error}", hint=_EXAMPLE) from error
    if parsed.scheme == "https" and parsed.host:
        return
    if parsed.scheme == "http" and _on_this_machine(parsed.host):
        return
    raise OperatorError(
        "HANNUN_JWT_JWKS_URL is not https: whoever stands in between could put keys of their own in",
        hint=_EXAMPLE + "; http only to this machine; or HANNUN_JWT_JWKS_FILE",
    )


_EXAMPLE = "it looks like https://login.example.com/.well-known/jwks.json"


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[Read]:
    """Reads the set from an address. Redirects are not followed: the address is a setting, and stays what it is."""
    check_address(url)
    async with httpx2.AsyncClient(timeout=READ_S_MAX, follow_redirects=False) as client:

        async def read() -> bytes:
            try:
                async with asyncio.timeout(READ_S_MAX), client.stream("GET", url) as answer:
                    if answer.status_code != 200:
                        raise IssuerUnavailable(f"{url} answers {answer.status_code}", retry_after_s=RETRY_S)
                    body = bytearray()
                    async for chunk in answer.aiter_bytes():
                        body += chunk
                        if len(body) > BYTES_MAX:
                            raise IssuerUnavailable(f"{url} answers more than {BYTES_MAX} bytes", retry_after_s=RETRY_S)
                    return bytes(body)
            except (httpx2.HTTPError, TimeoutError, OSError) as error:
                told = str(error) or type(error).__name__
                raise IssuerUnavailable(f"{url} does not answer: {told}", retry_after_s=RETRY_S) from error

        yield read


@asynccontextmanager
async def in_a_file(path: str) -> AsyncIterator[Read]:
    """Reads the set from a file, which may be exchanged at any time.

    Raises:
        OperatorError: there is none that can be read.
    """
    try:
        await asyncio.to_thread(Path(path).read_bytes)
    except OSError as error:
        raise OperatorError(
            f"HANNUN_JWT_JWKS_FILE {path} cannot be read: {error.strerror}", hint="a JSON object with a list of keys"
        ) from error

    async def read() -> bytes:
        try:
            return await asyncio.to_thread(Path(path).read_bytes)
        except OSError as error:
            raise IssuerUnavailable(f"{path} cannot be read: {error.strerror}", retry_after_s=RETRY_S) from error

    yield read


def source(url: str, path: str) -> AbstractAsyncContextManager[Read]:
    """Where the set is read, by the two settings.

    Raises:
        OperatorError: both are set.
    """
    if url and path:
        raise OperatorError("HANNUN_JWT_JWKS_URL and HANNUN_JWT_JWKS_FILE are both set", hint="set one of them")
    return over_http(url) if url else in_a_file(path)
