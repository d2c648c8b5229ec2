"""Signs tokens for `hannun token`."""

from collections.abc import Collection

from hannun.settings import Settings
from hannun.tokens import check_roles, sign_token


def issue_token(settings: Settings, user_id: str, roles: Collection[str], lasts_s: float) -> str:
    """A token signed with HANNUN_JWT_SECRET.

    Raises:
        OperatorError: there is no such role, or no secret.
    """
    check_roles(roles)
    return sign_token(
        settings.needed("jwt_secret"),
        user_id,
        list(roles),
        lasts_s,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        role_claim=settings.role_claim,
    )
