"""Looks up the address of a channel's server, and refuses addresses inside our own network.

A name is looked up in a thread of its own, which the caller does not wait for longer than its deadline. The result is
kept for a while; the connection goes to exactly the address that was checked, so a name that changes between check and
connection (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence

KEPT_S = 60.0
ADDRESSES_MAX = 16

Lookup = Callable[[str, int], Sequence[str]]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class NameNotFound(Exception):
    """The name cannot be looked up, or not in time."""


class AddressRefused(Exception):
    """The server has an address that must not be called."""


class Addresses:
    """The addresses of one server.

    Args:
        private: allow private, loopback, link-local and reserved addresses.
    """

    def __init__(self, host: str, port: int, *, private: bool, look_up: Lookup | None = None) -> None:
        self._host = host
        self._port = port
        self._private = private
        self._look_up = look_up or _look_up
        self._found: Sequence[str] = ()
        self._found_until_s = 0.0
        self._running: asyncio.Future[Sequence[str]] | None = None

    async def get(self, wait_s: float) -> Sequence[str]:
        """Addresses that may be called, at least one.

        Raises:
            NameNotFound: there is none, or it is not known within `wait_s`.
            AddressRefused: one of them must not be called.
        """
        if time.monotonic() < self._found_until_s:
            return self._found
        # One look-up at a time: of a name server that never answers, no more than one thread waits.
        if self._running is None or self._running.done():
            self._running = self._begin()
        try:
            async with asyncio.timeout(wait_s):
                found = await asyncio.shield(self._running)
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            raise NameNotFound from None
        if not found:
            raise NameNotFound
        if not self._private and not all(map(is_public, found)):
            raise AddressRefused
        self._found, self._found_until_s = found, time.monotonic() + KEPT_S
        return found

    def _begin(self) -> "asyncio.Future[Sequence[str]]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[str]] = loop.create_future()

        def deliver(found: Sequence[str], error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(found)
            else:
                future.set_exception(error)
                future.exception()  # nobody may wait for it any more

        def run() -> None:
            found: Sequence[str] = ()
            failure: Exception | None = None
            try:
                found = self._look_up(self._host, self._port)
            except Exception as error:
                failure = error
            try:
                loop.call_soon_threadsafe(deliver, found, failure)
            except RuntimeError:
                return  # the loop has ended

        threading.Thread(target=run, name="channel-name", daemon=True).start()
        return future


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet."""
    try:
        ip = _inner(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _inner(ip: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address leads to, if it does."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, ip))[1]


def _look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [address for address in addresses if "%" not in address][:ADDRESSES_MAX]  # no URL holds a zone
