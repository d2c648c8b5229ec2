"""Authentication: bearer tokens (JWT), and the page's session cookie, which contains one.

A verified token is cached until it expires or until its key leaves the issuer's key set, because verification costs
thirty times as much as a look-up. The accepted algorithms are listed here and never taken from the token. HS256 is
verified with the shared secret only; RS256 and ES256 are verified with the issuer's published keys only, each with the
algorithm that the key itself is for.
"""

import math
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt

from hannun.domain.authorization import Principal
from hannun.domain.ids import canonical_id
from hannun.domain.secret_hashes import hash_secret
from hannun.errors import Unauthenticated
from hannun.tokens import ROLES_CLAIM, RoleClaim, check_secret
from hannun.web.jwks import PUBLIC_KEY_ALGORITHMS, TokenKeys, VerificationKey

COOKIE = "hannun_session"
SHARE_COOKIE = "hannun_share"
SESSIONS_CACHED_MAX = 20_000
TOKEN_LENGTH_MAX = 8_192
"""A longer token is refused before any of it is parsed."""
SUBJECT_LENGTH_MAX = 255
LEEWAY_S = 5
"""The tolerated difference between the issuer's clock and the server's."""
_DECODING_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What PyJWT and the JSON parser raise where a part of a token has an unforeseen type."""
_EXPIRY_MAX_S = 253_402_300_799.0  # the end of the year 9999, the last instant that `datetime` can hold


@dataclass(frozen=True, slots=True)
class Session:
    """A verified token.

    Args:
        expires_at: seconds since 1970.
        token_hash: identifies the session, also after it has ended.
        key_fingerprint: the published key that verified it; None if a shared secret did.
        secret_hash: identifies that shared secret.
    """

    principal: Principal
    expires_at: float
    token_hash: bytes
    key_fingerprint: bytes | None = None
    secret_hash: bytes | None = None


class Verifier:
    """Verifies tokens that are signed with a shared secret (HS256), by a published key (RS256, ES256), or both.

    Args:
        secrets: the shared secrets of that moment, each of which may have signed a token; "" is none.
        keys: the issuer's published keys; None to accept tokens by the secret only.
        issuer: the required `iss`; "" accepts any issuer that has the key.
        audience: the required `aud`; "" accepts only tokens without an audience.
        role_claim: where a token names its roles, and how.
        ended: the hashes of the tokens whose sessions have ended before they expire.

    Raises:
        OperatorError: the secret is too short, or is a public key.
    """

    def __init__(
        self,
        secrets: Callable[[], tuple[str, ...]],
        keys: TokenKeys | None = None,
        *,
        issuer: str = "",
        audience: str = "",
        role_claim: RoleClaim = ROLES_CLAIM,
        ended: Container[bytes] = frozenset(),
    ) -> None:
        for secret in secrets():
            if secret or keys is None:
                check_secret("HANNUN_JWT_SECRET", secret)
        self._secrets = secrets
        self._known_secrets: tuple[str, ...] = ()
        self._secret_hashes: frozenset[bytes] = frozenset()
        self._keys = keys
        self._issuer = issuer or None
        self._audience = audience or None
        self._role_claim = role_claim
        self._ended = ended
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def cached_session(self, token: str) -> Session | None:
        """The session of a token that was verified before and is still valid. Without I/O."""
        session = self._sessions.get(token)
        return session if session is not None and self.is_valid(session) else None

    def is_valid(self, session: Session) -> bool:
        """Whether a session is still valid: not expired, not ended, its key trusted. Without I/O."""
        if session.expires_at + LEEWAY_S <= time.time() or session.token_hash in self._ended:
            return False
        return self._key_is_trusted(session)

    async def verify(self, token: str) -> Session:
        """
        Raises:
            Unauthenticated: the token is invalid; the message says why.
            IssuerUnavailable: the token may be valid, but the issuer's keys cannot be read.
        """
        session = self._sessions.get(token)
        if session is not None and _is_expired(session):
            del self._sessions[token]
            raise Unauthenticated("the token has expired")
        if session is None or not self._key_is_trusted(session):
            self._sessions.pop(token, None)
            session = await self._verify_signature(token)
            self._sessions[token] = session
            if len(self._sessions) > SESSIONS_CACHED_MAX:
                self._sessions.popitem(last=False)
        if session.token_hash in self._ended:
            raise Unauthenticated("this session has ended: sign in with a new token")
        return session

    def _key_is_trusted(self, session: Session) -> bool:
        if session.key_fingerprint is None:
            return session.secret_hash in self._hashes_of_secrets()
        return self._keys is not None and self._keys.is_trusted(session.key_fingerprint)

    def _hashes_of_secrets(self) -> frozenset[bytes]:
        secrets = self._secrets()
        if secrets != self._known_secrets:
            self._known_secrets = secrets
            self._secret_hashes = frozenset(map(hash_secret, filter(None, secrets)))
        return self._secret_hashes

    def _session_by_secret(self, token: str) -> Session:
        """The session of a token that one of the shared secrets has signed.

        Raises:
            jwt.InvalidTokenError: none has, or the token is refused for another reason.
        """
        for secret in filter(None, self._secrets()):
            with suppress(jwt.InvalidSignatureError):
                return self._session_of(token, self._claims(token, secret, "HS256"), secret_hash=hash_secret(secret))
        raise jwt.InvalidSignatureError("Signature verification failed")

    async def _verify_signature(self, token: str) -> Session:
        if len(token) > TOKEN_LENGTH_MAX:
            raise Unauthenticated("the token is longer than {length_max} characters", length_max=TOKEN_LENGTH_MAX)
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if not isinstance(algorithm, str):
                raise Unauthenticated("the token is invalid: it cannot be decoded")
            if algorithm == "HS256" and any(self._secrets()):
                return self._session_by_secret(token)
            if algorithm in PUBLIC_KEY_ALGORITHMS and self._keys is not None:
                if not isinstance(kid, str):
                    raise Unauthenticated("the token is invalid: it names no key (kid)")
                key = await self._keys.find(kid, algorithm)
                return self._session_of(token, self._claims(token, key.key, key.algorithm), key.fingerprint)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired") from error
        except jwt.InvalidTokenError as error:
            raise _unauthenticated(error) from error
        except _DECODING_ERRORS as error:
            raise Unauthenticated("the token is invalid: it cannot be decoded") from error
        raise Unauthenticated("the token is invalid: its signature algorithm is not accepted here")

    def _session_of(
        self,
        token: str,
        claims: dict[str, Any],
        key_fingerprint: bytes | None = None,
        *,
        secret_hash: bytes | None = None,
    ) -> Session:
        """The session of verified claims. The signature says who wrote them, not that their types are right.

        Raises:
            Unauthenticated: a claim has another type than it must have.
        """
        subject, expires_at = claims["sub"], claims["exp"]
        try:
            roles = self._role_claim.decode(claims)
        except ValueError as error:
            raise Unauthenticated("the token is invalid: its sub or roles claim is malformed") from error
        if not _is_subject(subject):
            raise Unauthenticated("the token is invalid: its sub or roles claim is malformed")
        # PyJWT converts with int(), which also takes texts and booleans.
        if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or not math.isfinite(expires_at):
            raise Unauthenticated("the token is invalid: it cannot be decoded")
        # Where no audience is required, PyJWT accepts every empty one, also {} and false.
        audience = claims.get("aud")
        if audience is not None and not isinstance(audience, str) and not _is_text_list(audience):
            raise Unauthenticated("the token is invalid: it is for another audience (aud)")
        return Session(
            Principal(canonical_id(subject), roles),
            min(float(expires_at), _EXPIRY_MAX_S),
            hash_secret(token),
            key_fingerprint,
            secret_hash,
        )

    def _claims(self, token: str, key: str | VerificationKey, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_S,
            options={"require": ["sub", "exp"]},
        )


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_subject(value: object) -> bool:
    """Whether PostgreSQL, Redis and JSON can hold it: no control characters and no lone surrogates."""
    if not isinstance(value, str) or not 0 < len(value) <= SUBJECT_LENGTH_MAX:
        return False
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in value)


def _unauthenticated(error: jwt.InvalidTokenError) -> Unauthenticated:
    """The reason why a token is invalid, as a message that can be translated: PyJWT has English messages only."""
    match error:
        case jwt.MissingRequiredClaimError():
            return Unauthenticated("the token is invalid: it has no {claim}", claim=error.claim)
        case jwt.InvalidSignatureError():
            return Unauthenticated("the token is invalid: its signature does not match")
        case jwt.ImmatureSignatureError() | jwt.InvalidIssuedAtError():
            return Unauthenticated("the token is not valid yet: its nbf or iat is in the future")
        case jwt.InvalidIssuerError():
            return Unauthenticated("the token is invalid: it comes from another issuer (iss)")
        case jwt.InvalidAudienceError():
            return Unauthenticated("the token is invalid: it is for another audience (aud)")
    return Unauthenticated("the token is invalid: it cannot be decoded")


def _is_expired(session: Session) -> bool:
    return session.expires_at + LEEWAY_S <= time.time()


def bearer_token_in(headers: Mapping[str, str]) -> str | None:
    """The token of the Authorization header; None where there is none, also where the header has another scheme."""
    return bearer_token(headers.get("authorization", ""))


def bearer_token(authorization: str) -> str | None:
    """The token in the value of an Authorization header; None where it has another scheme, or no token."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def token_in(headers: Mapping[str, str], cookies: Mapping[str, str], cookie: str) -> tuple[str, bool]:
    """The token of a request, and whether it came in the cookie of this name.

    Raises:
        Unauthenticated: there is none.
    """
    token = bearer_token_in(headers)
    if token is not None:
        return token, False
    if cookie in cookies:
        return cookies[cookie], True
    raise Unauthenticated("this needs a token: Authorization: Bearer <token>")
