"""Compares what the database holds with the oracle."""

from datetime import UTC

from oracle import KNOWN, Oracle, same
from world import World


def assert_equals_oracle(world: World, oracle: Oracle) -> None:
    """The figures in PostgreSQL are those of the oracle."""
    for event, known in oracle.events.items():
        stats, expected = world.event_stats(event), oracle.stats(event)
        if expected is None:
            assert stats is None
        else:
            assert {name: stats.columns[name] for name in expected} == expected
        if not world.rows("SELECT 1 FROM hannun.events WHERE event_id = %s", event):
            assert not (known.participants or known.sales or known.states or known.status), "a message left no row"
            continue
        ours = world.event_row(event)
        assert (ours.participants, ours.unattributed) == (oracle.total(event), oracle.unattributed(event))
        assert (ours.sales, ours.recorded_revenue) == oracle.sales(event)
        channels = {
            name if name in KNOWN else same(name): (row.channel_type, row.participants, row.distribution_cost)
            for name, row in world.channel_stats(event).items()
        }
        # The column holds 0 for a cost that no message has said.
        assert channels == {
            name: (type_, count, cost or 0) for name, (type_, count, cost) in oracle.channels(event).items()
        }
        timeline = world.timeline(event)
        assert {row.timestamp.replace(tzinfo=UTC): row.participants for row in timeline} == oracle.timeline(event)
        cumulative = {row.timestamp.replace(tzinfo=UTC): row.cumulative_participants for row in timeline}
        assert cumulative == oracle.cumulative(event)
        # The parts add up to the whole.
        assert (
            sum(row.participants for row in world.channel_stats(event).values()) + ours.unattributed
            == ours.participants
        )
        assert max(cumulative.values(), default=0) == ours.participants
