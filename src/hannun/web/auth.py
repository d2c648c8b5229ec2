"""Who asks: bearer tokens (JWT) and the page's cookie, which holds one.

A token is verified once and remembered until it expires, or until its key has left the issuer's set; verifying costs
thirty times as much as remembering. Algorithms are listed, never taken from the token: HS256 is verified with the
shared secret alone, RS256 and ES256 with the issuer's published keys alone, each by what the key itself is.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from hannun.domain.authorization import Principal
from hannun.errors import OperatorError, Unauthenticated
from hannun.tokens import ROLES
from hannun.web.jwks import PUBLIC_KEY_ALGORITHMS, TokenKeys

COOKIE = "hannun_session"
REMEMBERED_MAX = 20_000
SECRET_LENGTH_MIN = 32
TOKEN_LENGTH_MAX = 8_192
"""A longer one is refused before anything of it is read."""
SUBJECT_LENGTH_MAX = 255
LEEWAY_S = 5
"""How far the issuer's clock and ours may be apart."""
_LAST_S = 253_402_300_799.0  # the end of the year 9999, which every date can hold


@dataclass(frozen=True, slots=True)
class Session:
    """A verified token: who it is, until when (seconds since 1970), and by which published key; None: by the secret."""

    asker: Principal
    expires_at: float
    key: bytes | None = None


class Verifier:
    """Verifies tokens signed with a shared secret (HS256), by a published key (RS256, ES256), or both.

    Args:
        secret: "" where only published keys count.
        keys: the issuer's; None where only the secret counts.
        issuer: who must have issued a token; "" is anybody who has the key.
        audience: for whom it must be; "" takes only tokens that are for nobody in particular.

    Raises:
        OperatorError: the secret cannot be one.
    """

    def __init__(self, secret: str, keys: TokenKeys | None = None, *, issuer: str = "", audience: str = "") -> None:
        if len(secret) < SECRET_LENGTH_MIN and (secret or keys is None):
            raise OperatorError(
                f"HANNUN_JWT_SECRET has {len(secret)} characters, at least {SECRET_LENGTH_MIN} are needed",
                hint="python3 -c 'import secrets; print(secrets.token_urlsafe(48))' makes one",
            )
        if "-----BEGIN" in secret:
            raise OperatorError(
                "HANNUN_JWT_SECRET is a key in PEM form: whoever knows a public key could sign with it",
                hint="a random secret for HS256; public keys come by HANNUN_JWT_JWKS_URL or HANNUN_JWT_JWKS_FILE",
            )
        self._secret = secret
        self._keys = keys
        self._issuer = issuer or None
        self._audience = audience or None
        self._known: OrderedDict[str, Session] = OrderedDict()

    def remembered(self, token: str) -> Session | None:
        """The session of a token that was verified before and still holds."""
        session = self._known.get(token)
        if session is None or session.expires_at + LEEWAY_S <= time.time():
            return None
        return session if session.key is None or self._believed(session) else None

    async def verify(self, token: str) -> Session:
        """
        Raises:
            Unauthenticated: the token does not hold, and why.
            IssuerUnavailable: it may hold, but the issuer's keys cannot be had.
        """
        session = self._known.get(token)
        if session is not None and _expired(session):
            del self._known[token]
            raise Unauthenticated("the token has expired")
        if session is None or not self._believed(session):
            self._known.pop(token, None)
            session = await self._verified(token)
            self._known[token] = session
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return session

    def _believed(self, session: Session) -> bool:
        return session.key is None or (self._keys is not None and self._keys.believes(session.key))

    async def _verified(self, token: str) -> Session:
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthenticated("the token is longer than {length_max} characters", length_max=TOKEN_LENGTH_MAX)
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm == "HS256" and self._secret:
                return self._session(self._claims(token, self._secret, algorithm), None)
            if algorithm in PUBLIC_KEY_ALGORITHMS and self._keys is not None:
                if not isinstance(kid, str):
                    raise Unauthenticated("the token does not hold: it names no key (kid)")
                key = await self._keys.named(kid, algorithm)
                return self._session(self._claims(token, key.key, key.algorithm), key.fingerprint)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired") from error
        except jwt.InvalidTokenError as error:
            raise _held_no_longer(error) from error
        except (OverflowError, RecursionError) as error:
            raise Unauthenticated("the token does not hold: what it says cannot be read") from error
        raise Unauthenticated("the token does not hold: it is not signed by an algorithm that is taken here")

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_S,
            options={"require": ["sub", "exp"]},
        )

    @staticmethod
    def _session(claims: dict[str, Any], key: bytes | None) -> Session:
        roles, subject = claims.get("roles", []), claims["sub"]
        if not isinstance(roles, list) or not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX:
            raise Unauthenticated("the token's sub or roles are not what they should be")
        asker = Principal(subject, frozenset(str(role) for role in roles) & ROLES)
        return Session(asker, min(float(claims["exp"]), _LAST_S), key)


def _held_no_longer(error: jwt.InvalidTokenError) -> Unauthenticated:
    """Why a token does not hold, in words of ours: PyJWT's are English alone."""
    match error:
        case jwt.MissingRequiredClaimError():
            return Unauthenticated("the token does not hold: it has no {claim}", claim=error.claim)
        case jwt.InvalidSignatureError():
            return Unauthenticated("the token does not hold: its signature is not by the key it should be by")
        case jwt.ImmatureSignatureError() | jwt.InvalidIssuedAtError():
            return Unauthenticated("the token does not hold yet: its nbf or iat lies ahead")
        case jwt.InvalidIssuerError():
            return Unauthenticated("the token does not hold: it is by another issuer")
        case jwt.InvalidAudienceError():
            return Unauthenticated("the token does not hold: it is for another audience")
    return Unauthenticated("the token does not hold: what it says cannot be read")


def _expired(session: Session) -> bool:
    return session.expires_at + LEEWAY_S <= time.time()


def token_in(headers: Mapping[str, str], cookies: Mapping[str, str]) -> tuple[str, bool]:
    """The token of a request, and whether it came in the cookie.

    Raises:
        Unauthenticated: there is none.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip(), False
    if COOKIE in cookies:
        return cookies[COOKIE], True
    raise Unauthenticated("this needs a token: Authorization: Bearer <token>")
