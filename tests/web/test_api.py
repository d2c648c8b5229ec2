"""The API as a client sees it: fields, figures, access, refusals."""

import base64
import hashlib
import hmac
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import jwt
import pytest
from served import OTHER_MERCHANT, SECRET, Site
from world import OWNER, SPRING, World

from hannun.domain.ranges import zone_names

OTHER = "5b0c2f64-0000-4000-8000-000000000002"
PLAN = {"totalInvestment": 100_000, "expectedRevenue": "250000.50", "targetRoi": 30, "baselineRevenue": 80_000}
ANALYTICS = f"/api/v1/events/{SPRING}/analytics"
TIMELINE = f"{ANALYTICS}/timeline"
MINE = f"/api/v1/users/{OWNER}/analytics"

SUMMARY = {
    "totalParticipants", "unattributedParticipants", "totalViews", "totalReach", "totalClicks", "totalConversions",
    "clickThroughRate", "engagementRate", "participationRate", "conversionRate", "socialInteractions", "previous",
    "delta",
}  # fmt: skip
CHANNEL = {
    "channelName", "channelTitle", "channelType", "state", "measuredAt", "staleSince", "measuredCounts", "participants",
    "views", "impressions", "clicks", "conversions", "clickThroughRate", "engagementRate", "participationRate",
    "conversionRate", "distributionCost", "costPerParticipant", "costPerView", "costPerConversion",
}  # fmt: skip
ROI = {
    "currentRoi", "targetRoi", "estimatedRoi", "salesGrowthRate", "investment", "revenue", "costPerParticipant",
    "costPerView", "costPerConversion", "breakEvenParticipants",
}  # fmt: skip
DASHBOARD = {
    "eventId", "eventTitle", "status", "period", "summary", "channelPerformance", "roi", "provenance", "lastUpdatedAt",
}  # fmt: skip
POINT = {"timestamp", "participants", "views", "engagement", "conversions", "cumulativeParticipants", "complete"}
KINDS = {"measured", "planned", "estimated", "stale", "unknown"}


def spring(world: World) -> None:
    """An event with seven participants: three of NaverBlog, two of WooriTV, one of RingoBiz, one unattributed."""
    world.count(
        world.created(**PLAN),
        world.distributed(channelName="NAVER", distributionCost=3_000, expectedViews=500),
        world.distributed(channelName="우리동네TV", distributionCost=7_000),
        world.distributed(channelName="RingoBiz", distributionCost=900),
        *(world.registered(f"n{i}", channel="NAVER", at="2026-11-20T10:00:30+09:00") for i in range(3)),
        *(world.registered(f"w{i}", channel="WooriTV", at="2026-11-21T23:59:59+09:00") for i in range(2)),
        world.registered("r1", channel="링고비즈", at="2026-11-22T00:00:00+09:00"),
        world.registered("x1", at="2026-11-22T01:02:03+09:00"),
        world.sold(120_000),
        world.sold("30000.25"),
    )


SOCIAL = {"likes": 5, "comments": 3, "shares": 2}


def measured(world: World) -> None:
    """Measurements of the channels of `spring`."""
    for name, counts in {
        "NaverBlog": {"impressions": 1000, "views": 400, "clicks": 70, "conversions": 9} | SOCIAL,
        "WooriTV": {"impressions": 3000, "views": 2500, "clicks": 11, "conversions": 2},
        "RingoBiz": {"total_calls": 30, "completed_calls": 20, "conversions": 20},
    }.items():
        world.record_measurement(SPRING, name, "2026-11-22 00:00", counts)


# -- the dashboard


def test_the_dashboard_has_every_field_of_the_contract(site: Site) -> None:
    spring(site.world)
    answer = site.owner.get(ANALYTICS).json()
    assert set(answer) >= DASHBOARD
    assert set(answer["period"]) == {"startDate", "endDate", "tz"}
    assert set(answer["summary"]) == SUMMARY
    assert set(answer["summary"]["socialInteractions"]) == {"likes", "comments", "shares"}
    assert all(set(channel) >= CHANNEL for channel in answer["channelPerformance"])
    assert set(answer["roi"]) == ROI
    assert set(answer["roi"]["investment"]) == {"total", "planned", "channels"}
    assert set(answer["roi"]["revenue"]) == {"total", "recorded", "expected", "assumedShare"}
    assert {origin["kind"] for origin in answer["provenance"].values()} <= KINDS
    assert all(set(origin) == {"kind", "asOf", "unit"} for origin in answer["provenance"].values())


