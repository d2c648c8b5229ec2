"""Signs bearer tokens with the shared secret: for `hannun token`, `hannun up` and tests.

In production the platform's user service issues the tokens; `web/auth.py` verifies them.
"""

import time

import jwt

ROLES = frozenset({"MERCHANT", "ADMIN", "SERVICE"})
"""The roles that a token may carry."""


def sign_token(
    secret: str, user_id: str, roles: list[str], lasts_s: float, *, issuer: str = "", audience: str = ""
) -> str:
    """A JWT for `user_id`, signed with HS256, that expires in `lasts_s` seconds; "" leaves a claim out."""
    now = time.time()
    claims = {"sub": user_id, "roles": roles, "iat": int(now), "exp": int(now + lasts_s)}
    claims |= {"iss": issuer} if issuer else {}
    claims |= {"aud": audience} if audience else {}
    return jwt.encode(claims, secret, algorithm="HS256")
