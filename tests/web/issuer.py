"""A token issuer with a real socket, whose keys a test can change."""

import base64
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def new_rsa(bits: int = 2_048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


def new_ec() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


RSA, EC = new_rsa(), new_ec()
"""Shared: generating an RSA key is slow."""


def algorithm_of(key: Key) -> str:
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"


def published(key: Key, kid: str, **fields: Any) -> dict[str, Any]:
    """The public key as a JWK."""
    algorithm = jwt.get_algorithm_by_name(algorithm_of(key))
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", **fields}


def pem_of(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Issuer:
    """Publishes a key set and counts its reads.

    It can hang (`may_answer`), answer with `response` instead, or send a byte now and then (`byte_interval_s`).
    """

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [published(RSA, "rsa-1"), published(EC, "ec-1")]
        self.read_count = 0
        self.response: tuple[int, bytes] | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.was_read = threading.Event()
        self.byte_interval_s = 0.0
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.read_count += 1
                issuer.was_read.set()
                issuer.may_answer.wait(20)
                status, body = issuer.response or (200, json.dumps({"keys": issuer.keys}).encode())
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                if not issuer.byte_interval_s:
                    self.wfile.write(body)
                    return
                for at in range(len(body)):
                    with suppress(OSError):  # the reader gave up
                        self.wfile.write(body[at : at + 1])
                    if issuer._stopped.wait(issuer.byte_interval_s):
                        return

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.may_answer.set()
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/jwks"


def token_by(key: Key, kid: str | None, user: str, **claims: Any) -> str:
    """A merchant's token, signed with an issuer's key. A claim that is None is omitted."""
    all_claims = {"sub": user, "roles": ["MERCHANT"], "exp": int(time.time()) + 3_600, **claims}
    present = {name: value for name, value in all_claims.items() if value is not None}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(present, key, algorithm=algorithm_of(key), headers=headers)


def by_hand(header: dict[str, Any], claims: dict[str, Any], signature: bytes) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
