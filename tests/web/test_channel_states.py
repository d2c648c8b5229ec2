"""What channels have measured, in all eight views: which counts are known, as of when, and whether they are stale."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sheets
from served import Site
from world import OWNER, SPRING, World

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
STALE_AFTER = timedelta(minutes=10)
OTHER = "5b0c2f64-0000-4000-8000-000000000002"
EVENT, MINE = f"/api/v1/events/{SPRING}/analytics", f"/api/v1/users/{OWNER}/analytics"
RANGES: list[dict[str, str]] = [
    {},
    {"startDate": "2026-11-01", "endDate": "2026-11-21"},
    {"startDate": "2026-11-20T00:00:00Z", "endDate": "2026-11-21T00:00:00Z", "tz": "America/New_York"},
]
COUNTS = ("views", "impressions", "clicks", "conversions")
TOTALS = {
    "views": "totalViews",
    "impressions": "totalReach",
    "clicks": "totalClicks",
    "conversions": "totalConversions",
}


def ago(age: timedelta) -> str:
    return (NOW - age).replace(tzinfo=None).isoformat(" ")


def text(age: timedelta) -> str:
    return (NOW - age).replace(tzinfo=None).isoformat() + "Z"


def measure(world: World, channel: str, age: timedelta, event: str = SPRING, **counts: Any) -> None:
    world.measure(world.measurement(channel, event, at=ago(age), **counts))


def channels_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = answer.get("channelPerformance") or answer.get("channels")
    assert found is not None
    return {channel["channelName"]: channel for channel in found}


def kinds(site: Site, base: str, params: dict[str, str]) -> dict[str, set[tuple[str, str | None]]]:
    """The (kind, asOf) of each measured count, of all views that tell it."""
    found: dict[str, set[tuple[str, str | None]]] = {count: set() for count in COUNTS}
    for view in ("", "/channels", "/timeline"):
        provenance = site.owner.get(f"{base}{view}", params=params).json()["provenance"]
        for count in COUNTS:
            for path in (
                f"summary.{TOTALS[count]}",
                *(f"{part}.{count}" for part in ("channelPerformance", "channels", "totals", "dataPoints")),
                f"events.{TOTALS[count]}",
            ):
                if path in provenance:
                    found[count].add((provenance[path]["kind"], provenance[path]["asOf"]))
    roi = site.owner.get(f"{base}/roi", params=params).json()["provenance"]
    for name, count in (("costPerView", "views"), ("costPerConversion", "conversions")):
        assert {roi[name]["asOf"]} == {as_of for _, as_of in found[count]}
    return found


@pytest.fixture
def spring(site: Site) -> Site:
    """An event on five channels, one in each state; the clock of the service stands still."""
    world = site.world
    world.count(
        world.created(),
        world.distributed(channelName="NaverBlog", distributionCost=3_000),
        world.distributed(channelName="Instagram"),
        world.distributed(channelName="WooriTV"),
        world.distributed(channelName="GenieTV", status="FAILED"),
        world.registered("p1", channel="KakaoChannel"),
        world.registered("p2", channel="NaverBlog"),
    )
    measure(world, "NaverBlog", timedelta(minutes=9, seconds=59), views=400, impressions=1_000, clicks=70)
    measure(world, "Instagram", STALE_AFTER, views=30, likes=0)
    measure(world, "Instagram", timedelta(), failed="timeout")
    site.set_now(NOW.isoformat())
    return site


@pytest.mark.parametrize("params", RANGES)
@pytest.mark.parametrize("base", [EVENT, MINE])
def test_every_view_tells_the_state_of_each_channel(spring: Site, base: str, params: dict[str, str]) -> None:
    for view in ("", "/channels") if base == EVENT else ("/channels",):
        channels = channels_of(spring.owner.get(f"{base}{view}", params=params).json())
        assert {name: (each["state"], each["measuredAt"], each["staleSince"]) for name, each in channels.items()} == {
            "NaverBlog": ("measured", text(timedelta(minutes=9, seconds=59)), None),
            "Instagram": ("stale", text(STALE_AFTER), text(timedelta())),
            "WooriTV": ("planned", None, None),
            "GenieTV": ("failed", None, None),
            "KakaoChannel": ("unknown", None, None),
        }
        assert channels["NaverBlog"]["measuredCounts"] == ["impressions", "views", "clicks"]
        assert channels["Instagram"]["measuredCounts"] == ["views", "likes"]
        assert channels["WooriTV"]["measuredCounts"] == []


@pytest.mark.parametrize("params", RANGES)
@pytest.mark.parametrize("base", [EVENT, MINE])
def test_all_views_agree_on_the_kind_and_the_age_of_each_count(spring: Site, base: str, params: dict[str, str]) -> None:
    measured, stale = text(timedelta(minutes=9, seconds=59)), text(STALE_AFTER)
    assert kinds(spring, base, params) == {
        "views": {("stale", stale)},  # one of the two channels is stale
        "impressions": {("measured", measured)},
        "clicks": {("measured", measured)},
        "conversions": {("unknown", None)},  # no channel has reported them
    }


def test_a_rate_that_needs_an_unknown_count_is_null(spring: Site) -> None:
    answer = spring.owner.get(EVENT).json()
    summary, naver = answer["summary"], channels_of(answer)["NaverBlog"]
    assert (summary["clickThroughRate"], summary["conversionRate"]) == (7, None)
    assert (naver["clickThroughRate"], naver["conversionRate"]) == (7, None)
    assert (naver["costPerView"], naver["costPerConversion"]) == (7.5, None)
    assert answer["provenance"]["summary.conversionRate"]["kind"] == "unknown"


def test_an_unknown_count_is_an_empty_cell_of_a_file(spring: Site) -> None:
    table = sheets.parquet(spring.owner.get(f"{EVENT}/channels?format=parquet").content).read().to_pylist()
    rows = {row["channelName"]: row for row in table}

    def cells(name: str) -> list[int | None]:
        return [rows[name][column] for column in ("views", "clicks", "conversions", "likes", "engagement")]

    assert cells("NaverBlog") == [400, 70, None, None, 70]
    assert cells("Instagram") == [30, None, None, 0, 0]
    assert cells("WooriTV") == [None] * 5
    assert rows["Instagram"]["staleSince"] == NOW
    assert rows["NaverBlog"]["staleSince"] is None


def test_the_list_of_events_tells_of_each_whether_its_views_are_known(spring: Site) -> None:
    spring.world.count(spring.world.created(OTHER))
    found = {each["eventId"]: each["totalViewsKind"] for each in spring.owner.get(MINE).json()["events"]}
    assert found == {SPRING: "stale", OTHER: "unknown"}


def test_the_numbers_of_an_ended_event_are_final(site: Site) -> None:
    world = site.world
    for event, status in ((SPRING, "ENDED"), (OTHER, "ARCHIVED")):
        world.count(world.created(event, endDate=(NOW - timedelta(hours=2)).isoformat()))
        world.count(
            world.distributed(event, channelName="NaverBlog"), world.distributed(event, channelName="Instagram")
        )
        measure(world, "NaverBlog", timedelta(hours=2, minutes=10), event, views=1)
        measure(world, "Instagram", timedelta(hours=2, minutes=10, seconds=1), event, views=1)
        ended = timedelta(hours=2) if status == "ENDED" else timedelta(hours=1)  # archived long after its end
        world.count(world.status_changed(status, (NOW - ended).isoformat(), event))
    site.set_now(NOW.isoformat())
    for event in (SPRING, OTHER):
        channels = channels_of(site.owner.get(f"/api/v1/events/{event}/analytics").json())
        assert channels["NaverBlog"]["state"] == "measured"  # good when its event ended
        assert channels["Instagram"]["state"] == "stale"  # too old even then
        assert channels["Instagram"]["staleSince"] == text(timedelta(hours=2, seconds=1))


def test_numbers_that_people_gave_are_good_for_a_day(site: Site) -> None:
    world = site.world
    world.count(world.created(), world.distributed(channelName="NaverBlog"), world.distributed(channelName="Instagram"))
    measure(world, "NaverBlog", timedelta(hours=23, minutes=59), views=5, imported=True)
    measure(world, "Instagram", timedelta(hours=24), views=5, imported=True)
    site.set_now(NOW.isoformat())
    states = {name: each["state"] for name, each in channels_of(site.owner.get(EVENT).json()).items()}
    assert states == {"NaverBlog": "measured", "Instagram": "stale"}
    measure(world, "NaverBlog", timedelta(hours=23), views=5)  # a poll that succeeds: good for two periods
    assert channels_of(site.owner.get(EVENT, params={"refresh": "true"}).json())["NaverBlog"]["state"] == "stale"


PATHS = {
    "dashboard": EVENT,
    "channel": f"{EVENT}/channels?channels=NaverBlog",
    "roi": f"{EVENT}/roi",
    "timeline": f"{EVENT}/timeline?granularity=monthly",
    "merchant": MINE,
}


@pytest.mark.parametrize("path", PATHS)
def test_a_cached_answer_ends_at_the_moment_at_which_a_count_becomes_stale(site: Site, path: str) -> None:
    """Through the fast path, the local cache and Redis, and each with its own ETag."""
    world, address = site.world, PATHS[path]
    world.count(
        world.created(),
        world.distributed(channelName="NaverBlog", distributionCost=3_000),
        world.registered(channel="NaverBlog"),
    )

    def is_stale(answer: Any) -> bool:
        kinds = {origin["kind"] for name, origin in answer.json()["provenance"].items() if "iew" in name.split(".")[-1]}
        return "stale" in kinds

    def read() -> tuple[bool, Any]:
        """An answer that came wholly before, or wholly after the moment."""
        while True:
            began = datetime.now(UTC)
            answer = site.owner.get(address)
            if (began >= moment) == (datetime.now(UTC) >= moment):
                return began >= moment, answer

    for seconds in (2, 4, 8, 16):  # until the machine is fast enough to cache an answer before the moment
        measured_at = datetime.now(UTC) - STALE_AFTER + timedelta(seconds=seconds)
        moment = measured_at + STALE_AFTER
        world.measure(world.measurement("NaverBlog", at=measured_at.replace(tzinfo=None).isoformat(" "), views=5))
        site.owner.get(address)
        before, cached = read()
        if not before and cached.headers["x-data-source"] == "cache":
            break
    else:
        pytest.fail("no answer was cached before the moment")
    etags = {False: {cached.headers["etag"]}, True: set()}
    while not etags[True]:
        after, answer = read()
        assert is_stale(answer) == after
        etags[after].add(answer.headers["etag"])
    assert etags[False].isdisjoint(etags[True])
