"""Checks what a call must carry, in each of the ways that the declarations know."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from urllib.parse import parse_qs

from hannun.sandbox.channels.exchange import Received
from hannun.sandbox.channels.shape import Authentication

SIGNED_WITHIN_S = 300.0
"""How far the timestamp of a signed request may be from the machine's clock."""
TOKENS_MAX = 1_000
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Authenticator:
    """Knows who may call a channel.

    Args:
        credentials: the values of the names in the templates.
    """

    def __init__(self, expected: Authentication, credentials: Mapping[str, str]) -> None:
        self._expected = expected
        self._credentials = credentials
        self._tokens: dict[str, float] = {}
        self._headers = {name.lower(): self._pattern(text) for name, text in expected.headers.items()}
        self._query = {name: self._pattern(text) for name, text in expected.query.items()}

    def accepts(self, request: Received) -> bool:
        """Whether the call carries what it must."""
        if self._expected.kind == "oauth2":
            return self._holds_token(request)
        found: dict[str, str] = {}
        for patterns, values in ((self._headers, request.headers), (self._query, request.query)):
            for name, pattern in patterns.items():
                match = pattern.fullmatch(values.get(name, ""))
                if match is None:
                    return False
                found |= match.groupdict()
        return self._expected.kind != "hmac" or self._is_signed(request, found)

    def issue_token(self, request: Received) -> bytes | None:
        """The response to a request for a token; None where the client is not known."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        client = (form.get("client_id", ""), form.get("client_secret", ""))
        kind, _, encoded = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                user, _, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            client = (user, password)
        known = (self._credentials.get("client_id"), self._credentials.get("client_secret"))
        if form.get("grant_type") != "client_credentials" or client != known:
            return None
        if len(self._tokens) >= TOKENS_MAX:
            self._tokens.clear()
        token, lasts_s = secrets.token_urlsafe(24), self._expected.token_lasts_s
        self._tokens[token] = time.monotonic() + lasts_s
        return json.dumps({"access_token": token, "token_type": "bearer", "expires_in": lasts_s}).encode()

    def _holds_token(self, request: Received) -> bool:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and time.monotonic() < self._tokens.get(token, 0.0)

    def _is_signed(self, request: Received, found: Mapping[str, str]) -> bool:
        expected = self._expected
        try:
            signed_at_s = int(found["timestamp"]) / (1_000 if expected.timestamp == "milliseconds" else 1)
        except (KeyError, ValueError):
            return False
        if abs(time.time() - signed_at_s) > SIGNED_WITHIN_S:
            return False
        # A client may sign the path of its whole URL, or the one behind the address that it was given.
        return any(
            hmac.compare_digest(self._sign(request, path, found["timestamp"]), found.get("signature", ""))
            for path in (request.path, request.full_path)
        )

    def _sign(self, request: Received, path: str, timestamp: str) -> str:
        values = {"timestamp": timestamp, "method": request.method, "path": path, "query": request.query_text}
        values |= self._credentials
        message = _FIELD.sub(lambda field: values.get(field[1], ""), self._expected.message)
        key = self._credentials["secret_key"].encode()
        digest = hmac.new(key, message.encode(), getattr(hashlib, self._expected.algorithm)).digest()
        return digest.hex() if self._expected.encoding == "hex" else base64.b64encode(digest).decode()

    def _pattern(self, template: str) -> re.Pattern[str]:
        """A pattern that the value must match whole: credentials stand for themselves, other names for anything."""
        parts = _FIELD.split(template)
        out = re.escape(parts[0])
        for name, literal in zip(parts[1::2], parts[2::2], strict=True):
            known = self._credentials.get(name)
            out += (rf"(?P<{name}>[\x21-\x7e]*)" if known is None else re.escape(known)) + re.escape(literal)
        return re.compile(out)
