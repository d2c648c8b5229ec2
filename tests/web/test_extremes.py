"""Parameters near the ends of the calendar, on every route that takes one: an answer or a refusal, never an error."""

import itertools
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from served import Site
from world import OWNER, SPRING, World

from hannun.domain.questions import encode_cursor
from hannun.domain.ranges import zone_names

DATES = [
    "0000-00-00",
    "0001-01-01",
    "0001-01-01T00:00+14:00",
    "1969-12-31T23:59Z",
    "1970-01-01",
    "1970-01-01T00:00Z",
    "1970-01-01T00:00-12:00",
    "2038-01-19T03:14:08Z",
    "2070-01-01T00:00Z",
    "6053-01-23T02:08Z",
    "9000-01-01",
    "9997-12-31",
    "9997-12-31T23:59Z",
    "9997-12-31T23:59-12:00",
    "9998-01-01T00:00Z",
    "9999-12-31",
    "9999-12-31T23:59:59.999999999-14:00",
    "-0001-01-01",
    "10000-01-01",
    "NaN",
]
ZONES = ["UTC", "Asia/Seoul", "Pacific/Kiritimati", "Etc/GMT+12", "Africa/Monrovia", "Pacific/Apia"]
DATE_PARAMETERS = ("startDate", "endDate")


def routes(site: Site) -> list[tuple[str, list[str]]]:
    """The address of every route that takes a date, with the names of its parameters."""
    document = site.anonymous.get("/openapi.json").json()
    found = []
    for path, operations in document["paths"].items():
        names = [each["name"] for each in operations.get("get", {}).get("parameters", [])]
        if any(name in DATE_PARAMETERS for name in names):
            found.append((path.replace("{eventId}", SPRING).replace("{userId}", OWNER), names))
    return found


@pytest.fixture
def full(site: Site) -> Site:
    world: World = site.world
    world.count(world.created(), world.distributed(), world.registered("p1"), world.sold(900))
    return site


def assert_answered(site: Site, path: str, parameters: dict[str, str]) -> None:
    answer = site.owner.get(path, params=parameters)
    assert answer.status_code in (200, 400), (path, parameters, answer.status_code, answer.text)
    if answer.status_code == 400:
        assert answer.headers["content-type"] == "application/problem+json", (path, parameters)


def test_dates_at_the_ends_of_the_calendar_are_answered_or_refused_on_every_route(full: Site) -> None:
    found = routes(full)
    assert len(found) == 8
    for path, _ in found:
        for date in DATES:
            for name in DATE_PARAMETERS:
                monthly = {"granularity": "monthly"} if "timeline" in path else {}  # some thousand points at most
                assert_answered(full, path, {name: date, **monthly})
        assert full.owner.get(path, params={"startDate": "9000-01-01"}).status_code == 200, path


def test_any_two_dates_in_any_zone_are_answered_or_refused_on_every_route(full: Site) -> None:
    found = routes(full)

    @settings(
        max_examples=100,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from(found),
        st.sampled_from(DATES) | st.datetimes().map(lambda at: at.isoformat() + "Z") | st.dates().map(str),
        st.none() | st.sampled_from(DATES) | st.datetimes().map(lambda at: at.isoformat() + "Z") | st.dates().map(str),
        st.sampled_from(ZONES) | st.sampled_from(sorted(zone_names())),
        st.sampled_from(["minute", "hourly", "daily", "weekly", "monthly", None]),
        st.sampled_from([None, "csv", "xlsx"]),
        st.booleans(),
    )
    def answers_below_500(
        route: tuple[str, list[str]],
        start: str,
        end: str | None,
        tz: str,
        granularity: str | None,
        form: str | None,
        projection: bool,
    ) -> None:
        path, names = route
        every = {"startDate": start, "endDate": end, "tz": tz, "granularity": granularity, "format": form}
        every["includeProjection"] = "true" if projection else None
        assert_answered(full, path, {name: text for name, text in every.items() if text is not None and name in names})

    answers_below_500()


def test_a_cursor_at_the_ends_of_the_calendar_is_answered_or_refused(full: Site) -> None:
    for at, row in itertools.product((datetime.min, datetime(1970, 1, 1), datetime.max), (0, 1, 2**31, 2**63 - 1)):
        for path in (f"/api/v1/users/{OWNER}/analytics", "/api/v1/events"):
            assert full.admin.get(path, params={"cursor": encode_cursor(at, row)}).status_code == 200, path


def test_a_link_until_the_ends_of_the_calendar_is_refused(full: Site) -> None:
    path = f"/api/v1/events/{SPRING}/shares"
    extremes: list[Any] = [*DATES, *(f"{date}T00:00:00Z" for date in DATES), 0, 1e308, None, []]
    extremes += ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z"]
    for until in extremes:
        answer = full.owner.post(path, content=json.dumps({"until": until}))
        assert answer.status_code == 400, (until, answer.status_code, answer.text)
