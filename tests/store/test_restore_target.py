"""The name of the database that a restore fills is checked before anything is connected to."""

import pytest

from hannun.errors import OperatorError
from hannun.store.restore_target import RestoreTarget

LIVE = "postgresql://owner@127.0.0.1:1/analytics_db"


def refused(into: str) -> OperatorError:
    with pytest.raises(OperatorError) as raised:
        RestoreTarget(LIVE, LIVE, into)
    return raised.value


def test_no_hint_says_to_drop_the_live_database() -> None:
    error = refused("analytics_db")
    assert "analytics_db is the live database" in error.args[0]
    assert "--into" in error.hint
    assert "DROP" not in error.hint


def test_the_database_that_a_restore_has_replaced_is_not_overwritten() -> None:
    assert "the last restore has replaced" in refused("analytics_db_before_restore").args[0]


@pytest.mark.parametrize("name", ["bad name;", "", "Analytics", "a" * 64, "9lives", "-db", "데이터", "db\n", 'db"'])
def test_a_name_that_would_need_quotes_is_refused(name: str) -> None:
    assert "is no name for a new database" in refused(name).args[0]


@pytest.mark.parametrize("name", ["analytics_db_of_monday", "a", "a" * 63, "restored-2026"])
def test_another_name_is_taken(name: str) -> None:
    assert RestoreTarget(LIVE, LIVE, name).name == name
