"""The error where PostgreSQL refuses a statement because the role lacks a right."""

import psycopg

from hannun.errors import OperatorError


def missing_right(error: BaseException) -> OperatorError | None:
    """Our error for psycopg's error of a missing right; None for any other error."""
    if not isinstance(error, psycopg.errors.InsufficientPrivilege):
        return None
    return OperatorError(
        f"PostgreSQL refuses it to this role: {error.diag.message_primary}",
        hint="a command that changes tables, rights or the form of amounts runs as the tables' owner "
        "(HANNUN_OWNER_DATABASE_URL); any other as a member of analytics_readwrite (DATABASE_URL)",
    )
