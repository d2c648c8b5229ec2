"""Why PostgreSQL refuses a connection: for now, or until the operator changes something.

libpq gives no SQLSTATE for a refused connection, only the server's text. A text that is not known here, as one in
another language, counts as a refusal for now: trying again does no harm, and the message shows the text.
"""

import re
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from hannun.errors import OperatorError, StoreUnavailable

_LOGIN: Final = re.compile(
    'authentication failed|no password supplied|role ".*" does not exist|not permitted to log in'
)
_UNTIL_CORRECTED: Final = re.compile(
    f"{_LOGIN.pattern}|no pg_hba.conf entry"
    '|database ".*" does not exist|permission denied for database'
    "|does not support SSL|certificate|SSL error"
)

_NOT_BY_POOLER: Final = re.compile("unsupported startup parameter")
"""What PgBouncer says to options for a session."""

_CLOSED: Final = re.compile('database "(?P<name>.*)" is not currently accepting connections')


def refuses_login(error: Exception) -> bool:
    """Whether PostgreSQL does not accept the user or the password."""
    return _LOGIN.search(str(error)) is not None


def refused_connection(url: str, error: Exception) -> OperatorError | StoreUnavailable:
    """The error for a connection that could not be opened: it names the server, what it said, and what to do."""
    where = conninfo_to_dict(url)
    said = " ".join(str(error).split()) or type(error).__name__
    message = (
        f"cannot connect to PostgreSQL at {where.get('host', 'localhost')}:{where.get('port', 5432)} "
        f"as {where.get('user', '(no user)')}: {said}"
    )
    right = "is DATABASE_URL right (postgresql://user:password@host:port/analytics_db)?"
    if _UNTIL_CORRECTED.search(said):
        return OperatorError(message, hint=right)
    if _NOT_BY_POOLER.search(said):
        return OperatorError(message, hint="this is PgBouncer: set HANNUN_TRANSACTION_POOLING=true (docs/operating.md)")
    if closed := _CLOSED.search(said):
        return StoreUnavailable(message, hint=_reopen_hint(closed["name"]))
    return StoreUnavailable(message, hint=f"is it running, and {right} `hannun up` starts an embedded one")


def _reopen_hint(database: str) -> str:
    return (
        "a restore and a swap close the database for a moment; one that was killed leaves it closed: repeat it "
        f'(hannun restore, hannun replay swap), or as the owner ALTER DATABASE "{database}" ALLOW_CONNECTIONS true'
    )
