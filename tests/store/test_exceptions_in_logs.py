"""An exception in the log has its traceback, and no value of a row."""

import psycopg
import pytest
from structlog.typing import EventDict
from world import World

from hannun.telemetry import _format_exception


def logged(error: BaseException) -> str:
    event: EventDict = {"event": "failed", "exc_info": error}
    return str(_format_exception(None, "error", event)["exception"])


def raised(world: World, statement: str) -> psycopg.Error:
    with world.owner_connection() as owner, pytest.raises(psycopg.Error) as caught:
        owner.execute(statement)
    return caught.value


def test_an_error_of_postgresql_names_the_constraint_and_not_the_row(world: World) -> None:
    world.rows("CREATE TABLE t (name text CONSTRAINT t_name UNIQUE)")
    world.rows("INSERT INTO t VALUES ('private')")
    duplicate = logged(raised(world, "INSERT INTO t VALUES ('private')"))
    assert "UniqueViolation: SQLSTATE 23505 t_name" in duplicate and "test_exceptions_in_logs.py" in duplicate
    refused = logged(raised(world, "SELECT 'private'::int"))
    assert "InvalidTextRepresentation: SQLSTATE 22P02" in refused
    unknown = logged(raised(world, "SELECT private FROM t WHERE name = 'secret'"))
    assert "UndefinedColumn" in unknown and "secret" not in unknown
    assert "private" not in duplicate + refused


def test_the_cause_of_an_error_is_logged_before_it() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise RuntimeError("second") from error
    except RuntimeError as error:
        text = logged(error)
    assert text.index("KeyError: 'first'") < text.index("which led to:") < text.index("RuntimeError: second")
