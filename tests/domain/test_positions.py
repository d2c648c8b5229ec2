"""How many records of a partition are not counted, and where to resume it, from its log and its stored position."""

import pytest

from hannun.domain.positions import (
    KnownPosition,
    PartitionLog,
    ResumeAt,
    SkippedRange,
    StartFrom,
    TopicAtBroker,
    WaitForOperator,
    after_decision,
    resume_or_stop,
    topic_stop,
)

LOG = PartitionLog("this-topic", low=10, high=30)
PARTITION = ("sales", 3)


@pytest.mark.parametrize(
    ("known", "not_counted"),
    [
        (KnownPosition("this-topic", 30), 0),
        (KnownPosition("this-topic", 12), 18),
        (KnownPosition("this-topic", 4), 20),  # removed records can no longer be counted
        (KnownPosition("this-topic", 99), 0),  # truncated: it waits for an operator, not for messages
        (KnownPosition("another-topic", 30), 20),  # the topic was recreated
        (None, 20),
    ],
)
def test_records_that_the_log_holds_from_the_position_on_are_not_counted(
    known: KnownPosition | None, not_counted: int
) -> None:
    assert LOG.not_counted(known) == not_counted


@pytest.mark.parametrize(
    ("known", "resumes"),
    [
        pytest.param(KnownPosition("this-topic", 10), ResumeAt(10), id="at its start"),
        pytest.param(KnownPosition("this-topic", 20), ResumeAt(20), id="within it"),
        pytest.param(KnownPosition("this-topic", 30), ResumeAt(30), id="at its end"),
        pytest.param(
            KnownPosition("this-topic", 20, 3), ResumeAt(20, 3), id="with the leader epoch that shows a truncation"
        ),
    ],
)
@pytest.mark.parametrize("start_from", ["", "earliest", "latest"])
def test_a_position_within_the_log_is_resumed(known: KnownPosition, resumes: ResumeAt, start_from: StartFrom) -> None:
    assert resume_or_stop(PARTITION, LOG, known, start_from, added=False) == resumes


@pytest.mark.parametrize(
    ("start_from", "added", "offset"),
    [("earliest", False, 10), ("latest", False, 30), ("", True, 10), ("earliest", True, 10), ("latest", True, 10)],
)
def test_a_partition_without_a_position_starts_at_the_setting_and_an_added_one_at_its_start(
    start_from: StartFrom, added: bool, offset: int
) -> None:
    assert resume_or_stop(PARTITION, LOG, None, start_from, added=added) == ResumeAt(offset)


@pytest.mark.parametrize(
    ("known", "truncated", "finding", "until_decided"),
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
def test_any_other_finding_waits_for_an_operator_and_names_the_command_that_decides(
    known: KnownPosition | None, truncated: bool, finding: str, until_decided: bool
) -> None:
    stop = resume_or_stop(PARTITION, PartitionLog("this-topic", 10, 30, truncated), known, "", added=False)
    assert isinstance(stop, WaitForOperator)
    assert finding in stop.reason
    assert stop.hint.startswith("hannun positions set sales ")
    assert stop.until_decided == until_decided


@pytest.mark.parametrize(
    ("found", "counted", "finding"),
    [
        pytest.param(TopicAtBroker(None), [0, 1], "it was deleted", id="deleted"),
        pytest.param(TopicAtBroker(None), [], "has no topic of this name", id="never existed"),
        pytest.param(TopicAtBroker(None, refused="Topic authorization failed"), [0], "authorization", id="refused"),
        pytest.param(TopicAtBroker("id", 2), [0, 1, 2, 3], "with 2 partitions: 2 that were counted", id="fewer"),
    ],
)
def test_a_topic_that_cannot_be_read_waits_as_a_whole(found: TopicAtBroker, counted: list[int], finding: str) -> None:
    stop = topic_stop("sales", found, counted)
    assert stop is not None
    assert finding in stop.reason
    assert "hannun positions forget sales" in stop.hint or found.refused


@pytest.mark.parametrize("counted", [[], [0], [0, 1]])
def test_a_topic_that_has_all_counted_partitions_leaves_the_decision_to_each(counted: list[int]) -> None:
    assert topic_stop("sales", TopicAtBroker("id", 2), counted) is None


@pytest.mark.parametrize(
    ("decisions", "skipped"),
    [
        pytest.param([(10, 20)], {*range(10, 20)}, id="one"),
        pytest.param([(10, 20), (25, 30)], {*range(10, 20), *range(25, 30)}, id="two"),
        pytest.param([(10, 20), (None, 0)], set(), id="all are read again"),
        pytest.param([(10, 20), (None, 15)], {*range(10, 15)}, id="some are read again"),
        pytest.param([(10, 20), (None, 0), (12, 14)], {12, 13}, id="skipped in another way"),
    ],
)
def test_offsets_stay_skipped_until_a_decision_lets_them_be_read(
    decisions: list[tuple[int | None, int]], skipped: set[int]
) -> None:
    ranges: list[SkippedRange] = []
    for decision in decisions:
        ranges = after_decision(ranges, *decision)
    assert {offset for one in ranges for offset in range(*one)} == skipped
