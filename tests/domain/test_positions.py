"""How much of a partition is not counted, and where to go on with it, as its log and PostgreSQL have it."""

import pytest

from hannun.domain.positions import KnownPosition, PartitionLog, ResumeAt, StartFrom, WaitForOperator, resume_or_stop

LOG = PartitionLog("this-topic", low=10, high=30)


@pytest.mark.parametrize(
    ("known", "not_counted"),
    [
        (KnownPosition("this-topic", 30), 0),
        (KnownPosition("this-topic", 12), 18),
        (KnownPosition("this-topic", 4), 20),  # what was removed can be counted no more
        (KnownPosition("this-topic", 99), 0),  # the log was cut off: it waits, and not for messages
        (KnownPosition("another-topic", 30), 20),  # the topic was made anew
        (None, 20),
    ],
)
def test_what_is_not_counted_is_what_the_log_still_holds_behind_the_position(
    known: KnownPosition | None, not_counted: int
) -> None:
    assert LOG.not_counted(known) == not_counted


@pytest.mark.parametrize(
    ("known", "goes_on"),
    [
        pytest.param(KnownPosition("this-topic", 10), ResumeAt(10), id="at its beginning"),
        pytest.param(KnownPosition("this-topic", 20), ResumeAt(20), id="within it"),
        pytest.param(KnownPosition("this-topic", 30), ResumeAt(30), id="at its end"),
        pytest.param(
            KnownPosition("this-topic", 20, 3), ResumeAt(20, 3), id="with the epoch by which it can be checked"
        ),
    ],
)
@pytest.mark.parametrize("start_from", ["", "earliest", "latest"])
def test_a_position_that_the_log_still_holds_is_gone_on_from(
    known: KnownPosition, goes_on: ResumeAt, start_from: StartFrom
) -> None:
    assert resume_or_stop("place", LOG, known, start_from, added=False) == goes_on


@pytest.mark.parametrize(
    ("start_from", "added", "offset"),
    [("earliest", False, 10), ("latest", False, 30), ("", True, 10), ("earliest", True, 10), ("latest", True, 10)],
)
def test_a_partition_that_was_never_read_begins_where_the_setting_says_and_an_added_one_at_its_beginning(
    start_from: StartFrom, added: bool, offset: int
) -> None:
    assert resume_or_stop("place", LOG, None, start_from, added=added) == ResumeAt(offset)


@pytest.mark.parametrize(
    ("known", "truncated", "says", "until_decided"),
    [
        pytest.param(None, False, "no setting says where to start", False, id="never read"),
        pytest.param(KnownPosition("another-topic", 20), False, "deleted and recreated", False, id="recreated"),
        pytest.param(KnownPosition("this-topic", 9), False, "1 offsets were removed before they", True, id="removed"),
        pytest.param(
            KnownPosition("this-topic", 31), False, "its log ends at 30: it was truncated", True, id="truncated"
        ),
        pytest.param(
            KnownPosition("this-topic", 20), True, "has other records before that", True, id="truncated and regrown"
        ),
    ],
)
def test_whatever_else_is_found_waits_for_an_operator_and_says_what_mends_it(
    known: KnownPosition | None, truncated: bool, says: str, until_decided: bool
) -> None:
    stop = resume_or_stop("sales[3]", PartitionLog("this-topic", 10, 30, truncated), known, "", added=False)
    assert isinstance(stop, WaitForOperator)
    assert stop.reason.startswith("sales[3]")
    assert says in stop.reason
    assert "hannun positions set" in stop.hint
    assert stop.until_decided == until_decided
