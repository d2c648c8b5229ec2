"""One call to a channel that a person looks at: each step before it, the request without secrets, what came back.

address ─► connection, TLS ─► call as the refresh makes it, but one attempt ─► what was sent and received, mapped
"""

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec

from hannun.channels.access import Access
from hannun.channels.addresses import Addresses, AddressRefused, NameNotFound
from hannun.channels.calls import Call, Origin
from hannun.channels.client import ChannelClient
from hannun.channels.declaration import (
    Declaration,
    HeaderAuthentication,
    HmacAuthentication,
    Limits,
    OAuth2Authentication,
    QueryAuthentication,
)
from hannun.channels.http_exchange import ExchangeFailed, HttpExchange, Received
from hannun.channels.mapping import mapping_of
from hannun.channels.reply import Reply
from hannun.errors import reason_of

BODY_SHOWN_MAX = 2_000
HIDDEN = "***"
SECRET_LENGTH_MIN = 4
"""A shorter credential is replaced nowhere but in its own place: it would be found in any text."""
_OPEN_HEADERS = frozenset({"host", "user-agent", "accept", "accept-encoding", "content-type"})


class Sent(NamedTuple):
    """A request without its credentials."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: str


class Trial(NamedTuple):
    """A call and what came of it.

    Args:
        sent: None where nothing was sent: there is no address, or no token.
        status, body: of the response; None and "" where there is none. The body is cut, and has no control characters.
        raw: the values of our columns, as the channel gave them.
    """

    reply: Reply
    sent: Sent | None
    status: int | None
    body: str
    raw: Mapping[str, object]


class Unreachable(Exception):
    """There is no connection. The first argument is the reason (`reply.Reason`), the second what was found."""


async def resolve(declaration: Declaration, access: Access, *, private_addresses: bool) -> Sequence[str]:
    """The addresses of a channel's server, all of which may be called.

    Raises:
        Unreachable: the name has none, or one that must not be called.
    """
    origin = Origin.of(access.address)
    addresses = Addresses(origin.host, origin.port, private=private_addresses)
    try:
        return await addresses.get(declaration.limits.connect_s)
    except NameNotFound:
        raise Unreachable("name", f"{origin.host} cannot be looked up") from None
    except AddressRefused:
        raise Unreachable("address-refused", f"{origin.host} leads into a private network") from None


async def connect(declaration: Declaration, access: Access, address: str) -> str:
    """Connect to an address, with TLS where the channel has it. Returns what was agreed on, in words.

    Raises:
        Unreachable: no connection, or no TLS with a certificate that is valid for the name.
    """
    origin = Origin.of(access.address)
    tls = ssl.create_default_context() if origin.scheme == "https" else None
    name = origin.host if tls else None
    try:
        async with asyncio.timeout(2 * declaration.limits.connect_s):
            _, writer = await asyncio.open_connection(address, origin.port, ssl=tls, server_hostname=name)
    except ssl.SSLError as error:
        found = getattr(error, "verify_message", "") or error.reason or type(error).__name__
        raise Unreachable("tls", f"{origin.netloc}: {shown_text(str(found), 200)}") from None
    except TimeoutError:
        raise Unreachable("timeout", f"{origin.netloc} does not answer") from None
    except OSError as error:
        raise Unreachable("connect", f"{origin.netloc}: {reason_of(error)}") from None
    agreed = writer.get_extra_info("ssl_object")
    writer.close()
    return "http, without TLS" if agreed is None else f"{agreed.version()}, and the certificate is valid"


async def call(declaration: Declaration, access: Access, event_id: str, *, private_addresses: bool) -> Trial:
    """Ask a channel for one event, with one attempt. It does not raise for what the channel does."""
    once = msgspec.structs.replace(declaration, limits=msgspec.structs.replace(declaration.limits, attempts=1))
    exchanges: list[tuple[Call, Received | None]] = []

    def recording(limits: Limits, tls: ssl.SSLContext) -> HttpExchange:
        return _RecordingExchange(limits, tls, exchanges)

    client = ChannelClient(once, access, calls_at_once=1, private_addresses=private_addresses, open_exchange=recording)
    async with client:
        reply = await client.fetch([event_id])
    own = [each for each in exchanges if not _is_for_token(declaration, each[0])]
    if not own:
        return Trial(reply, None, None, "", {})
    sent, received = own[-1]
    shown = _without_credentials(declaration, access, sent)
    if received is None:
        return Trial(reply, shown, None, "", {})
    hidden_headers = [value for (name, value) in sent.headers if name.lower() not in _open_headers(declaration)]
    secrets = [*access.credentials.values(), *(value.rpartition(" ")[2] for value in hidden_headers)]
    body = _shown_body(received.body, secrets)
    return Trial(reply, shown, received.status, body, _raw(declaration, received, event_id))


def _open_headers(declaration: Declaration) -> frozenset[str]:
    """The headers whose values are no secret, in lower case."""
    assert declaration.request is not None
    how = declaration.authentication
    hidden = how.headers if isinstance(how, HeaderAuthentication | HmacAuthentication) else {}
    return (_OPEN_HEADERS | {name.lower() for name in declaration.request.headers}) - {name.lower() for name in hidden}


def _is_for_token(declaration: Declaration, call: Call) -> bool:
    how = declaration.authentication
    return isinstance(how, OAuth2Authentication) and call.target.endswith(how.token_path)


class _RecordingExchange(HttpExchange):
    """Keeps what was sent and received."""

    def __init__(
        self,
        limits: Limits,
        tls: ssl.SSLContext,
        exchanges: list[tuple[Call, Received | None]],
    ) -> None:
        super().__init__(limits, tls)
        self._exchanges = exchanges

    async def send(self, origin: Origin, address: str, call: Call) -> Received:
        try:
            received = await super().send(origin, address, call)
        except ExchangeFailed:
            self._exchanges.append((call, None))
            raise
        self._exchanges.append((call, received))
        return received


def _without_credentials(declaration: Declaration, access: Access, call: Call) -> Sent:
    """The request with `***` in the place of each header and each parameter that may hold a credential."""
    open_headers = _open_headers(declaration)
    headers = [(name, value if name.lower() in open_headers else HIDDEN) for name, value in call.headers]
    path, mark, query = call.target.partition("?")
    how = declaration.authentication
    hidden = how.query.keys() if isinstance(how, QueryAuthentication) else ()
    pairs = [
        f"{name}={HIDDEN}" if unquote(name) in hidden else pair
        for pair in query.split("&")
        for name in [pair.partition("=")[0]]
    ]
    origin = Origin.of(access.address)
    url = f"{origin.scheme}://{origin.netloc}{path}{mark}{'&'.join(pairs)}"
    body = "" if call.content is None else call.content.decode("utf-8", "replace")
    return Sent(call.method, shown_text(url, BODY_SHOWN_MAX), headers, shown_text(body, BODY_SHOWN_MAX))


def _shown_body(body: bytes, secrets: Iterable[str]) -> str:
    """A body as a person reads it: JSON in lines, without our credentials."""
    with suppress(msgspec.MsgspecError, RecursionError, ValueError):  # what is no JSON is shown as it is
        body = msgspec.json.format(body, indent=2)
    text = body.decode("utf-8", "replace")
    for secret in secrets:
        if len(secret) >= SECRET_LENGTH_MIN:
            for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
                text = text.replace(form, HIDDEN)
    return shown_text(text, BODY_SHOWN_MAX)


def shown_text(text: str, length_max: int) -> str:
    """The text, cut, with a space for each character that a terminal would obey instead of showing it."""
    cut = text[:length_max]
    more = f" ... ({len(text) - length_max:,} more characters)" if len(text) > length_max else ""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in cut) + more


def _raw(declaration: Declaration, received: Received, event_id: str) -> Mapping[str, object]:
    """The values of our columns in a response; none where it is of another shape, or does not name the event."""
    assert declaration.response is not None
    try:
        document = msgspec.json.decode(received.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return {}
    return (mapping_of(declaration.response)(document, [event_id]) or {}).get(event_id, {})
