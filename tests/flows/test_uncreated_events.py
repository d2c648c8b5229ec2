"""Events that are counted and whose event-created message never came."""

from structlog.testing import capture_logs
from world import SPRING, World

from hannun.flows.maintenance import log_uncreated_events


def test_an_event_that_is_counted_for_an_hour_and_never_created_is_logged(world: World) -> None:
    world.count(world.registered())
    with capture_logs() as early:
        assert log_uncreated_events(world.database) == 0
    world.rows("UPDATE hannun.events SET first_seen_at = clock_timestamp() - interval '2 hours'")
    with capture_logs() as late:
        assert log_uncreated_events(world.database) == 1
    assert early == []
    assert [(line["event_id"], line["participants"]) for line in late] == [(SPRING, 1)]
