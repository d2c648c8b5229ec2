"""Retention of backups."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hannun.domain.retention import KeptBackup, to_remove

FRIDAY = datetime(2026, 11, 27, 18, tzinfo=UTC)


def daily_backups(days: int) -> list[KeptBackup]:
    """A logical backup a day, the newest on Friday."""
    return [KeptBackup(f"day-{ago}", "logical", FRIDAY - timedelta(days=ago)) for ago in range(days)]


def test_a_backup_a_day_leaves_seven_days_and_the_last_of_four_weeks() -> None:
    backups = daily_backups(60)
    removed = to_remove(backups, daily=7, weekly=4)
    # Sundays before this Friday are 5, 12 and 19 days ago; the newest of this week is today's.
    assert {backup.name for backup in backups} - set(removed) == {f"day-{ago}" for ago in (*range(7), 12, 19)}


def test_of_an_older_day_the_newest_stays_and_all_of_the_last_24_hours() -> None:
    hours = [KeptBackup(f"hour-{ago}", "logical", FRIDAY - timedelta(hours=ago)) for ago in range(0, 48, 6)]
    removed = to_remove(hours, daily=2, weekly=0)
    # Friday 18:00 is the newest; before Thursday 18:00 the days count.
    assert removed == ["hour-30", "hour-36", "hour-42"]


def test_where_no_new_backup_is_made_none_goes() -> None:
    """The clock is not asked: a machine that stood still for a year keeps what it had."""
    backups = daily_backups(7)
    assert to_remove(backups, daily=7, weekly=0) == []


def test_all_on_which_a_kept_backup_builds_stays() -> None:
    full = KeptBackup("full", "physical", FRIDAY - timedelta(days=40))
    chain, before = [full], full
    for ago in range(39, -1, -1):
        before = KeptBackup(f"inc-{ago}", "physical", FRIDAY - timedelta(days=ago), before.name)
        chain.append(before)
    assert to_remove(chain, daily=1, weekly=0) == []


backups = st.lists(
    st.tuples(st.sampled_from(["logical", "physical", "redis"]), st.integers(0, 90 * 24), st.integers(-1, 5)),
    max_size=40,
    unique_by=lambda made: made[:2],
)


@given(made=backups, daily=st.integers(1, 9), weekly=st.integers(0, 9))
def test_the_newest_of_each_kind_stays_no_chain_is_cut_and_a_second_run_removes_nothing(
    made: list[tuple[str, int, int]], daily: int, weekly: int
) -> None:
    known: list[KeptBackup] = []
    for kind, hours, back in sorted(made, key=lambda one: -one[1]):
        earlier = [one.name for one in known if one.kind == kind == "physical"]
        parent = earlier[-1 - back] if 0 <= back < len(earlier) else None
        known.append(KeptBackup(f"{kind}/{hours}", kind, FRIDAY - timedelta(hours=hours), parent))
    removed = to_remove(known, daily=daily, weekly=weekly)
    left = [one for one in known if one.name not in removed]
    for kind in {one.kind for one in known}:
        newest = max((one for one in known if one.kind == kind), key=lambda one: one.started_at)
        assert newest in left
        assert len({one.started_at.date() for one in left if one.kind == kind}) >= min(
            daily, len({one.started_at.date() for one in known if one.kind == kind})
        )
    assert {one.parent for one in left} - {None} <= {one.name for one in left}
    for position, name in enumerate(removed):
        builds_on_it = [one.name for one in known if one.parent == name]
        assert set(builds_on_it) <= set(removed[:position]), "those that build on it are removed before it"
    assert to_remove(left, daily=daily, weekly=weekly) == []
