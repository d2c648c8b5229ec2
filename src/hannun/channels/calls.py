"""Builds the HTTP requests of a channel from its declaration: ids, pages, credentials, signatures."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from hannun.channels.access import Access
from hannun.channels.declaration import (
    PLACEHOLDER,
    Declaration,
    HeaderAuthentication,
    HmacAuthentication,
    NoPaging,
    OAuth2Authentication,
    QueryAuthentication,
    Request,
    placeholders,
    texts_in,
)
from hannun.channels.paging import Page

_IDS = "\0"
"""Marks where the ids go in a prepared target: it can be in no text of a declaration that was encoded."""


class Call(NamedTuple):
    """One HTTP request, without its server: `target` is path and query."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    content: bytes | None = None


class Origin(NamedTuple):
    """A server: where to connect, and the name that it has."""

    scheme: str
    host: str
    port: int
    netloc: str

    @classmethod
    def of(cls, address: str) -> "Origin":
        parts = urlsplit(address)
        assert parts.hostname is not None
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), parts.netloc)


class Calls:
    """Builds the calls of one channel. What does not depend on the ids is prepared once.

    Args:
        now_s: returns the seconds since 1970, for signatures.
    """

    def __init__(self, declaration: Declaration, request: Request, access: Access, now_s: Callable[[], float]) -> None:
        self.origin = Origin.of(access.address)
        self._request = request
        self._credentials = access.credentials
        self._authentication = declaration.authentication
        self._now_s = now_s
        self._body = request.body or None
        self._page_parameter = "" if isinstance(declaration.paging, NoPaging) else declaration.paging.parameter
        self._joined = not any("ids" in placeholders(text) for text in texts_in(request.body))
        self._target = urlsplit(access.address).path + _prepared(request.path, "/") + _query(declaration, access)
        self._headers = [
            ("Host", self.origin.netloc),
            ("User-Agent", "hannun"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
            *request.headers.items(),
            *([("Content-Type", "application/json")] if self._body else []),
            *self._static_headers(),
        ]

    def separable(self, ids: Sequence[str]) -> list[str]:
        """The ids without those that would be taken for several, because they hold the separator."""
        separator = self._request.separator
        return [id_ for id_ in ids if separator not in id_] if self._joined and self._request.batch > 1 else list(ids)

    def build(self, ids: Sequence[str], page: Page, token: str | None) -> Call:
        """The call for these ids and this page.

        Args:
            token: the bearer token, where the channel has OAuth2.
        """
        target = self._target.replace(_IDS, quote(self._request.separator.join(ids), safe=","))
        headers = self._headers
        content = None
        if self._body is not None:
            paged = {self._page_parameter: page.value} if page.value is not None else {}
            content = msgspec.json.encode({**_filled(self._body, ids, self._request.separator), **paged})
        elif page.value is not None:
            target += ("&" if "?" in target else "?") + urlencode({self._page_parameter: page.value})
        if token is not None:
            headers = [*headers, ("Authorization", f"Bearer {token}")]
        if isinstance(self._authentication, HmacAuthentication):
            headers = [*headers, *self._signed(self._authentication, ids, target)]
        return Call(self._request.method, target, headers, content)

    def _static_headers(self) -> list[tuple[str, str]]:
        if not isinstance(self._authentication, HeaderAuthentication):
            return []
        return [(name, _fill(text, self._credentials)) for name, text in self._authentication.headers.items()]

    def _signed(self, how: HmacAuthentication, ids: Sequence[str], target: str) -> list[tuple[str, str]]:
        now_s = self._now_s()
        values = {
            **self._credentials,
            "timestamp": str(int(now_s * 1_000 if how.timestamp == "milliseconds" else now_s)),
            "method": self._request.method,
            "path": _prepared(self._request.path, "/").replace(
                _IDS, quote(self._request.separator.join(ids), safe=",")
            ),
            "query": target.partition("?")[2],
        }
        secret = self._credentials["secret_key"].encode()
        digest = hmac.digest(secret, _fill(how.message, values).encode(), getattr(hashlib, how.algorithm))
        values["signature"] = base64.b64encode(digest).decode() if how.encoding == "base64" else digest.hex()
        return [(name, _fill(text, values)) for name, text in how.headers.items()]


def token_call(how: OAuth2Authentication, access: Access) -> tuple[Origin, Call]:
    """The call that gets an OAuth2 token, and the server that it goes to."""
    address = access.token_address or access.address
    origin = Origin.of(address)
    identity = {name: access.credentials[name] for name in ("client_id", "client_secret")}
    form = {"grant_type": "client_credentials", **({"scope": how.scope} if how.scope else {})}
    headers = [
        ("Host", origin.netloc),
        ("User-Agent", "hannun"),
        ("Accept", "application/json"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ]
    if how.client == "basic":
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        pair = ":".join(quote(value, safe="") for value in identity.values())
        headers.append(("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
    else:
        form |= identity
    return origin, Call("POST", urlsplit(address).path + how.token_path, headers, urlencode(form).encode())


def _query(declaration: Declaration, access: Access) -> str:
    assert declaration.request is not None
    pairs = [f"{quote(name, safe='')}={_prepared(text, ',')}" for name, text in declaration.request.query.items()]
    if isinstance(declaration.authentication, QueryAuthentication):
        filled = {name: _fill(text, access.credentials) for name, text in declaration.authentication.query.items()}
        pairs += [urlencode(filled)]
    return f"?{'&'.join(pairs)}" if pairs else ""


def _prepared(template: str, safe: str) -> str:
    """A template in the encoding of URLs, with a mark where the ids go."""
    return _IDS.join(quote(part, safe=safe) for part in PLACEHOLDER.split(template)[::2])


def _fill(template: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: values[found[1]], template)


def _filled(value: Any, ids: Sequence[str], separator: str) -> Any:
    """A body with ids: a text that is only `{ids}` becomes a list."""
    if isinstance(value, str):
        if value == "{ids}":
            return list(ids)
        return _fill(value, {"id": ids[0], "ids": separator.join(ids)}) if "{id" in value else value
    if isinstance(value, dict):
        return {key: _filled(inner, ids, separator) for key, inner in value.items()}
    return [_filled(inner, ids, separator) for inner in value] if isinstance(value, list) else value
