"""Links with a one-time code for `hannun up` and `hannun sign-in-code`."""

from collections.abc import Collection

from hannun.domain.audit_chain import operator
from hannun.flows.sessions import create_code
from hannun.store.database import connect
from hannun.tokens import check_roles


def sign_in_link(api: str, database_url: str, user_id: str, roles: Collection[str], by: str) -> str:
    """The address of the page with a new code, which signs one browser in as this user.

    Args:
        by: who makes it, for the audit log.

    Raises:
        OperatorError: there is no such role, or PostgreSQL cannot be reached.
    """
    check_roles(roles)
    with connect(database_url, application="hannun-sign-in-code") as conn:
        return f"{api}/#code={create_code(conn, user_id, sorted(roles), operator(by))}"
