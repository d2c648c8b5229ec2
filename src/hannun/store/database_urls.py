"""URLs of databases, which an operator writes: one that cannot be parsed raises our error."""

import re
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hannun.errors import OperatorError
from hannun.store.pooled_connections import PooledUrl

_QUOTED: Final = re.compile('"([^"]*)"')
"""A part of the URL in libpq's text. It may be the password."""


def parse_url(url: str) -> dict[str, Any]:
    """The parameters in a URL, or in libpq's form `host=... dbname=...`.

    Raises:
        OperatorError: it cannot be parsed. The message holds nothing of the URL.
    """
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        reason = _QUOTED.sub(lambda part: part[0] if part[1] == "=" else "(...)", " ".join(str(error).split()))
        raise OperatorError(
            f"cannot read the URL of the database: {reason}",
            hint="DATABASE_URL, and each HANNUN_..._DATABASE_URL, looks like "
            "postgresql://user:password@host:port/analytics_db",
        ) from error


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server. Raises as `parse_url`."""
    parse_url(url)
    named = make_conninfo(url, dbname=name)
    return PooledUrl(named) if isinstance(url, PooledUrl) else named
