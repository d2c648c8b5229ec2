"""Who asks: bearer tokens (JWT) and the page's cookie, which holds one.

A token is verified once and remembered until it expires; verifying costs thirty times as much as remembering.
Algorithms are listed, never taken from the token.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import jwt

from hannun.errors import OperatorError, Unauthenticated
from hannun.flows.report import Asker

COOKIE = "hannun_session"
ROLES = frozenset({"MERCHANT", "ADMIN", "SERVICE"})
REMEMBERED_MAX = 20_000
SECRET_LENGTH_MIN = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A verified token: who it is, and until when (seconds since 1970)."""

    asker: Asker
    expires_at: float


class Verifier:
    """Verifies tokens signed with a shared secret (HS256)."""

    def __init__(self, secret: str) -> None:
        if len(secret) < SECRET_LENGTH_MIN:
            raise OperatorError(
                f"HANNUN_JWT_SECRET has {len(secret)} characters, at least {SECRET_LENGTH_MIN} are needed",
                hint="python3 -c 'import secrets; print(secrets.token_urlsafe(48))' makes one",
            )
        self._secret = secret
        self._known: OrderedDict[str, Session] = OrderedDict()

    def verify(self, token: str) -> Session:
        """
        Raises:
            Unauthenticated: the token does not hold, and why.
        """
        session = self._known.get(token)
        if session is not None:
            if session.expires_at > time.time():
                return session
            self._known.pop(token, None)
            raise Unauthenticated("the token has expired")
        session = self._verified(token)
        self._known[token] = session
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return session

    def _verified(self, token: str) -> Session:
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], options={"require": ["sub", "exp"]})
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired") from error
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"the token does not hold: {error}") from error
        roles = claims.get("roles", [])
        if not isinstance(roles, list) or not isinstance(claims["sub"], str) or not claims["sub"]:
            raise Unauthenticated("the token's sub or roles are not what they should be")
        return Session(Asker(claims["sub"], frozenset(str(role) for role in roles) & ROLES), float(claims["exp"]))


def issue(secret: str, user_id: str, roles: list[str], lasts_s: float) -> str:
    """A token for `user_id`: what `hannun token` prints. In production the platform's user service issues them."""
    now = time.time()
    claims = {"sub": user_id, "roles": roles, "iat": int(now), "exp": int(now + lasts_s)}
    return jwt.encode(claims, secret, algorithm="HS256")


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
