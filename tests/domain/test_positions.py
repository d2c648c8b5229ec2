"""How much of a partition is not counted, and where to go on with it, as its log and PostgreSQL have it."""

import pytest

from hannun.domain.positions import GoOn, Known, Log, StartFrom, Wait, way_on

LOG = Log("this-topic", low=10, high=30)


@pytest.mark.parametrize(
    ("known", "not_counted"),
    [
        (Known("this-topic", 30), 0),
        (Known("this-topic", 12), 18),
        (Known("this-topic", 4), 20),  # what was removed can be counted no more
        (Known("this-topic", 99), 0),  # the log was cut off: it waits, and not for messages
        (Known("another-topic", 30), 20),  # the topic was made anew
        (None, 20),
    ],
)
def test_what_is_not_counted_is_what_the_log_still_holds_behind_the_position(
    known: Known | None, not_counted: int
) -> None:
    assert LOG.not_counted(known) == not_counted


@pytest.mark.parametrize(
    ("known", "goes_on"),
    [
        pytest.param(Known("this-topic", 10), GoOn(10), id="at its beginning"),
        pytest.param(Known("this-topic", 20), GoOn(20), id="within it"),
        pytest.param(Known("this-topic", 30), GoOn(30), id="at its end"),
        pytest.param(Known("this-topic", 20, 3), GoOn(20, 3), id="with the epoch by which it can be checked"),
    ],
)
@pytest.mark.parametrize("start_from", ["", "earliest", "latest"])
def test_a_position_that_the_log_still_holds_is_gone_on_from(
    known: Known, goes_on: GoOn, start_from: StartFrom
) -> None:
    assert way_on("place", LOG, known, start_from, added=False) == goes_on


@pytest.mark.parametrize(
    ("start_from", "added", "offset"),
    [("earliest", False, 10), ("latest", False, 30), ("", True, 10), ("earliest", True, 10), ("latest", True, 10)],
)
def test_a_partition_that_was_never_read_begins_where_the_setting_says_and_an_added_one_at_its_beginning(
    start_from: StartFrom, added: bool, offset: int
) -> None:
    assert way_on("place", LOG, None, start_from, added=added) == GoOn(offset)


@pytest.mark.parametrize(
    ("known", "cut_off", "says", "until_decided"),
    [
        pytest.param(None, False, "nobody has said where to begin", False, id="never read"),
        pytest.param(Known("another-topic", 20), False, "deleted and made anew", False, id="made anew"),
        pytest.param(Known("this-topic", 9), False, "1 offsets were removed before they", True, id="removed"),
        pytest.param(Known("this-topic", 31), False, "its log ends at 30: it was cut off", True, id="cut off"),
        pytest.param(Known("this-topic", 20), True, "has other records before that", True, id="cut off and regrown"),
    ],
)
def test_whatever_else_is_found_waits_for_an_operator_and_says_what_mends_it(
    known: Known | None, cut_off: bool, says: str, until_decided: bool
) -> None:
    way = way_on("sales[3]", Log("this-topic", 10, 30, cut_off), known, "", added=False)
    assert isinstance(way, Wait)
    assert way.why.startswith("sales[3]")
    assert says in way.why
    assert "hannun positions set" in way.hint
    assert way.until_decided == until_decided