def test_the_dashboard_has_the_figures_of_the_messages(site: Site) -> None:
    spring(site.world)
    measured(site.world)
    answer = site.owner.get(ANALYTICS).json()
    assert (answer["eventId"], answer["eventTitle"], answer["status"]) == (SPRING, "봄맞이", "ACTIVE")
    assert answer["summary"] == {
        "totalParticipants": 7,
        "unattributedParticipants": 1,
        "totalViews": 2_900,
        "totalReach": 4_000,
        "totalClicks": 81,
        "totalConversions": 31,
        "clickThroughRate": 2.02,  # 81 / 4000 = 2.025: half even
        "engagementRate": 2.28,  # (10 + 81) / 4000 = 2.275: half even
        "participationRate": 0.24,  # 7 / 2900
        "conversionRate": 13.58,  # (9 + 2) / (70 + 11): calls have no clicks
        "socialInteractions": {"likes": 5, "comments": 3, "shares": 2},
        "previous": None,
        "delta": None,
    }
    channels = {channel["channelName"]: channel for channel in answer["channelPerformance"]}
    assert {name: channel["participants"] for name, channel in channels.items()} == {
        "NaverBlog": 3,
        "WooriTV": 2,
        "RingoBiz": 1,
    }
    assert (
        channels["NaverBlog"]
        | {
            "channelType": "SNS",
            "views": 400,
            "impressions": 1_000,
            "clicks": 70,
            "conversions": 9,
            "clickThroughRate": 7,
            "engagementRate": 8,
            "participationRate": 0.75,
            "conversionRate": 12.86,
            "distributionCost": 3_000,
            "costPerParticipant": 1_000,
            "costPerView": 7.5,
            "costPerConversion": 333.33,
        }
        == channels["NaverBlog"]
    )
    assert channels["RingoBiz"]["channelType"] == "VOICE"
    assert channels["RingoBiz"]["conversionRate"] == 66.67  # completed calls / calls
    assert channels["RingoBiz"]["clickThroughRate"] is None
    assert answer["roi"] == {
        "currentRoi": 35.26,  # (150000.25 - 110900) / 110900
        "targetRoi": 30,
        "estimatedRoi": 125.43,
        "salesGrowthRate": 87.5,
        "investment": {"total": 110_900, "planned": 100_000, "channels": 10_900},
        "revenue": {"total": 150_000.25, "recorded": 150_000.25, "expected": 250_000.5, "assumedShare": 0},
        "costPerParticipant": 15_842.86,
        "costPerView": 38.24,
        "costPerConversion": 3_577.42,
        "breakEvenParticipants": 6,
    }


def test_a_rate_without_a_base_is_null(site: Site) -> None:
    site.world.count(site.world.created(), site.world.registered("p1", channel="NAVER"))
    answer = site.owner.get(ANALYTICS).json()
    rates = ("clickThroughRate", "engagementRate", "participationRate", "conversionRate")
    assert [answer["summary"][rate] for rate in rates] == [None] * 4
    (channel,) = answer["channelPerformance"]
    assert [channel[rate] for rate in (*rates, "costPerView", "costPerConversion")] == [None] * 6
    roi = answer["roi"]
    assert [roi[name] for name in ("currentRoi", "estimatedRoi", "salesGrowthRate", "costPerView")] == [None] * 4
    assert roi["breakEvenParticipants"] is None
    assert roi["revenue"]["recorded"] is None
    assert answer["provenance"]["summary.totalViews"]["kind"] == "unknown"


def test_the_parts_add_up_in_every_answer_while_messages_are_counted(site: Site) -> None:
    world = site.world
    world.count(world.created())

    def send() -> None:
        for batch in range(25):
            channels = itertools.cycle(["NAVER", "WooriTV", None, "Unheard of"])
            world.count(
                *(
                    world.registered(f"{batch}-{i}", at=f"2026-11-2{i % 3}T10:0{i}:00+09:00", channel=next(channels))
                    for i in range(8)
                )
            )

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        seen, last = 0, False
        while not last:
            last = sending.done()
            answer = site.owner.get(ANALYTICS).json()
            by_channel = sum(channel["participants"] for channel in answer["channelPerformance"])
            total = answer["summary"]["totalParticipants"]
            assert by_channel + answer["summary"]["unattributedParticipants"] == total
            timeline = site.owner.get(TIMELINE, params={"granularity": "daily"}).json()
            points = timeline["dataPoints"]
            assert sum(point["participants"] for point in points) == timeline["totals"]["participants"]
            assert points[-1]["cumulativeParticipants"] == timeline["totals"]["participants"] >= total >= seen
            seen = total
        sending.result()
    assert total == timeline["totals"]["participants"] == 200


# -- live, cached, unchanged


def test_the_same_data_has_the_same_etag_and_bytes_live_and_cached(site: Site) -> None:
    spring(site.world)
    for path in (ANALYTICS, f"{TIMELINE}?granularity=weekly", MINE):
        live, cached = site.owner.get(path), site.owner.get(path)
        assert [live.headers["x-data-source"], cached.headers["x-data-source"]] == ["live", "cache"]
        assert live.headers["etag"] == cached.headers["etag"]
        assert live.content == cached.content
        assert live.headers["cache-control"] == "private, no-cache"
        assert "Authorization" in live.headers["vary"]


def test_refresh_reads_the_database_and_replaces_the_cached_answer(site: Site) -> None:
    spring(site.world)
    site.owner.get(ANALYTICS)
    measured(site.world)  # without an invalidation: only a refresh shows it
    assert site.owner.get(ANALYTICS).json()["summary"]["totalViews"] == 0
    fresh = site.owner.get(ANALYTICS, params={"refresh": "true"})
    assert fresh.headers["x-data-source"] == "live"
    assert fresh.json()["summary"]["totalViews"] == 2_900
    after = site.owner.get(ANALYTICS)
    assert (after.headers["x-data-source"], after.content) == ("cache", fresh.content)


