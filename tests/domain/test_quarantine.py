"""A partition stops before its topic is emptied into the dead letters."""

from hannun.domain.facts import EventStatus, EventStatusChanged, Fact, Reason, Rejected
from hannun.domain.quarantine import QuarantineLimits, RejectionTally

GOOD: Fact = EventStatusChanged("e", 0, EventStatus.ENDED)
BAD = Rejected("event-created", Reason.NOT_JSON, "no JSON")
LIMITS = QuarantineLimits(in_a_row_max=10, share_max=0.5, window=100)


def test_a_few_bad_messages_stop_nobody() -> None:
    tally = RejectionTally().after([BAD] * 10, LIMITS)
    assert tally.violation(LIMITS) is None


def test_too_many_in_a_row_stop_a_partition_also_over_batches() -> None:
    tally = RejectionTally().after([BAD] * 6, LIMITS).after([BAD] * 5, LIMITS)
    assert "11 messages in a row" in (tally.violation(LIMITS) or "")
    assert "not-json" in (tally.violation(LIMITS) or "")


def test_a_good_message_ends_a_row() -> None:
    tally = RejectionTally().after([BAD] * 10 + [GOOD] + [BAD] * 10, LIMITS)
    assert tally.violation(LIMITS) is None


def test_a_row_that_was_too_long_is_not_forgiven_by_what_follows_in_the_batch() -> None:
    assert RejectionTally().after([BAD] * 11 + [GOOD] * 100, LIMITS).violation(LIMITS) is not None


def test_too_large_a_share_stops_a_partition() -> None:
    mixed: list[Fact | Rejected] = [BAD, BAD, GOOD] * 30
    assert "% of the last" in (RejectionTally().after(mixed, LIMITS).violation(LIMITS) or "")
    assert RejectionTally().after([BAD, GOOD, GOOD] * 30, LIMITS).violation(LIMITS) is None


def test_what_is_long_ago_fades() -> None:
    tally = RejectionTally().after([BAD, GOOD] * 49, LIMITS)
    for _ in range(20):
        tally = tally.after([GOOD] * 100, LIMITS)
    assert tally.rejected < 1
