"""The keys in Redis that other teams read, as the service writes them with its default settings."""

import json
from functools import partial
from typing import Any

from served import Site, as_json
from world import OWNER, SPRING

ONE, MINE = f"/api/v1/events/{SPRING}/analytics", f"/api/v1/users/{OWNER}/analytics"
HOUR_S, DAY_S = 3_600, 86_400
VALUES = {  # five of the six documented patterns, with fields that each value has
    f"analytics:dashboard:{SPRING}": {"eventId", "eventTitle", "summary", "channelPerformance", "roi"},
    f"analytics:channel:{SPRING}:NaverBlog": {"channelName", "metrics", "performance"},
    f"analytics:roi:{SPRING}": {"currentRoi", "targetRoi", "investment"},
    f"analytics:timeline:{SPRING}:hourly": {"dataPoints", "trend"},
    f"analytics:user:{OWNER}": {"totalEvents", "summary", "events"},
}
MARKER = "analytics:processed:5b0c2f64-0000-4000-8000-00000000000f"


def is_cached(site: Site, path: str) -> bool:
    return site.owner.get(path).headers["x-data-source"] == "cache"


def test_the_six_keys_have_their_documented_names_types_values_and_lifetimes(site: Site) -> None:
    counted = as_json(site.world.registered("p1", channel="NAVER")) | {"messageId": MARKER.rpartition(":")[2]}
    site.send(site.world.created())
    assert site.service.post("/api/v1/messages", json=counted).json()["counted"] == 1
    site.wait_until_invalidated()
    site.world.wait_for("the marker of the counted message", lambda: site.redis.exists(MARKER))
    paths = [ONE, f"{ONE}/channels?channels=네이버블로그", f"{ONE}/roi", f"{ONE}/timeline?granularity=hourly", MINE]
    for path in paths:
        answer = site.owner.get(path)
        assert (answer.status_code, answer.headers["x-data-source"]) == (200, "live")
        site.world.wait_for(f"{path} to be cached", partial(is_cached, site, path))

    assert {key.decode() for key in site.redis.scan_iter("analytics:*")} == {*VALUES, MARKER}
    for key, fields in VALUES.items():
        assert site.redis.type(key) == b"string"
        value: Any = site.redis.get(key)
        assert set(json.loads(value)) >= fields, key
        assert HOUR_S * 0.94 < site.redis.ttl(key) <= HOUR_S * 1.06, key
    assert len({site.redis.pttl(key) // 1_000 for key in VALUES}) > 1, "they do not all end at once"
    assert site.redis.type(MARKER) == b"set"
    assert site.redis.smembers(MARKER) == {b"1"}
    assert DAY_S - 60 < site.redis.ttl(MARKER) <= DAY_S
