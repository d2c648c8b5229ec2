"""The keys in Redis, as another team finds them: what the service leaves there with the settings that it comes with."""

import json
from typing import Any

from served import Site, wire
from world import OWNER, SPRING

ONE, MINE = f"/api/v1/events/{SPRING}/analytics", f"/api/v1/users/{OWNER}/analytics"
HOUR_S, DAY_S = 3_600, 86_400
VALUES = {  # the six patterns of the contract: what each holds, at least
    f"analytics:dashboard:{SPRING}": {"eventId", "eventTitle", "summary", "channelPerformance", "roi"},
    f"analytics:channel:{SPRING}:NaverBlog": {"channelName", "metrics", "performance"},
    f"analytics:roi:{SPRING}": {"currentRoi", "targetRoi", "investment"},
    f"analytics:timeline:{SPRING}:hourly": {"dataPoints", "trend"},
    f"analytics:user:{OWNER}": {"totalEvents", "summary", "events"},
}
MARK = "analytics:processed:5b0c2f64-0000-4000-8000-00000000000f"


def test_the_six_keys_have_their_names_types_values_and_lives(site: Site) -> None:
    counted = wire(site.world.registered("p1", channel="NAVER")) | {"messageId": MARK.rpartition(":")[2]}
    site.sends(site.world.created())
    assert site.service.post("/api/v1/messages", json=counted).json()["counted"] == 1
    site.world.wait_for("the mark of what was counted", lambda: site.redis.exists(MARK))
    asked = [ONE, f"{ONE}/channels?channels=네이버블로그", f"{ONE}/roi", f"{ONE}/timeline?granularity=hourly", MINE]
    for address in asked:
        answer = site.owner.get(address)
        assert (answer.status_code, answer.headers["x-data-source"]) == (200, "live")
        assert site.owner.get(address).headers["x-data-source"] == "cache"

    assert {key.decode() for key in site.redis.scan_iter()} == {*VALUES, MARK}
    for key, fields in VALUES.items():
        assert site.redis.type(key) == b"string"
        kept: Any = site.redis.get(key)
        assert set(json.loads(kept)) >= fields, key
        assert HOUR_S * 0.94 < site.redis.ttl(key) <= HOUR_S * 1.06, key
    assert len({site.redis.pttl(key) // 1_000 for key in VALUES}) > 1, "they do not all end at once"
    assert site.redis.type(MARK) == b"set"
    assert site.redis.smembers(MARK) == {b"1"}
    assert DAY_S - 60 < site.redis.ttl(MARK) <= DAY_S
