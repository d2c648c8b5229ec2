"""The issuer's public keys (JWKS): read now and then, and once more when a token names one that we do not know.

    known key ────────────────────────────────────► verify, whatever the issuer does meanwhile
    unknown key ─► cool-down over ─► read the set ─► known? verify : refuse
                └► else ───────────────────────────► refuse
    every `refresh_s`: read the set ─► what has left it is no longer believed, nor tokens remembered under it
                                    └► the issuer is away ─► the last set stays good for `good_s`, then nothing is

- Bad tokens cannot hammer the issuer: also a reading that fails starts the cool-down.
- Only who names an unknown key waits for a reading, and all of them for the same one.
- PyJWKClient does not fit: it reads synchronously and holds every caller by one lock meanwhile, begins its cool-down
  only after a reading that succeeded, and forgets its set when it is too old, also while the issuer is away.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from hannun.errors import IssuerUnavailable, Unauthenticated
from hannun.telemetry import log, metrics

PUBLIC_KEY_ALGORITHMS = frozenset({"RS256", "ES256"})
KEYS_MAX = 100
RSA_BITS_MIN = 2_048


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A published key, the one algorithm it is for, and what tells it from every other."""

    key: Any
    algorithm: str
    fingerprint: bytes


Keys = Mapping[tuple[str, str], PublicKey]
"""By (kid, algorithm)."""


def keys_in(document: bytes) -> Keys:
    """The keys of a set that tokens may be verified with; not those that are symmetric, private, weak or to encrypt.

    Raises:
        ValueError: this is no set of keys.
    """
    told = json.loads(document)
    listed = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is not a JSON object with a list of keys")
    found: dict[tuple[str, str], PublicKey] = {}
    for jwk in listed[:KEYS_MAX]:
        key = _usable(jwk)
        if key is not None:
            found.setdefault((jwk["kid"], key.algorithm), key)
    return found


def _usable(jwk: Any) -> PublicKey | None:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig":
        return None
    algorithm = {"RSA": "RS256", "EC P-256": "ES256"}.get(f"{jwk.get('kty')} {jwk.get('crv', '')}".strip())
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or "d" in jwk:
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if algorithm == "RS256" and key.key_size < RSA_BITS_MIN:
        return None
    told = json.dumps([jwk["kid"], algorithm, *(jwk.get(name) for name in ("n", "e", "x", "y"))])
    return PublicKey(key, algorithm, hashlib.sha256(told.encode()).digest())


class TokenKeys:
    """The keys of one issuer. For one event loop; `run` reads them in the background."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        *,
        refresh_s: float,
        good_s: float,
        cooldown_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._refresh_s = refresh_s
        self._good_s = good_s
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._keys: Keys = {}
        self._fingerprints: frozenset[bytes] = frozenset()
        self._good_until = float("-inf")
        self._cool_at = float("-inf")
        self._failed = True
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled: read the set, again and again."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._cooldown_s if self._failed else self._refresh_s)

    def believes(self, fingerprint: bytes) -> bool:
        """Whether a key is still in the set, and the set still good."""
        return fingerprint in self._fingerprints and self._clock() < self._good_until

    async def named(self, kid: str, algorithm: str) -> PublicKey:
        """The key that a token names.

        Raises:
            Unauthenticated: the issuer does not publish it.
            IssuerUnavailable: whether it does cannot be found out now.
        """
        key = self._known(kid, algorithm)
        if key is None and (self._reading is not None or self._clock() >= self._cool_at):
            await self.refresh()
            key = self._known(kid, algorithm)
        if key is not None:
            return key
        if self._failed:
            raise IssuerUnavailable("the issuer's keys cannot be read", retry_after_s=self._cooldown_s)
        raise Unauthenticated("the token does not hold: its issuer publishes no such key")

    def _known(self, kid: str, algorithm: str) -> PublicKey | None:
        key = self._keys.get((kid, algorithm))
        return key if key is not None and self.believes(key.fingerprint) else None

    async def refresh(self) -> None:
        """Read the set now, or wait for the reading that is under way. A failure leaves the last one."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_once())
        # To its end, also when the one who asked has left: others wait for it too.
        await asyncio.shield(self._reading)

    async def _read_once(self) -> None:
        try:
            keys = keys_in(await self._read())
        except Exception as error:  # whatever it sends: the last set stays good, and the next reading comes
            self._failed = True
            log.warning("the issuer's keys cannot be read; the last ones stay good for a while", error=str(error))
        else:
            self._failed = False
            self._keys = keys
            self._fingerprints = frozenset(key.fingerprint for key in keys.values())
            self._good_until = self._clock() + self._good_s
            metrics.token_keys_read.set_to_current_time()
            if not keys:
                log.warning("the issuer publishes no key that a token could be verified with")
        finally:
            self._cool_at = self._clock() + self._cooldown_s
            self._reading = None
