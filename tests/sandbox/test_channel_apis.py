"""The simulated APIs of the channels over real sockets: shapes, authentication, paging and budgets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import msgspec
import pytest
from channel_calls import CHANNELS, FOUNDED, PLATFORM, Api, running_api, sign, without_budgets
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.errors import OperatorError
from hannun.sandbox.catalogue import CHANNEL_PROFILES
from hannun.sandbox.channels.budgets import Ledger
from hannun.sandbox.channels.numbers import Sources, measure
from hannun.sandbox.channels.shape import Budget, Template, load, load_all

BATCHED = [name for name in CHANNELS if name != "Instagram"]
ON_ALL_CHANNELS = PLATFORM.events[0]


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with running_api() as api:
        yield api


@pytest.fixture(scope="module")
def free() -> Iterator[Api]:
    """Without budgets."""
    with running_api(without_budgets(load_all())) as api:
        yield api


# Shapes


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_api_reports_the_measured_totals_in_its_own_shape(api: Api, channel: str) -> None:
    event = ON_ALL_CHANNELS
    source = Sources(PLATFORM).get(channel, event.id)
    assert source is not None
    totals = measure(source, CHANNEL_PROFILES[channel].type, FOUNDED)
    assert totals is not None
    (found,) = api.numbers(channel, event.id).values()
    match channel:
        case "WooriTV":
            assert found == {
                "impressionCount": str(totals.impressions),
                "viewCount": str(totals.views),
                "clickCount": str(totals.clicks),
                "conversionCount": str(totals.conversions),
            }
        case "GenieTV":
            assert list(found.values()) == [totals.impressions, totals.views, totals.clicks, totals.conversions]
        case "RingoBiz":
            assert found["dialed"] == totals.total_calls
            assert found["answered"] + found["transferred"] == totals.completed_calls
            assert (found["averageSeconds"], found["orders"]) == (totals.average_duration, totals.conversions)
        case "Instagram":
            assert list(found.values()) == [totals.views, totals.likes, totals.comments, totals.shares]
        case "NaverBlog":
            assert found["pc"] + found["mobile"] == totals.views
            assert [found[name] for name in ("likes", "comments", "scraps", "linkClicks", "orders")] == [
                totals.likes,
                totals.comments,
                totals.shares,
                totals.clicks,
                totals.conversions,
            ]
        case _:
            assert [found[name] for name in ("msg_send", "msg_open", "msg_click")] == [
                totals.impressions,
                totals.views,
                totals.clicks,
            ]
            assert found["conv_purchase"] + found["conv_participation"] == totals.conversions


@pytest.mark.parametrize("channel", BATCHED)
def test_an_event_that_the_channel_does_not_know_is_left_out(api: Api, channel: str) -> None:
    future = next(event for event in PLATFORM.events if event.starts_at > FOUNDED)
    assert set(api.numbers(channel, ON_ALL_CHANNELS.id, future.id, "of a load run")) == {
        ON_ALL_CHANNELS.id,
        "of a load run",
    }


def test_instagram_says_that_it_does_not_know_a_post(api: Api) -> None:
    future = next(event for event in PLATFORM.events if event.starts_at > FOUNDED)
    refused = api.call("Instagram", future.id)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, 24)


@pytest.mark.parametrize("channel", BATCHED)
def test_more_ids_than_a_batch_and_none_are_refused(free: Api, channel: str) -> None:
    most = 50 if channel in ("WooriTV", "NaverBlog") else 100
    ids = [f"e{n}" for n in range(most + 1)]
    assert free.call(channel, *ids[:most]).status_code == 200
    assert free.call(channel, *ids).status_code == free.call(channel, "").status_code == 400


@pytest.mark.parametrize("channel", CHANNELS)
def test_another_path_is_not_found(free: Api, channel: str) -> None:
    request = free.request(channel, "e1")
    url = request.url.copy_with(path=f"/{channel}/other")
    wrong = httpx2.Request(request.method, url, headers=request.headers, content=request.read())
    assert free.http.send(wrong).status_code in (401, 404), "where the path is signed, the signature is wrong too"
    assert free.http.get(f"{free.address}/NoChannel/x").status_code == 404


def test_numbers_follow_the_clock_of_the_sandbox(api: Api) -> None:
    before = api.numbers("WooriTV", "e1")["e1"]["viewCount"]
    assert api.numbers("WooriTV", "e1")["e1"]["viewCount"] == before, "the clock stands still"
    api.set_clock(moveS=86_400, stopped=True)
    assert int(api.numbers("WooriTV", "e1")["e1"]["viewCount"]) > int(before)


# Authentication


@pytest.mark.parametrize("channel", [name for name in CHANNELS if name != "NaverBlog"])
def test_a_call_without_the_right_credentials_is_refused_and_counted(api: Api, channel: str) -> None:
    before = api.state(channel)["unauthorized"]
    refused = 0
    for name in ("Authorization", "X-Signature", "X-API-KEY", "X-Customer", "adAccountId", "key"):
        request = api.request(channel, "e1")
        if name not in request.headers and name not in request.url.params:
            continue
        for wrong in ("", "wrong"):
            changed = httpx2.Request(
                request.method,
                request.url.copy_set_param(name, wrong) if name == "key" else request.url,
                headers={**request.headers, **({} if name == "key" else {name: wrong})},
                content=request.read(),
            )
            assert api.http.send(changed).status_code in (400, 401)
            refused += 1
    assert refused >= 2
    assert api.state(channel)["unauthorized"] == before + refused
    assert api.call(channel, "e1").status_code == 200, "and it has used none of the budget"


def test_a_signature_is_of_this_path_and_of_this_moment(api: Api) -> None:
    url = f"{api.address}/GenieTV/stats?ids=e1"
    assert api.http.get(url, headers=sign("/stats", ago_s=600)).status_code == 401
    assert api.http.get(url, headers=sign("/other")).status_code == 401
    assert api.http.get(url, headers=sign("/stats", secret="wrong")).status_code == 401
    assert api.http.get(url, headers=sign("/stats")).status_code == 200
    assert api.http.get(url, headers=sign("/GenieTV/stats")).status_code == 200, "the path of the whole URL"


@pytest.mark.parametrize("form", [{"grant_type": "password"}, {"grant_type": "client_credentials"}])
def test_a_token_is_for_the_client_alone(api: Api, form: dict[str, str]) -> None:
    url = f"{api.address}/RingoBiz/oauth/token"
    wrong = [("sandbox-ringo", "wrong"), ("wrong", "sandbox-ringo-secret"), None]
    assert [api.http.post(url, data=form, auth=auth).status_code for auth in wrong] == [401] * 3
    in_body = {**form, "client_id": "sandbox-ringo", "client_secret": "sandbox-ringo-secret"}
    expected = 200 if form["grant_type"] == "client_credentials" else 401
    assert api.http.post(url, data=in_body).status_code == expected


# Paging


@pytest.mark.parametrize("channel", ["GenieTV", "RingoBiz"])
def test_pages_hold_every_event_once(free: Api, channel: str) -> None:
    ids = [f"e{n}" for n in range(100)]
    first = free.call(channel, *ids).json()
    next_page = "2" if channel == "GenieTV" else first["cursor"]
    second = free.call(channel, *ids, page=next_page).json()
    pages = [list(read) for read in (free_read(channel, first), free_read(channel, second))]
    assert [len(page) for page in pages] == [50, 50]
    assert pages[0] + pages[1] == ids
    if channel == "GenieTV":
        assert (first["page"], first["totalPages"], second["page"]) == (1, 2, 2)
    else:
        assert (first["hasMore"], second["hasMore"]) == (True, False)
        assert "cursor" not in second


def free_read(channel: str, body: dict[str, object]) -> list[str]:
    rows = body["data" if channel == "GenieTV" else "rows"]
    assert isinstance(rows, list)
    return [row["id"] if isinstance(row, dict) else row[0] for row in rows]


def test_the_last_page_has_no_token(free: Api) -> None:
    assert "nextPageToken" not in free.call("WooriTV", "e1").json()


# Budgets


def test_kakao_takes_one_call_in_five_seconds_and_says_otherwise_by_its_own_code(api: Api) -> None:
    answers = []
    for _ in range(4):
        answers.append(api.call("KakaoChannel", "e1"))
        api.set_clock(moveS=2.5, stopped=True)
    assert [answer.status_code for answer in answers] == [200, 400, 200, 400]
    assert answers[1].json()["code"] == -10
    state = api.state("KakaoChannel")
    assert (state["calls"], state["good"], state["budgetViolations"]) == (4, 2, 2)


def test_the_units_of_a_day_end_at_midnight_in_the_zone_of_the_channel() -> None:
    ledger = Ledger([Budget(name="units", units=3, day_zone="America/Los_Angeles")])
    before, after = datetime(2026, 7, 1, 6, 59, 59, tzinfo=UTC), datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert [ledger.take(before) for _ in range(4)] == [True, True, True, False]
    assert ledger.percent(before) == 100
    assert [ledger.take(after) for _ in range(4)] == [True, True, True, False]
    assert ledger.violations == 2


@settings(derandomize=True, deadline=None, max_examples=200, database=None)
@given(st.lists(st.integers(0, 120), min_size=1, max_size=60).map(sorted), st.integers(1, 5))
def test_no_window_of_seconds_ever_holds_more_than_its_units(called_at_quarters: list[int], units: int) -> None:
    ledger = Ledger([Budget(name="calls", units=units, window_s=5)])
    called_at_s = [quarters / 4 for quarters in called_at_quarters]
    granted = [at_s for at_s in called_at_s if ledger.take(datetime.fromtimestamp(at_s, UTC))]
    for at_s in granted:
        assert sum(1 for other in granted if at_s - 5 < other <= at_s) <= units
    assert len(granted) + ledger.violations == len(called_at_s)


def test_the_usage_header_says_how_much_of_the_budget_is_used() -> None:
    few = load_all()["Instagram"]
    budget = [Budget(name="calls", units=4, window_s=60)]
    with running_api({**load_all(), "Instagram": msgspec.structs.replace(few, budget=budget)}) as api:
        answers = [api.call("Instagram", "e1") for _ in range(5)]
        used = [answer.headers["X-Business-Use-Case-Usage"] for answer in answers]
        assert [answer.status_code for answer in answers] == [200] * 4 + [400]
        for percent, header in zip((25, 50, 75, 100, 100), used, strict=True):
            assert f'"call_count": {percent},' in header


# A channel that is only a file

SEVENTH = '''
name = "ShinChannel"
type = "SNS"

[credentials]
key = "of-shin"

[request]
path = "/numbers"
ids_key = "posts"
separator = "|"
batch = 10

[authentication]
kind = "header"
headers = { X-Key = "{key}" }

[answer]
each = """{"post": "$id", "seen": "$views", "hearts": "$likes:text"}"""
whole = """{"posts": "$items"}"""

[error_body]
status = 200
body = """{"ok": false}"""

[over_quota]
status = 420
'''


def test_a_seventh_channel_is_a_file_and_no_code(tmp_path: Path) -> None:
    (tmp_path / "ShinChannel.toml").write_text(SEVENTH)
    with running_api(load_all(tmp_path)) as api:
        url, key = f"{api.address}/ShinChannel/numbers", {"X-Key": "of-shin"}
        answer = api.http.get(url, params={"posts": "e1|e2"}, headers=key).json()
        assert [post["post"] for post in answer["posts"]] == ["e1", "e2"]
        assert answer["posts"][0]["seen"] > int(answer["posts"][0]["hearts"]) > 0
        assert api.http.get(url, params={"posts": "e1"}, headers={"X-Key": "wrong"}).status_code == 401
        api.tell("ShinChannel", "quota")
        assert api.http.get(url, params={"posts": "e1"}, headers=key).status_code == 420
        assert api.state("ShinChannel")["calls"] == 3


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('type = "SNS"', 'type = "RADIO"', "type"),
        ('separator = "|"', 'divider = "|"', "divider"),
        ('path = "/numbers"', 'path = "/{id}"', "{id}"),
        ('"$views"', '"$looks"', "$looks"),
        ('{"posts": "$items"}', "{", "JSON"),
        ("batch = 10", "batch = 0", "batch"),
        ('kind = "header"', "kind = header", "line"),
    ],
)
def test_a_file_that_is_no_shape_is_refused_and_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in SEVENTH
    (tmp_path / "ShinChannel.toml").write_text(SEVENTH.replace(old, new))
    with pytest.raises(OperatorError) as refused:
        load_all(tmp_path)
    assert says in str(refused.value)
    assert "ShinChannel.toml" in str(refused.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="--shapes"):
        load_all(tmp_path / "none")


def test_a_count_that_is_removed_takes_what_only_it_needs_with_it() -> None:
    named = Template('[{"name": "views", "values": [{"value": "$views"}]}, {"name": "likes", "v": "$likes"}]', "each")
    assert named.render({"views": "1", "likes": "2"}).count("name") == 2
    for text, left in (
        ('[{"name": "views", "values": [{"value": "$views"}]}, {"name": "likes", "v": "$likes"}]', '"name": "likes"'),
        ('{"id": "$id", "counts": {"seen": "$views", "liked": "$likes"}}', '{"id": 7, "counts": {"liked": 2}}'),
        ('{"id": "$id", "seen": {"pc": "$views:third", "mobile": "$views:rest"}}', '{"id": 7}'),
    ):
        rendered = Template(text, "each", frozenset({"views"})).render({"id": "7", "likes": "2"})
        assert left in rendered and "seen" not in rendered and '"views"' not in rendered


def test_every_shipped_shape_is_of_a_channel_of_the_platform_and_loads() -> None:
    assert sorted(load_all()) == CHANNELS
    for name, each in load_all().items():
        assert CHANNEL_PROFILES[name].type == each.type
    assert load(SEVENTH, "x").name == "ShinChannel"
