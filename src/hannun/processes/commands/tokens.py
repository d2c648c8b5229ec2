"""Signs tokens for `hannun token`."""

from collections.abc import Collection

from hannun.errors import OperatorError
from hannun.settings import Settings
from hannun.tokens import ROLES, sign_token


def issue_token(settings: Settings, user_id: str, roles: Collection[str], lasts_s: float) -> str:
    """A token signed with HANNUN_JWT_SECRET.

    Raises:
        OperatorError: there is no such role, or no secret.
    """
    unknown = sorted(set(roles) - ROLES)
    if unknown:
        raise OperatorError(f"no role is named {', '.join(unknown)}", hint=f"one of {', '.join(sorted(ROLES))}")
    return sign_token(
        settings.needed("jwt_secret"),
        user_id,
        list(roles),
        lasts_s,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        role_claim=settings.role_claim,
    )