def test_an_unchanged_answer_is_a_304(site: Site) -> None:
    spring(site.world)
    etag = site.owner.get(ANALYTICS).headers["etag"]
    for known in (etag, f'"nothing", {etag}', etag.removeprefix("W/"), "*"):
        answer = site.owner.get(ANALYTICS, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert site.owner.get(ANALYTICS, headers={"If-None-Match": '"another"'}).status_code == 200
    site.send(site.world.registered("one more"))
    changed = site.owner.get(ANALYTICS, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    assert changed.json()["summary"]["totalParticipants"] == 8


# -- access


def test_the_event_of_another_merchant_is_answered_like_a_missing_one(site: Site) -> None:
    spring(site.world)
    site.world.count(site.world.registered("early", OTHER))  # a participant before the event's creation arrives
    site.owner.get(ANALYTICS)  # so that it is cached too
    for path in ("analytics", "analytics/timeline", "analytics/timeline?granularity=daily&tz=UTC", "live"):
        refused = [
            site.other_merchant.get(f"/api/v1/events/{SPRING}/{path}"),
            site.other_merchant.get(f"/api/v1/events/{OTHER}/{path}"),
            site.other_merchant.get(f"/api/v1/events/there-is-none/{path}"),
        ]
        responses = []
        for answer, event in zip(refused, (SPRING, OTHER, "there-is-none"), strict=True):
            body = answer.json()
            assert body.pop("instance") == f"/api/v1/events/{event}/{path.partition('?')[0]}"
            headers = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
            responses.append((answer.status_code, body, headers))
        assert responses[0] == responses[1] == responses[2]
        assert responses[0][0] == 404
        assert "etag" not in responses[0][2]


def test_an_event_can_be_read_as_soon_as_it_is_created(site: Site) -> None:
    site.send(site.world.registered("early"))
    assert site.owner.get(ANALYTICS).status_code == 404
    assert site.admin.get(ANALYTICS).status_code == 404
    site.send(site.world.created())
    assert site.owner.get(ANALYTICS).json()["summary"]["totalParticipants"] == 1


def test_a_merchant_reads_only_own_events_and_an_admin_reads_all(site: Site) -> None:
    spring(site.world)
    for path in (ANALYTICS, TIMELINE, MINE):
        assert site.owner.get(path).status_code == site.admin.get(path).status_code == 200
        assert site.other_merchant.get(path).status_code == 404
        assert site.service.get(path).status_code == 403


def test_a_merchant_without_events_has_an_answer(site: Site) -> None:
    answer = site.other_merchant.get(f"/api/v1/users/{OTHER_MERCHANT}/analytics")
    assert answer.status_code == 200
    assert answer.json()["totalEvents"] == 0
    assert answer.json()["events"] == []
    assert answer.json()["summary"]["totalParticipants"] == 0
    assert answer.json()["nextCursor"] is None


def signed(header: dict[str, Any], claims: dict[str, Any], key: bytes = SECRET.encode()) -> str:
    """A hand-made token, signed with HMAC-SHA256 whatever its header names."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(key, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def test_an_invalid_token_is_refused(site: Site) -> None:
    spring(site.world)
    good = {"sub": OWNER, "roles": ["MERCHANT"], "exp": 4_102_444_800}
    hs256 = {"alg": "HS256", "typ": "JWT"}
    assert site.with_token(signed(hs256, good)).get(ANALYTICS).status_code == 200
    unsigned = signed({"alg": "none"}, good).rpartition(".")[0]
    refused = {
        "expired": site.token(OWNER, lasts_s=-10),
        "another secret": signed(hs256, good, b"another secret of thirty-two letters"),
        "algorithm none": unsigned + ".",
        "algorithm NONE, signed": signed({"alg": "NONE"}, good),
        "HS512": jwt.encode(good, SECRET * 2, algorithm="HS512"),
        "HS512 by the same secret": jwt.encode(good, SECRET, algorithm="HS512"),
        "says RS256, is HMAC": signed({"alg": "RS256"}, good),
        "a key of its own": signed({**hs256, "jwk": {"kty": "oct", "k": "c2VjcmV0"}}, good, b"secret"),
        "no exp": signed(hs256, {"sub": OWNER, "roles": []}),
        "exp is no number": signed(hs256, {**good, "exp": "tomorrow"}),
        "no sub": signed(hs256, {"roles": [], "exp": good["exp"]}),
        "sub is no text": signed(hs256, {**good, "sub": 7}),
        "sub is empty": signed(hs256, {**good, "sub": ""}),
        "not yet": signed(hs256, {**good, "nbf": good["exp"]}),
        "roles are no list": signed(hs256, {**good, "roles": "ADMIN"}),
        "roles are an object": signed(hs256, {**good, "roles": {"ADMIN": True}}),
        "two parts": unsigned,
        "no token at all": "admin",
    }
    for what, token in refused.items():
        answer = site.with_token(token).get(ANALYTICS)
        assert answer.status_code == 401, what
        assert answer.json()["code"] == "unauthenticated", what
        assert answer.headers["www-authenticate"] == "Bearer", what
    for header in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}):
        assert site.anonymous.get(ANALYTICS, headers=header).status_code == 401


def test_an_unknown_role_grants_nothing(site: Site) -> None:
    spring(site.world)
    assert site.signed_in(OTHER_MERCHANT, "admin", "SUPERUSER").get(ANALYTICS).status_code == 403
    assert site.signed_in(OTHER_MERCHANT, "MERCHANT", "SUPERUSER").get(ANALYTICS).status_code == 404


def test_a_verified_token_is_cached_only_until_it_expires(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    spring(site.world)
    client = site.signed_in(OWNER)
    assert client.get(ANALYTICS).status_code == 200
    monkeypatch.setattr("hannun.web.auth.time", type("Clock", (), {"time": staticmethod(lambda: 4_102_444_800.0)}))
    assert client.get(ANALYTICS).status_code == 401


def test_sending_messages_needs_a_bearer_token_with_the_role_service_or_admin(site: Site) -> None:
    body = {"type": "event-status-changed"}
    for client in (site.owner, site.signed_in(OWNER, "SUPERUSER")):
        refused = client.post("/api/v1/messages", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    site.anonymous.cookies.set("hannun_session", site.token("the-platform", "SERVICE"))
    assert site.anonymous.post("/api/v1/messages", json=body).status_code == 403
    site.anonymous.cookies.clear()
    assert site.anonymous.post("/api/v1/messages", json=body).status_code == 401
    for client in (site.service, site.admin):
        assert client.post("/api/v1/messages", json=body).status_code == 200


def test_the_page_signs_in_by_an_http_only_cookie(site: Site) -> None:
    spring(site.world)
    answer = site.anonymous.post("/api/v1/session", json={"token": site.token(OWNER)})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie
    assert site.anonymous.get("/api/v1/session").json()["userId"] == OWNER
    assert site.anonymous.get(ANALYTICS).status_code == 200
    assert site.anonymous.delete("/api/v1/session").status_code == 204
    assert site.anonymous.get(ANALYTICS).status_code == 401
    json_type = {"Content-Type": "application/json"}
    marked = b"\xef\xbb\xbf" + json.dumps({"token": site.token(OWNER)}).encode()
    signed_in = site.anonymous.post("/api/v1/session", content=marked, headers=json_type)
    assert signed_in.status_code == 204, "a byte-order mark is ignored"
    assert site.anonymous.delete("/api/v1/session").status_code == 204
    assert site.anonymous.post("/api/v1/session", content=b"{", headers=json_type).json()["code"] == "bad-sign-in"
    for bad, status in ((b"{", 400), (b"[]", 400), (b"{}", 401), (b'{"code": "guessed"}', 401), (b"\xff", 400)):
        assert site.anonymous.post("/api/v1/session", content=bad, headers=json_type).status_code == status
    too_much = site.anonymous.post("/api/v1/session", content=b" " * 100_000, headers=json_type)
    assert too_much.status_code == 413


def test_a_caller_above_the_rate_limit_gets_retry_after(site_with: Callable[..., Site]) -> None:
    site = site_with(requests_a_minute=2)
    site.services.request_limit._clock = lambda: 0.0
    spring(site.world)
    answers = [site.owner.get(ANALYTICS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "30"
    assert answers[2].json()["code"] == "too-many-requests"
    assert site.admin.get(ANALYTICS).status_code == 200  # the limit is per caller
    site.services.request_limit._clock = lambda: 30.0
    assert [site.owner.get(ANALYTICS).status_code for _ in range(2)] == [200, 429]


def test_refresh_has_a_rate_limit_of_its_own(site_with: Callable[..., Site]) -> None:
    site = site_with(refreshes_a_minute=2)
    site.services.refresh_limit._clock = lambda: 0.0
    spring(site.world)
    answers = [site.owner.get(ANALYTICS + "?refresh=true") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert site.owner.get(ANALYTICS).status_code == 200  # cached answers are still served


# -- refusals


def test_a_refusal_is_a_problem_in_the_callers_language_with_a_stable_code(site: Site) -> None:
    titles = {}
    for accepted, language in (("ko-KR,ko;q=0.9,en;q=0.1", "ko"), ("en-US", "en"), ("fr", "en"), ("", "en")):
        answer = site.owner.get(ANALYTICS, headers={"Accept-Language": accepted})
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["content-language"] == language
        assert "Accept-Language" in answer.headers["vary"]
        body = answer.json()
        assert (body["status"], body["code"], body["instance"]) == (404, "not-found", ANALYTICS)
        assert body["type"] == "urn:hannun:problem:not-found"
        titles.setdefault(language, set()).add(body["title"])
    assert titles == {"ko": {"찾을 수 없습니다"}, "en": {"There is nothing here that you may see"}}


BAD = [
    (f"{TIMELINE}?granularity=fortnightly", "bad-parameter", "granularity"),
    (f"{TIMELINE}?tz=Mars/Olympus", "unknown-zone", "tz"),
    (f"{TIMELINE}?tz=", "unknown-zone", "tz"),
    (f"{TIMELINE}?tz=Asia", "unknown-zone", "tz"),
    (f"{TIMELINE}?tz=../../etc/passwd", "unknown-zone", "tz"),
    (f"{TIMELINE}?tz=%00", "unknown-zone", "tz"),
    (f"{TIMELINE}?tz=localtime", "unknown-zone", "tz"),
    (f"{TIMELINE}?tz=Factory", "unknown-zone", "tz"),
    (f"{TIMELINE}?tz=posixrules", "unknown-zone", "tz"),
    (f"{TIMELINE}?startDate=yesterday", "bad-date", "startDate"),
    (f"{TIMELINE}?startDate=2026-02-30", "bad-date", "startDate"),
    (f"{TIMELINE}?startDate=0001-01-01&granularity=monthly&tz=America/New_York", "bad-date", "startDate"),
    (f"{TIMELINE}?startDate=9998-01-02&endDate=9999-12-31T23:59Z&granularity=monthly", "bad-date", "startDate"),
    (f"{TIMELINE}?endDate=2026-11-01T10:00:00", "no-offset", "endDate"),
    (f"{TIMELINE}?startDate=2026-11-02&endDate=2026-11-02", "empty-range", "startDate"),
    (f"{TIMELINE}?startDate=2026-11-03&endDate=2026-11-02", "empty-range", "startDate"),
    (f"{TIMELINE}?startDate=2026-11-01T00:00%2B13:60", "bad-date", "startDate"),
    (f"{TIMELINE}?startDate=2026-W45-1", "bad-date", "startDate"),
    (f"{TIMELINE}?startDate=2026-11-01T24:01Z", "bad-date", "startDate"),
    (f"{TIMELINE}?startDate=1990-01-01&endDate=2095-01-01", "range-too-long", "startDate"),
    (f"{TIMELINE}?endDate=2190-01-01&granularity=monthly", "range-too-long", "startDate"),
    (f"{TIMELINE}?metrics=participants,reach", "unknown-metric", "metrics"),
    (f"{TIMELINE}?metrics=", "bad-parameter", "metrics"),
    (f"{ANALYTICS}?startDate=yesterday", "bad-date", "startDate"),
    (f"{ANALYTICS}?startDate=2026-11-02&endDate=2026-11-02", "empty-range", "startDate"),
    (f"{ANALYTICS}?tz=Mars/Olympus", "unknown-zone", "tz"),
    (f"{ANALYTICS}/channels?channels=NAVER,,WooriTV", "bad-parameter", "channels"),
    (f"{ANALYTICS}/channels?channels={','.join(f'c{i}' for i in range(21))}", "too-many", "channels"),
    (f"{ANALYTICS}/channels?sortBy=luck", "bad-parameter", "sortBy"),
    (f"{ANALYTICS}?startdate=2026-11-01", "unknown-parameter", "startdate"),
    (f"{ANALYTICS}?tz=UTC&tz=Asia/Seoul", "bad-parameter", "tz"),
    (f"{ANALYTICS}?refresh=1", "bad-parameter", "refresh"),
    (f"{ANALYTICS}/channels?sortOrder=up", "bad-parameter", "sortOrder"),
    (f"{ANALYTICS}/roi?includeProjection=perhaps", "bad-parameter", "includeProjection"),
    (f"{ANALYTICS}/roi?endDate=2026-11-01T00:00", "no-offset", "endDate"),
    (f"{MINE}/channels?sortBy=luck", "bad-parameter", "sortBy"),
    (f"{MINE}/timeline?metrics=money", "unknown-metric", "metrics"),
    (f"{MINE}/roi?status=OPEN", "bad-parameter", "status"),
    (f"{MINE}?q={'x' * 101}", "bad-parameter", "q"),
    (f"{MINE}?q=", "bad-parameter", "q"),
    (f"{MINE}?q=%00", "bad-parameter", "q"),
    (f"{TIMELINE}?refresh=perhaps", "bad-parameter", "refresh"),
    (f"{MINE}?limit=0", "bad-parameter", "limit"),
    (f"{MINE}?limit=501", "bad-parameter", "limit"),
    (f"{MINE}?status=OPEN", "bad-parameter", "status"),
    (f"{MINE}?cursor=%F0%9F%98%80", "bad-cursor", "cursor"),
    (f"{MINE}?cursor=bm90aGluZw", "bad-cursor", "cursor"),
    (f"{MINE}?cursor=MjAyNi0wMS0wMVQwMDowMDowMC85OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "bad-cursor", "cursor"),
    (f"/api/v1/events/{'e' * 37}/analytics", "bad-parameter", "eventId"),
    ("/api/v1/events/%00/analytics", "bad-parameter", "eventId"),
    ("/api/v1/users/%00/analytics", "bad-parameter", "userId"),
]


LONGEST_ZONE = "[America/Argentina/ComodRivadavia]"


def test_a_range_may_name_the_longest_zone_behind_an_offset(site: Site) -> None:
    spring(site.world)
    start = "2026-11-01T09:00:00.000000000%2B09:00"
    answers = {site.owner.get(f"{ANALYTICS}?startDate={start}{zone}").content for zone in ("", LONGEST_ZONE)}
    assert len(answers) == 1, "the zone changes nothing"
    assert b"totalParticipants" in answers.pop()


def test_a_problem_names_the_bad_parameter(site: Site) -> None:
    spring(site.world)
    for path, code, field in BAD:
        answer = site.admin.get(path)
        assert answer.status_code == 400, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["code"], answer.json()["field"]) == (code, field), path


def test_postgresql_knows_every_accepted_zone(site: Site) -> None:
    spring(site.world)
    known = {row.name for row in site.world.rows("SELECT name FROM pg_timezone_names")}
    assert zone_names() - known == set()


def test_an_unknown_path_or_method_is_a_problem(site: Site) -> None:
    for path in ("/nowhere", "/api/v1/nowhere", "/static/nowhere.js", "/static/../app.py", f"{ANALYTICS}/luck"):
        answer = site.owner.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "no-such-path"
    for method, path in (("POST", ANALYTICS), ("DELETE", "/api/v1/messages"), ("PUT", "/api/v1/session")):
        answer = site.owner.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
        assert answer.headers["allow"]


def test_an_unexpected_error_reveals_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    spring(site.world)
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr("hannun.web.middleware.log", SimpleNamespace(error=lambda _, **fields: logged.append(fields)))
    site.world.rows("ALTER TABLE hannun.events RENAME COLUMN unattributed TO a_secret")
    answer = site.owner.get(ANALYTICS)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "unattributed" not in answer.text and "detail" not in answer.json()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert [fields["error"] for fields in logged] == ["UndefinedColumn"]


def test_every_response_has_security_headers(site: Site) -> None:
    for path in ("/", f"/events/{SPRING}", "/static/app.js", ANALYTICS, "/health/live", "/nowhere"):
        headers = site.anonymous.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "script-src" not in policy and "server" not in headers


def test_health_metrics_and_the_openapi_document_are_served(site: Site) -> None:
    contract = site.anonymous.get("/openapi.json").json()
    assert contract["openapi"].startswith("3.1")
    assert {
        "/api/v1/events/{eventId}/analytics",
        "/api/v1/events/{eventId}/analytics/timeline",
        "/api/v1/users/{userId}/analytics",
        "/api/v1/messages",
        "/api/v1/events/{eventId}/live",
        "/api/v1/users/{userId}/live",
    } <= set(contract["paths"])
    assert site.anonymous.get("/docs").status_code == 200
    assert site.anonymous.get("/health/live").json() == {"status": "live"}
    ready = site.anonymous.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    site.owner.get(ANALYTICS)
    exposition = site.anonymous.get("/metrics").text
    assert 'hannun_requests_total{route="/api/v1/events/{event_id}/analytics",status="404"}' in exposition
    assert SPRING not in exposition


# -- the timeline


def points(answer: Any) -> list[tuple[str, int, int]]:
    """(start, participants, cumulative) of each bucket."""
    return [
        (point["timestamp"], point["participants"], point["cumulativeParticipants"])
        for point in answer.json()["dataPoints"]
    ]


def test_the_timeline_has_every_field_of_the_contract(site: Site) -> None:
    spring(site.world)
    answer = site.owner.get(TIMELINE, params={"granularity": "daily"}).json()
    assert set(answer) >= {"eventId", "granularity", "tz", "period", "dataPoints", "trend", "totals"}
    assert all(set(point) == POINT for point in answer["dataPoints"])
    assert set(answer["trend"]) == {"direction", "slope", "slopeError", "peakHours", "peakWeekdays"}
    assert answer["trend"]["direction"] in {"up", "down", "flat", "early"}


def test_buckets_start_by_the_local_time_of_the_zone(site: Site) -> None:
    spring(site.world)
    site.set_now("2026-11-22T09:30:30+09:00")
    expected = {
        "daily": [
            ("2026-11-20T00:00:00+09:00", 3, 3),
            ("2026-11-21T00:00:00+09:00", 2, 5),
            ("2026-11-22T00:00:00+09:00", 2, 7),
        ],
        "weekly": [("2026-11-16T00:00:00+09:00", 7, 7)],
        "monthly": [("2026-11-01T00:00:00+09:00", 7, 7)],
    }
    for granularity, buckets in expected.items():
        answer = site.owner.get(TIMELINE, params={"granularity": granularity})
        assert points(answer) == buckets
        assert [point["complete"] for point in answer.json()["dataPoints"]][-1] is False
    assert points(site.owner.get(TIMELINE, params={"granularity": "daily", "tz": "UTC"})) == [
        ("2026-11-20T00:00:00+00:00", 3, 3),
        ("2026-11-21T00:00:00+00:00", 4, 7),
        ("2026-11-22T00:00:00+00:00", 0, 7),
    ]


def test_empty_hours_and_minutes_are_buckets_with_zeros(site: Site) -> None:
    spring(site.world)
    site.set_now("2026-11-22T02:10:30+09:00")
    hours = site.owner.get(TIMELINE, params={"granularity": "hourly"})
    assert len(points(hours)) == 41
    assert points(hours)[0] == ("2026-11-20T10:00:00+09:00", 3, 3)
    assert points(hours)[1] == ("2026-11-20T11:00:00+09:00", 0, 3)
    assert points(hours)[-2:] == [("2026-11-22T01:00:00+09:00", 1, 7), ("2026-11-22T02:00:00+09:00", 0, 7)]
    minutes = site.owner.get(TIMELINE, params={"granularity": "minute"})
    assert len(points(minutes)) == 40 * 60 + 11
    assert sum(participants for _, participants, _ in points(minutes)) == 7


def test_a_bucket_is_complete_when_it_lies_in_the_past_and_in_the_range(site: Site) -> None:
    spring(site.world)
    site.set_now("2026-11-22T02:00:00+09:00")
    params = {"granularity": "hourly", "startDate": "2026-11-21T23:30:00+09:00"}
    found = site.owner.get(TIMELINE, params=params).json()["dataPoints"]
    assert [(point["timestamp"][11:16], point["complete"]) for point in found] == [
        ("23:00", False),
        ("00:00", True),
        ("01:00", True),
        ("02:00", False),
    ]
    found = site.owner.get(TIMELINE, params=params | {"endDate": "2026-11-22T00:59:59+09:00"}).json()["dataPoints"]
    assert [point["complete"] for point in found] == [False, False]


def test_ranges_are_half_open_and_cumulative_counts_start_before_them(site: Site) -> None:
    spring(site.world)
    site.set_now("2026-11-23T12:00:00+09:00")

    def read(start: str, end: str) -> list[tuple[str, int, int]]:
        return points(site.owner.get(TIMELINE, params={"granularity": "daily", "startDate": start, "endDate": end}))

    assert read("2026-11-21", "2026-11-22") == [("2026-11-21T00:00:00+09:00", 2, 5)]
    assert read("2026-11-21T23:59:00+09:00", "2026-11-21T15:00:00Z") == [("2026-11-21T00:00:00+09:00", 2, 5)]
    assert read("2026-11-21T23:59:59+09:00", "2026-11-22T00:00:59+09:00") == [("2026-11-21T00:00:00+09:00", 2, 5)]
    assert read("2026-11-22T00:00:00+09:00", "2026-11-22T00:01:00+09:00") == [("2026-11-22T00:00:00+09:00", 1, 6)]
    assert read("2026-11-01", "2026-11-03")[-1] == ("2026-11-02T00:00:00+09:00", 0, 0)
    assert read("2026-11-22T00:00:00 09:00", "2026-11-23")[-1][1:] == (2, 7)  # a + in a query string is a space


def test_without_a_granularity_short_ranges_are_hourly_and_long_ones_daily(site: Site) -> None:
    spring(site.world)
    site.set_now("2026-11-23T12:00:00+09:00")
    params = {"startDate": "2026-11-10", "endDate": "2026-11-17"}
    assert site.owner.get(TIMELINE, params=params).json()["granularity"] == "hourly"
    assert site.owner.get(TIMELINE, params=params | {"endDate": "2026-11-18"}).json()["granularity"] == "daily"
    assert site.owner.get(TIMELINE).json()["granularity"] == "hourly"
    site.set_now("2026-11-28T12:00:00+09:00")
    assert site.owner.get(TIMELINE).json()["granularity"] == "daily"


def around(world: World, zone: str, day: str, every: timedelta, event: str = SPRING) -> list[datetime]:
    """A participant registered at every step of three days around a local day."""
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)) - timedelta(days=1)
    utc = start.astimezone(UTC)
    moments = [utc + every * step for step in range(int(timedelta(days=3) / every))]
    messages = [world.registered(f"p{i}", event, at=moment.isoformat()) for i, moment in enumerate(moments)]
    world.count(world.created(event), *messages)
    return moments


def assert_nobody_is_lost(site: Site, zone: str, day: str, granularities: Sequence[str]) -> None:
    """Each participant is in one bucket, that of the local day of registration."""
    site.set_now("2026-11-23T12:00:00+09:00")
    event = f"{day}-{zone}".replace("/", "-")
    moments = around(site.world, zone, day, timedelta(minutes=15), event)
    params = {
        "tz": zone,
        "startDate": (moments[0] - timedelta(days=2)).isoformat(),
        "endDate": (moments[-1] + timedelta(days=2)).isoformat(),
    }
    days = Counter(moment.astimezone(ZoneInfo(zone)).date().isoformat() for moment in moments)
    for granularity in granularities:
        path = f"/api/v1/events/{event}/analytics/timeline"
        found = points(site.owner.get(path, params={**params, "granularity": granularity}))
        assert sum(participants for _, participants, _ in found) == len(moments) == found[-1][2], (zone, granularity)
        starts = [datetime.fromisoformat(start) for start, _, _ in found]
        assert starts == sorted(set(starts))
        if granularity == "daily":
            assert {start[:10]: participants for start, participants, _ in found if participants} == days, zone


def test_no_participant_is_lost_at_a_clock_change(site: Site) -> None:
    for zone, day in (
        ("America/New_York", "2026-11-01"),  # 25 hours
        ("America/New_York", "2026-03-08"),  # 23
        ("Asia/Kathmandu", "2026-11-01"),  # 5:45 from UTC
        ("Asia/Seoul", "2026-11-01"),
    ):
        assert_nobody_is_lost(site, zone, day, ("hourly", "daily", "weekly", "monthly"))
    assert_nobody_is_lost(site, "Australia/Lord_Howe", "2026-04-05", ("daily", "weekly", "monthly"))  # 24.5 hours
    assert_nobody_is_lost(site, "Africa/Cairo", "2026-04-24", ("hourly", "weekly", "monthly"))  # has no midnight


def test_no_participant_is_lost_at_a_half_hour_clock_change(site: Site) -> None:
    for day in ("2026-04-05", "2026-10-04"):
        assert_nobody_is_lost(site, "Australia/Lord_Howe", day, ("hourly",))


def test_no_participant_is_lost_where_a_day_has_no_midnight(site: Site) -> None:
    assert_nobody_is_lost(site, "Africa/Cairo", "2026-04-24", ("daily",))
    assert_nobody_is_lost(site, "America/Santiago", "2026-09-06", ("daily",))


def test_a_day_of_25_hours_has_25_hourly_buckets(site: Site) -> None:
    site.set_now("2026-11-23T12:00:00+09:00")
    around(site.world, "America/New_York", "2026-11-01", timedelta(minutes=30))
    params = {"tz": "America/New_York", "startDate": "2026-11-01", "endDate": "2026-11-02"}
    hours = site.owner.get(TIMELINE, params=params | {"granularity": "hourly"})
    assert len(points(hours)) == 25
    assert [start[11:] for start, _, _ in points(hours)][:4] == [
        "00:00:00-04:00",
        "01:00:00-04:00",
        "01:00:00-05:00",
        "02:00:00-05:00",
    ]
    assert {participants for _, participants, _ in points(hours)} == {2}
    assert points(site.owner.get(TIMELINE, params=params | {"granularity": "daily"})) == [
        ("2026-11-01T00:00:00-04:00", 50, 98)
    ]


def test_a_day_with_two_midnights_starts_at_the_first(site: Site) -> None:
    site.set_now("2026-11-23T12:00:00+09:00")
    around(site.world, "America/Havana", "2025-11-02", timedelta(minutes=30))
    params = {"tz": "America/Havana", "startDate": "2025-11-02", "endDate": "2025-11-03", "granularity": "daily"}
    assert points(site.owner.get(TIMELINE, params=params)) == [("2025-11-02T00:00:00-04:00", 50, 98)]


def test_hourly_buckets_of_kathmandu_start_at_its_full_hours(site: Site) -> None:
    site.set_now("2026-11-23T12:00:00+09:00")
    site.world.count(site.world.created(), site.world.registered("p", at="2026-11-01T10:14:00Z"))
    params = {"tz": "Asia/Kathmandu", "granularity": "hourly", "startDate": "2026-11-01T10:00Z"}
    found = points(site.owner.get(TIMELINE, params=params | {"endDate": "2026-11-01T11:00Z"}))
    assert found == [("2026-11-01T15:00:00+05:45", 1, 1), ("2026-11-01T16:00:00+05:45", 0, 1)]


def test_a_timeline_with_too_many_points_is_refused(site: Site) -> None:
    spring(site.world)
    site.set_now("2026-11-23T12:00:00+09:00")
    params = {"granularity": "minute", "startDate": "2026-01-01T00:00Z"}
    refused = site.owner.get(TIMELINE, params=params | {"endDate": "2026-02-04T17:21Z"})
    assert (refused.status_code, refused.json()["code"]) == (400, "too-many-points")
    most = site.owner.get(TIMELINE, params=params | {"endDate": "2026-02-04T17:20Z"})
    assert len(points(most)) == 50_000


# -- a merchant's events


def test_a_merchants_dashboard_has_every_field_and_adds_up(site: Site) -> None:
    spring(site.world)
    site.world.count(
        site.world.created(OTHER, totalInvestment=50_000, expectedRevenue=10_000, at="2026-11-05T09:00:00+09:00"),
        site.world.registered("p", OTHER),
    )
    answer = site.owner.get(MINE).json()
    assert set(answer) >= {"userId", "totalEvents", "summary", "events", "nextCursor"}
    assert set(answer["summary"]) == SUMMARY
    for event in answer["events"]:
        assert set(event) >= {
            "eventId", "eventTitle", "status", "totalParticipants", "currentRoi", "targetRoi", "sparkline"
        }  # fmt: skip
        assert len(event["sparkline"]) == 24
    assert answer["totalEvents"] == 2
    assert answer["summary"]["totalParticipants"] == 8
    assert answer["roi"]["investment"]["total"] == 160_900
    # recorded sales of the one event, expected revenue of the other
    assert answer["roi"]["revenue"]["total"] == 160_000.25
    assert answer["roi"]["currentRoi"] == round((160_000.25 - 160_900) / 160_900 * 100, 2)


def test_a_merchants_events_are_listed_by_their_creation_and_not_by_their_arrival(site: Site) -> None:
    days = [5, 1, 9, 9, 3, 9, 7]
    for i, day in enumerate(days):
        site.world.count(site.world.created(f"event-{i}", at=f"2026-11-{day:02}T09:00:00+09:00"))
    listed = [event["eventId"] for event in site.owner.get(MINE).json()["events"]]
    assert listed == ["event-5", "event-3", "event-2", "event-6", "event-0", "event-4", "event-1"]
    for limit in (1, 2, 3):
        seen, cursor = [], ""
        while cursor is not None:
            page = site.owner.get(MINE, params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
            seen += [event["eventId"] for event in page["events"]]
            cursor = page["nextCursor"]
            # an older event that arrives between two pages stands on its own place, and moves no other
            site.world.count(site.world.created(f"late-{limit}", at="2026-10-01T09:00:00+09:00"))
        assert [event for event in seen if event.startswith("event")] == listed
        assert len(set(seen)) == len(seen)
    exported = site.owner.get(f"{MINE}?format=csv&lang=en").text.splitlines()[1:8]
    assert [line.split(",")[0].strip('"') for line in exported] == listed


def test_the_pages_of_a_merchants_events_hold_each_event_once(site: Site) -> None:
    events = [f"event-{i:02}" for i in range(7)]
    for i, event in enumerate(events):
        site.world.count(site.world.created(event, at=f"2026-11-0{i + 1}T09:00:00+09:00"))
    site.world.count(site.world.status_changed("ARCHIVED", "2026-11-20T09:00:00+09:00", events[3]))
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = site.owner.get(MINE, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        assert page["totalEvents"] == 6
        seen += [event["eventId"] for event in page["events"]]
        cursor, pages = page["nextCursor"], pages + 1
    assert seen == ["event-06", "event-05", "event-04", "event-02", "event-01", "event-00"]
    assert pages == 3
    archived = site.owner.get(MINE, params={"status": "ARCHIVED"}).json()
    assert [event["eventId"] for event in archived["events"]] == ["event-03"]
