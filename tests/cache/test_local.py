"""Local cache: an entry is served a second at most, is at most 100 ms behind, and never outlives an announcement."""

from hannun.cache.local import LAG_S_MAX, LIFETIME_S, RENEW_AFTER_S, LocalCache
from hannun.domain.answer import EncodedAnswer

KEY, OTHER = "analytics:dashboard:spring", "analytics:dashboard:autumn"


def answer(version: int, size: int = 100, until_ms: int = 0) -> EncodedAnswer:
    return EncodedAnswer(b"x" * size, version, "owner", f'"{version}"', until_ms)


def confirmed(bytes_max: int = 100_000) -> LocalCache:
    """A cache whose subscription is confirmed up to second 0."""
    cache = LocalCache(bytes_max)
    cache.confirm_up_to(0.0)
    return cache


def store(cache: LocalCache, version: int, key: str = KEY, now_s: float = 0.0, size: int = 100) -> None:
    guard = cache.begin_read(key, now_s)
    cache.put(guard, key, answer(version, size))
    cache.end_read(guard)


def test_an_entry_is_served_until_its_key_is_invalidated() -> None:
    cache = confirmed()
    store(cache, 1)
    store(cache, 1, OTHER)
    assert cache.get(KEY, 0.05, 0) == answer(1)
    cache.invalidate([KEY])
    assert cache.get(KEY, 0.05, 0) is None
    assert cache.get(OTHER, 0.05, 0) == answer(1)


def test_a_read_that_began_before_an_invalidation_stores_nothing_after_it() -> None:
    cache = confirmed()
    guard = cache.begin_read(KEY, 0.0)
    cache.invalidate([KEY])
    cache.put(guard, KEY, answer(1))
    assert cache.get(KEY, 0.0, 0) is None
    later_guard = cache.begin_read(KEY, 0.0)
    cache.put(guard, KEY, answer(1))  # the guard of a later read does not make the earlier one valid
    assert cache.get(KEY, 0.0, 0) is None
    cache.put(later_guard, KEY, answer(2))
    assert cache.get(KEY, 0.0, 0) == answer(2)


def test_an_entry_is_served_only_while_the_subscription_is_confirmed() -> None:
    cache = confirmed()
    store(cache, 1)
    assert cache.get(KEY, LAG_S_MAX - 0.001, 0) is not None
    assert cache.get(KEY, LAG_S_MAX + 0.001, 0) is None
    cache.confirm_up_to(0.2)
    assert cache.get(KEY, 0.2, 0) is not None


def test_after_a_lost_connection_no_entry_is_served_and_no_read_under_way_is_stored() -> None:
    cache = confirmed()
    store(cache, 1)
    guard = cache.begin_read(OTHER, 0.0)
    cache.suspend()
    assert cache.begin_read(KEY, 0.0) is None
    cache.confirm_up_to(0.0)
    cache.put(guard, OTHER, answer(1))
    assert cache.get(KEY, 0.0, 0) is None and cache.get(OTHER, 0.0, 0) is None
    assert cache.bytes == 0


def test_an_entry_expires_a_second_after_its_read_began() -> None:
    cache = confirmed()
    guard = cache.begin_read(KEY, 0.0)
    cache.put(guard, KEY, answer(1))
    cache.confirm_up_to(LIFETIME_S)
    assert cache.get(KEY, LIFETIME_S, 0) is None, "this reader renews it"
    assert cache.get(KEY, LIFETIME_S, 0) is not None
    assert cache.get(KEY, LIFETIME_S + 0.001, 0) is None
    assert len(cache) == 0


def test_one_reader_renews_an_entry_before_it_expires_and_the_others_are_served() -> None:
    cache = confirmed()
    store(cache, 1)
    cache.confirm_up_to(LIFETIME_S)
    assert cache.get(KEY, RENEW_AFTER_S, 0) == answer(1)
    served = [cache.get(KEY, RENEW_AFTER_S + 0.01, 0) for _ in range(5)]
    assert served == [None, *[answer(1)] * 4]
    store(cache, 2, now_s=RENEW_AFTER_S + 0.01)
    cache.confirm_up_to(LIFETIME_S + 0.1)
    assert [cache.get(KEY, LIFETIME_S + 0.1, 0) for _ in range(2)] == [answer(2)] * 2


def test_an_entry_expires_when_its_answer_stops_being_true() -> None:
    cache = confirmed()
    cache.put(cache.begin_read(KEY, 0.0), KEY, answer(1, until_ms=1_000))
    assert cache.get(KEY, 0.0, 999) is not None
    assert cache.get(KEY, 0.0, 1_000) is None


def test_an_older_answer_never_replaces_a_newer_one_and_a_newer_one_removes_an_older_without_a_guard() -> None:
    cache = confirmed()
    store(cache, 2)
    store(cache, 1)
    assert cache.get(KEY, 0.0, 0) == answer(2)
    cache.put(None, KEY, answer(3))
    assert cache.get(KEY, 0.0, 0) is None


def test_entries_take_no_more_memory_than_the_limit() -> None:
    cache = confirmed(bytes_max=10_000)
    for number in range(100):
        store(cache, 1, f"{KEY}{number}", size=400)
        assert cache.bytes <= 10_000
    assert cache.get(f"{KEY}99", 0.0, 0) is not None and cache.get(f"{KEY}0", 0.0, 0) is None
    store(cache, 1, OTHER, size=9_000)
    assert cache.get(OTHER, 0.0, 0) is None  # one large answer does not evict all others
    assert len(confirmed(0)) == 0


def test_with_a_limit_of_0_nothing_is_stored() -> None:
    cache = confirmed(bytes_max=0)
    store(cache, 1)
    assert cache.get(KEY, 0.0, 0) is None and not cache.enabled


def test_a_read_that_has_ended_leaves_no_guard() -> None:
    cache = confirmed()
    for _ in range(3):
        cache.end_read(cache.begin_read(KEY, 0.0))
    assert cache._guards == {}
