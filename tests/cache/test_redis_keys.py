"""The names of keys in Redis are a public contract: each is exact."""

import pytest

from hannun.cache import keys
from hannun.domain.batch import ChangedEvent
from hannun.domain.granularity import Granularity


def test_keys_are_exact() -> None:
    assert keys.dashboard("e") == "analytics:dashboard:e"
    assert keys.channel("e", "NaverBlog") == "analytics:channel:e:NaverBlog"
    assert keys.roi("e") == "analytics:roi:e"
    assert keys.user("u") == "analytics:user:u"
    assert keys.processed("m") == "analytics:processed:m"
    assert keys.lease("analytics:roi:e") == "hannun:lease:{analytics:roi:e}"


def test_no_two_answers_share_a_key() -> None:
    ids = ["a", "a:b", "b", "a:b:c", "a%3Ab", "a%3ab", "a%", "a%25", "a:daily", "daily", ":", "a:"]
    names = ["c", "b:c", "b", "a:b", ":", "c:"]
    every = [keys.channel(event, name) for event in ids for name in names]
    every += [keys.timeline(event, granularity) for event in ids for granularity in Granularity]
    every += [one(id_) for one in (keys.dashboard, keys.roi, keys.user) for id_ in ids]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("granularity", ["minute", "hourly", "daily", "weekly", "monthly"])
def test_a_timeline_has_a_key_for_each_granularity(granularity: str) -> None:
    assert keys.timeline("e", Granularity(granularity)) == f"analytics:timeline:e:{granularity}"
    assert len(Granularity) == 5


def test_a_change_invalidates_every_answer_about_the_event() -> None:
    invalidated = keys.invalidated_by(ChangedEvent("e", "u", 1, ("NaverBlog", "Radio")))
    assert sorted(invalidated) == sorted(
        [
            "analytics:dashboard:e",
            "analytics:insights:e",
            "analytics:roi:e",
            *(f"analytics:timeline:e:{each}" for each in ("minute", "hourly", "daily", "weekly", "monthly")),
            "analytics:channel:e:NaverBlog",
            "analytics:channel:e:Radio",
            "analytics:user:u",
        ]
    )


def test_an_event_that_was_not_created_yet_invalidates_no_merchants_answer() -> None:
    assert not any("user" in key for key in keys.invalidated_by(ChangedEvent("e", None, 1, ())))
