"""A partition stops before all of its messages become dead letters."""

import pytest

from hannun.domain.batch import ReceivedMessage, RecordId
from hannun.domain.facts import EventStatus, EventStatusChanged, Fact, Reason, Rejected
from hannun.domain.quarantine import Quarantine, QuarantineLimits, RejectionTally
from hannun.errors import PartitionUnusable

GOOD: Fact = EventStatusChanged("e", 0, EventStatus.ENDED)
BAD = Rejected("event-created", Reason.NOT_JSON, "no JSON")
LIMITS = QuarantineLimits(in_a_row_max=10, share_max=0.5, window=100)


def test_a_few_unusable_messages_do_not_stop_a_partition() -> None:
    tally = RejectionTally().after([BAD] * 10, LIMITS)
    assert tally.violation(LIMITS) is None


def test_too_many_unusable_messages_in_a_row_stop_a_partition_even_across_batches() -> None:
    tally = RejectionTally().after([BAD] * 6, LIMITS).after([BAD] * 5, LIMITS)
    assert "11 messages in a row" in (tally.violation(LIMITS) or "")
    assert "not-json" in tally.reason


def test_a_usable_message_ends_a_row_of_unusable_ones() -> None:
    tally = RejectionTally().after([BAD] * 10 + [GOOD] + [BAD] * 10, LIMITS)
    assert tally.violation(LIMITS) is None


def test_usable_messages_later_in_the_batch_do_not_undo_a_row_that_was_too_long() -> None:
    assert RejectionTally().after([BAD] * 11 + [GOOD] * 100, LIMITS).violation(LIMITS) is not None


def test_too_large_a_share_of_unusable_messages_stops_a_partition() -> None:
    mixed: list[Fact | Rejected] = [BAD, BAD, GOOD] * 30
    assert "% of the last" in (RejectionTally().after(mixed, LIMITS).violation(LIMITS) or "")
    assert RejectionTally().after([BAD, GOOD, GOOD] * 30, LIMITS).violation(LIMITS) is None


def test_old_rejections_lose_their_weight() -> None:
    tally = RejectionTally().after([BAD, GOOD] * 49, LIMITS)
    for _ in range(20):
        tally = tally.after([GOOD] * 100, LIMITS)
    assert tally.rejected < 1


def messages(count: int, partition: int) -> list[ReceivedMessage]:
    return [ReceivedMessage("event-created", b"", 0, RecordId("t", "id", partition, at)) for at in range(count)]


def test_each_partition_has_its_own_limit() -> None:
    quarantine = Quarantine(LIMITS)
    for partition in (0, 1, 2):
        quarantine = quarantine.after(messages(10, partition), dict.fromkeys(range(10), BAD))
    with pytest.raises(PartitionUnusable, match=r"t\[1\]: 11 messages in a row"):
        quarantine.after(messages(1, 1), {0: BAD})
    quarantine = quarantine.without(("t", 1)).after(messages(1, 1), {0: BAD})
    with pytest.raises(PartitionUnusable, match=r"t\[2\]: 11 messages in a row"):
        quarantine.after(messages(1, 2), {0: BAD})


def test_messages_over_http_are_not_limited() -> None:
    over_http = [message._replace(record_id=None) for message in messages(100, 0)]
    assert Quarantine(LIMITS).after(over_http, dict.fromkeys(range(100), BAD)).tallies == {}
