"""Signs bearer tokens with the shared secret: for `hannun token`, `hannun up` and tests. Knows the claim of the roles.

In production the platform's user service issues the tokens; `web/auth.py` verifies them.
"""

import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from hannun.errors import OperatorError
from hannun.secret_file import lines_of

SECRET_LENGTH_MIN = 32
SESSION_LASTS_S = 12 * 3_600.0
"""How long a session lasts that begins with a one-time code."""
ROLES = frozenset({"MERCHANT", "ADMIN", "SERVICE"})
"""The roles that a token may carry."""


def check_secret(variable: str, secret: str) -> None:
    """
    Raises:
        OperatorError: the secret is too short, or is a public key.
    """
    if "-----BEGIN" in secret:
        raise OperatorError(
            f"{variable} is a key in PEM form: anybody who knows a public key could sign tokens with it",
            hint="a random secret for HS256; public keys come by HANNUN_JWT_JWKS_URL or HANNUN_JWT_JWKS_FILE",
        )
    if len(secret) < SECRET_LENGTH_MIN:
        raise OperatorError(
            f"{variable} has {len(secret)} characters, at least {SECRET_LENGTH_MIN} are needed",
            hint="python3 -c 'import secrets; print(secrets.token_urlsafe(48))' makes one",
        )


def signing_secrets(variable: str, content: bytes) -> tuple[str, ...]:
    """The secrets of a file, one a line: the first signs, each of them verifies.

    Raises:
        OperatorError: there is none, or one cannot be used.
    """
    secrets_ = lines_of(variable, content)
    for secret in secrets_:
        check_secret(variable, secret)
    return secrets_


def check_roles(roles: Collection[str]) -> None:
    """
    Raises:
        OperatorError: there is no such role.
    """
    unknown = sorted(set(roles) - ROLES)
    if unknown:
        raise OperatorError(f"no role is named {', '.join(unknown)}", hint=f"one of {', '.join(sorted(ROLES))}")


@dataclass(frozen=True, slots=True)
class RoleClaim:
    """How a token names its caller's roles.

    Args:
        name: of the claim. Where a token has no claim of that name, dots lead into objects: `realm_access.roles`.
        prefix: what stands before each role's name, and is removed. A name without it is no role.
        mapping: the roles of a name that the issuer uses, for names that are no roles here. It takes a name as it is
            in the token, so with its prefix.
    """

    name: str = "roles"
    prefix: str = ""
    mapping: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def decode(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """The known roles in the claims of a token; names that are no roles are ignored.

        Raises:
            ValueError: the claim is not a list of texts. One with a name of the operator's may also be one text, with
                spaces or commas between the roles, as OAuth's `scope` is.
        """
        names = self._value_in(claims)
        if isinstance(names, str) and self.name != ROLES_CLAIM.name:
            names = re.split("[ ,]+", names)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("the claim of the roles is not a list of texts")
        return frozenset(role for name in names for role in self._roles_of(name))

    def encode(self, roles: Iterable[str]) -> dict[str, Any]:
        """The claim of a token with these roles, as `decode` reads it."""
        value: Any = [self._name_of(role) for role in roles]
        # An issuer's namespace is an address, whose dots are part of the name.
        path = [self.name] if "/" in self.name else self.name.split(".")
        for name in reversed(path):
            value = {name: value}
        return dict(value)

    def _value_in(self, claims: Mapping[str, Any]) -> Any:
        if self.name in claims:
            return claims[self.name]
        value: Any = claims
        for name in self.name.split("."):
            if not isinstance(value, Mapping):
                raise ValueError("the claim of the roles is not in an object")
            if name not in value:
                return []
            value = value[name]
        return value

    def _roles_of(self, name: str) -> Collection[str]:
        if name in self.mapping:
            return self.mapping[name]
        role = name.removeprefix(self.prefix)
        return [role] if name.startswith(self.prefix) and role in ROLES else []

    def _name_of(self, role: str) -> str:
        name = self.prefix + role
        if name not in self.mapping:
            return name
        return next((mapped for mapped, roles in self.mapping.items() if roles == {role}), name)


ROLES_CLAIM = RoleClaim()


def sign_token(
    secret: str,
    user_id: str,
    roles: list[str],
    lasts_s: float,
    *,
    issuer: str = "",
    audience: str = "",
    role_claim: RoleClaim = ROLES_CLAIM,
) -> str:
    """A JWT for `user_id`, signed with HS256, that expires in `lasts_s` seconds; "" leaves a claim out."""
    now = time.time()
    claims = {"sub": user_id, **role_claim.encode(roles), "iat": int(now), "exp": int(now + lasts_s)}
    claims["jti"] = secrets.token_hex(8)  # so that no two tokens are the same, and each session ends by itself
    claims |= {"iss": issuer} if issuer else {}
    claims |= {"aud": audience} if audience else {}
    return jwt.encode(claims, secret, algorithm="HS256")
