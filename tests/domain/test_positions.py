"""How much of a partition is not counted, as its log and PostgreSQL have it."""

import pytest

from hannun.domain.positions import Known, Log

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
