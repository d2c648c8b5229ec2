"""Over months whose minutes are not kept every answer says so, also one that was cached before."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import psycopg
import pytest
from served import Site
from sheets import Workbook, csv_rows, parquet
from world import OWNER, SPRING

from hannun.flows.partitions.months import apply_partition_plan, attach_months

ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
MINE = f"/api/v1/users/{OWNER}/analytics"
RANGE = {"startDate": "2026-01-10", "endDate": "2026-03-10", "tz": "UTC"}
NOT_KEPT = ["2026-01-10T00:00:00+00:00/2026-02-01T00:00:00+00:00"]
VIEWS = ("", "/channels", "/timeline", "/roi")

T = TypeVar("T")


@pytest.fixture
def with_history(site: Site) -> Site:
    """An event with two participants in January, one in February and one in November."""
    world = site.world
    times = ("2026-01-20T10:00Z", "2026-01-21T10:00Z", "2026-02-20T10:00Z", "2026-11-20T10:00Z")
    world.count(world.created(), *(world.registered(at=at, channel="NAVER") for at in times))
    return site


def keep(site: Site, months: int) -> None:
    """Apply a retention as of November 2026, and let the outbox be delivered."""
    with psycopg.connect(site.world.owner_url) as owner:
        apply_partition_plan(owner, date(2026, 11, 23), ahead=0, keep=months, by="a test", dry_run=False)
    site.world.deliver_pending()


def take_back(site: Site, *months: date) -> None:
    with psycopg.connect(site.world.owner_url, autocommit=True) as owner:
        attach_months(owner, months, by="a test", dry_run=False)
    site.world.deliver_pending()


def get(site: Site, path: str, **params: Any) -> dict[str, Any]:
    answer = site.owner.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_every_view_over_a_month_that_is_not_kept_says_so_and_counts_it_in_its_totals(with_history: Site) -> None:
    before = {path: get(with_history, path, **RANGE) for base in (ANALYTICS, MINE) for path in map(base.__add__, VIEWS)}
    keep(with_history, months=9)
    for path, was in before.items():
        answer = get(with_history, path, **RANGE)
        assert "notKept" not in was["period"]
        assert answer["period"]["notKept"] == NOT_KEPT, path
        origin = answer["provenance"]["period.notKept"]
        assert (origin["kind"], origin["reason"]) == ("unknown", "not-kept")
        for part in ("summary", "totals", "totalParticipants", "channels", "channelPerformance"):
            assert answer.get(part) == was.get(part), (path, part)


def test_points_of_a_month_that_is_not_kept_are_null_and_the_total_is_known_again_after_it(with_history: Site) -> None:
    keep(with_history, months=9)
    for base in (ANALYTICS, MINE):
        timeline = get(with_history, f"{base}/timeline", granularity="daily", **RANGE)
        points = {point["timestamp"][:10]: point for point in timeline["dataPoints"]}
        january = points["2026-01-20"]
        assert january == {"timestamp": january["timestamp"], "complete": True, "reason": "not-kept"} | dict.fromkeys(
            ("participants", "views", "engagement", "conversions", "cumulativeParticipants")
        )
        assert points["2026-01-31"]["cumulativeParticipants"] == 2, "at the end of the month"
        assert (points["2026-02-01"]["participants"], points["2026-02-20"]["cumulativeParticipants"]) == (0, 3)
        assert "reason" not in points["2026-02-01"]
        assert timeline["provenance"]["dataPoints.participants"]["reason"] == "not-kept"
        assert timeline["provenance"]["totals.participants"]["kind"] == "measured"
        assert (
            timeline["totals"]["participants"] == get(with_history, base, **RANGE)["summary"]["totalParticipants"] == 3
        )


def test_a_cached_timeline_follows_when_a_month_is_detached_and_attached_again(with_history: Site) -> None:
    site = with_history
    for path in (f"{ANALYTICS}/timeline", f"{MINE}/timeline"):
        address = {"granularity": "monthly"}
        whole = site.owner.get(path, params=address)
        assert [point["participants"] for point in whole.json()["dataPoints"]][:2] == [2, 1]
    keep(site, months=9)

    def months(path: str) -> list[int | None]:
        return [point["participants"] for point in get(site, path, granularity="monthly")["dataPoints"]]

    for path in (f"{ANALYTICS}/timeline", f"{MINE}/timeline"):
        site.world.wait_for("the cached answer to follow", lambda path=path: months(path)[0] == 1)
        answer = site.owner.get(path, params={"granularity": "monthly"})
        assert answer.json()["period"]["notKept"] == ["2026-01-01T09:00:00+09:00/2026-02-01T09:00:00+09:00"]
        assert answer.json()["totals"]["participants"] == 4
        assert answer.json()["dataPoints"][0]["cumulativeParticipants"] == 3
        assert answer.headers["ETag"] != whole.headers["ETag"]
    take_back(site, date(2026, 1, 1))
    for path in (f"{ANALYTICS}/timeline", f"{MINE}/timeline"):
        site.world.wait_for("the cached answer to follow", lambda path=path: months(path)[:2] == [2, 1])


def within_a_minute(work: Callable[[], T]) -> T:
    """The result of work that begins and ends in the same minute."""
    while True:
        began = datetime.now(UTC).minute
        result = work()
        if datetime.now(UTC).minute == began:
            return result


def test_a_range_without_an_end_gets_another_etag_when_a_month_of_it_is_detached(with_history: Site) -> None:
    addresses = [f"{base}{view}?startDate=2026-01-10" for base in (ANALYTICS, MINE) for view in VIEWS]

    def tags_and_statuses() -> tuple[dict[str, str], set[int]]:
        tags = {address: with_history.owner.get(address).headers["ETag"] for address in addresses}
        return tags, {
            with_history.owner.get(at, headers={"If-None-Match": tag}).status_code for at, tag in tags.items()
        }

    tags, statuses = within_a_minute(tags_and_statuses)  # a range that is not over has another answer each minute
    assert statuses == {304}
    keep(with_history, months=9)
    assert {with_history.owner.get(at, headers={"If-None-Match": tag}).status_code for at, tag in tags.items()} == {200}


def test_the_projection_of_an_event_whose_months_are_all_detached_says_why_there_is_none(site: Site) -> None:
    site.world.count(site.world.created(endDate="2100-01-01T00:00:00Z"), site.world.registered(at="2026-01-20T10:00Z"))
    keep(site, months=3)
    projection = get(site, f"{ANALYTICS}/roi", includeProjection=True)["projection"]
    assert projection["reasons"] == dict.fromkeys(("participants", "revenue", "roi"), "not-kept")


def test_a_message_for_a_month_that_was_just_detached_is_counted_with_its_first_request(with_history: Site) -> None:
    sender = with_history.signed_in("the-platform", "SERVICE")

    def send(participant: str) -> dict[str, Any]:
        message = {"type": "participant-registered", "eventId": SPRING, "participantId": participant}
        answer = sender.post("/api/v1/messages", json=message | {"registeredAt": "2026-01-22T10:00:00Z"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert send("p1")["counted"] == 1  # this process has cached that the month is attached
    keep(with_history, months=9)
    assert send("p2")["counted"] == 1
    assert with_history.world.drift() == []


def test_files_say_that_a_month_is_not_kept(with_history: Site) -> None:
    keep(with_history, months=9)
    address = f"{ANALYTICS}/timeline?granularity=monthly&lang=en&startDate=2026-01-10&endDate=2026-03-10&tz=UTC"
    title, january, february, *_ = csv_rows(with_history.owner.get(f"{address}&format=csv").content)
    assert title[-1] == "Why it is empty"
    assert january[2:] == ["", "", "", "", "2", "not kept"]
    assert (february[2], february[6], february[7]) == ("1", "3", "")
    book = Workbook(with_history.owner.get(f"{address}&format=xlsx").content)
    assert {"not kept", NOT_KEPT[0]} <= {cell for sheet in book.sheets for row in book.rows(sheet) for cell in row}
    reasons = parquet(with_history.owner.get(f"{address}&format=parquet").content).read()["reason"].to_pylist()
    assert reasons == ["not-kept", None, None]
