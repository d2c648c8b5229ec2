"""Version floors: what a process has answered or committed is the least version that it answers afterwards."""

from hannun.cache.version_floors import VersionFloors

KEY = "analytics:dashboard:spring"


def test_a_floor_rises_until_redis_holds_its_version_or_the_database_was_restored() -> None:
    floors = VersionFloors()
    floors.raise_to(KEY, 5)
    floors.raise_to(KEY, 3)
    assert floors.get(KEY) == 5
    floors.record_read(KEY, 0, 4)  # a read that began before the floor rose
    assert floors.get(KEY) == 5
    floors.record_filled(KEY, 4)
    assert floors.get(KEY) == 5
    floors.record_read(KEY, 5, 4)  # a read that began after it returned less: the database was restored
    assert floors.get(KEY) == 4
    floors.record_filled(KEY, 4)
    assert floors.get(KEY) == 0


def test_after_a_change_to_an_unknown_version_only_a_read_that_began_later_may_be_answered() -> None:
    floors = VersionFloors()
    floors.require_new_read(KEY)
    first = floors.get(KEY)
    assert first > 10**30
    floors.require_new_read(KEY)  # during a read
    floors.record_read(KEY, first, 7)
    floors.record_filled(KEY, 7)
    assert floors.get(KEY) > first
    floors.record_read(KEY, floors.get(KEY), 8)
    assert floors.get(KEY) == 8
    floors.record_filled(KEY, 8)
    assert floors.get(KEY) == 0
