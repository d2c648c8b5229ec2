"""Copies in the process: never longer than a second, never further behind than 100 ms, never over an announcement."""

from hannun.cache.local import LAG_S_MAX, LIVES_S, LocalCache, VersionFloors
from hannun.domain.answer import EncodedAnswer

KEY, OTHER = "analytics:dashboard:spring", "analytics:dashboard:autumn"


def answer(version: int, size: int = 100, until_ms: int = 0) -> EncodedAnswer:
    return EncodedAnswer(b"x" * size, version, "owner", f'"{version}"', until_ms)


def listening(bytes_max: int = 100_000) -> LocalCache:
    copies = LocalCache(bytes_max)
    copies.heard(0.0)
    return copies


def keeps(copies: LocalCache, version: int, key: str = KEY, now_s: float = 0.0, size: int = 100) -> None:
    guard = copies.begin(key, now_s)
    copies.keep(guard, key, answer(version, size))
    copies.end(guard)


def test_a_copy_is_found_until_its_key_is_announced() -> None:
    copies = listening()
    keeps(copies, 1)
    keeps(copies, 1, OTHER)
    assert copies.get(KEY, 0.05, 0) == answer(1)
    copies.announced([KEY])
    assert copies.get(KEY, 0.05, 0) is None
    assert copies.get(OTHER, 0.05, 0) == answer(1)


def test_what_was_read_before_an_announcement_is_not_kept_after_it() -> None:
    copies = listening()
    guard = copies.begin(KEY, 0.0)
    copies.announced([KEY])
    copies.keep(guard, KEY, answer(1))
    assert copies.get(KEY, 0.0, 0) is None
    again = copies.begin(KEY, 0.0)
    copies.keep(guard, KEY, answer(1))  # nor under the guard of another reading
    assert copies.get(KEY, 0.0, 0) is None
    copies.keep(again, KEY, answer(2))
    assert copies.get(KEY, 0.0, 0) == answer(2)


def test_a_copy_is_believed_no_longer_than_the_subscription_is_known_to_live() -> None:
    copies = listening()
    keeps(copies, 1)
    assert copies.get(KEY, LAG_S_MAX - 0.001, 0) is not None
    assert copies.get(KEY, LAG_S_MAX + 0.001, 0) is None
    copies.heard(0.2)
    assert copies.get(KEY, 0.2, 0) is not None


def test_after_a_lost_connection_nothing_is_believed_and_nothing_under_way_is_kept() -> None:
    copies = listening()
    keeps(copies, 1)
    guard = copies.begin(OTHER, 0.0)
    copies.lost()
    assert copies.begin(KEY, 0.0) is None
    copies.heard(0.0)
    copies.keep(guard, OTHER, answer(1))
    assert copies.get(KEY, 0.0, 0) is None and copies.get(OTHER, 0.0, 0) is None
    assert copies.bytes == 0


def test_a_copy_lives_a_second_from_before_it_was_read() -> None:
    copies = listening()
    guard = copies.begin(KEY, 0.0)
    copies.keep(guard, KEY, answer(1))
    copies.heard(LIVES_S)
    assert copies.get(KEY, LIVES_S, 0) is not None
    assert copies.get(KEY, LIVES_S + 0.001, 0) is None
    assert len(copies) == 0


def test_a_copy_is_true_no_longer_than_it_says() -> None:
    copies = listening()
    copies.keep(copies.begin(KEY, 0.0), KEY, answer(1, until_ms=1_000))
    assert copies.get(KEY, 0.0, 999) is not None
    assert copies.get(KEY, 0.0, 1_000) is None


def test_an_older_answer_never_covers_a_newer_one_and_a_newer_one_removes_an_older_without_a_guard() -> None:
    copies = listening()
    keeps(copies, 2)
    keeps(copies, 1)
    assert copies.get(KEY, 0.0, 0) == answer(2)
    copies.keep(None, KEY, answer(3))
    assert copies.get(KEY, 0.0, 0) is None


def test_copies_take_no_more_room_than_they_have() -> None:
    copies = listening(bytes_max=10_000)
    for number in range(100):
        keeps(copies, 1, f"{KEY}{number}", size=400)
        assert copies.bytes <= 10_000
    assert copies.get(f"{KEY}99", 0.0, 0) is not None and copies.get(f"{KEY}0", 0.0, 0) is None
    keeps(copies, 1, OTHER, size=9_000)
    assert copies.get(OTHER, 0.0, 0) is None  # one answer does not drive out all others
    assert len(listening(0)) == 0


def test_switched_off_nothing_is_kept() -> None:
    copies = listening(bytes_max=0)
    keeps(copies, 1)
    assert copies.get(KEY, 0.0, 0) is None and not copies.wanted


def test_a_reading_leaves_nothing_behind() -> None:
    copies = listening()
    for _ in range(3):
        copies.end(copies.begin(KEY, 0.0))
    assert copies._guards == {}


def test_a_floor_only_rises_until_redis_knows_or_the_database_itself_has_gone_back() -> None:
    floors = VersionFloors()
    floors.rise(KEY, 5)
    floors.rise(KEY, 3)
    assert floors.of(KEY) == 5
    floors.read(KEY, 0, 4)  # a reading that began before
    assert floors.of(KEY) == 5
    floors.settle(KEY, 4)
    assert floors.of(KEY) == 5
    floors.read(KEY, 5, 4)  # asked after it, the database says less: it was restored
    assert floors.of(KEY) == 4
    floors.settle(KEY, 4)
    assert floors.of(KEY) == 0


def test_after_a_change_of_unknown_version_only_what_was_read_since_may_be_told() -> None:
    floors = VersionFloors()
    floors.outdate(KEY)
    first = floors.of(KEY)
    assert first > 10**30
    floors.outdate(KEY)  # while somebody reads
    floors.read(KEY, first, 7)
    floors.settle(KEY, 7)
    assert floors.of(KEY) > first
    floors.read(KEY, floors.of(KEY), 8)
    assert floors.of(KEY) == 8
    floors.settle(KEY, 8)
    assert floors.of(KEY) == 0
