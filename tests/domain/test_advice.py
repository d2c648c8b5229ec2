"""Advice and headlines over random dashboards: they rest on figures that are there, and contradict nothing."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from made_dashboards import NAMES, NOW, channel, compared, dashboard, whole_days

from hannun.domain.advice import ADVICE_MAX, LEVEL, PARTICIPANTS_MIN, advice_on
from hannun.domain.event_phase import Phase
from hannun.domain.headline import headline
from hannun.domain.hours import DateHours, overlap
from hannun.domain.response_schemas import (
    ADVICE_CODES,
    HEADLINE_CODES,
    Advice,
    ChannelPerformance,
    Comparisons,
    Dashboard,
)
from hannun.domain.situation import Situation

counts = st.one_of(st.integers(0, 40), st.integers(0, 5_000))
money = st.one_of(st.none(), st.sampled_from([0, 1_000, 50_000]), st.integers(1, 10_000_000))


@st.composite
def dashboards(draw: st.DrawFn) -> Dashboard:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    states = st.sampled_from(["measured", "stale", "planned", "failed", "unknown"])
    channels = [channel(name, draw(counts), draw(money), draw(states)) for name in names]
    return dashboard(channels, unattributed=draw(st.integers(0, 9)), recorded=draw(money), expected=draw(money))


@st.composite
def hours(draw: st.DrawFn) -> DateHours | None:
    days = draw(st.integers(0, 14))
    if not days:
        return None
    busy = draw(st.integers(0, 23))
    quiet, loud = draw(st.integers(0, 5)), draw(st.integers(0, 60))
    return whole_days({20_000 + day: [loud if hour == busy else quiet for hour in range(24)] for day in range(days)})


comparisons = st.builds(
    Comparisons,
    st.one_of(st.none(), st.builds(compared, counts, counts)),
    st.one_of(st.none(), st.builds(compared, counts, counts)),
)
situations = st.builds(
    lambda phase, begun, end: Situation(
        NOW,
        "Asia/Seoul",
        phase,
        NOW + timedelta(1) if phase is Phase.UPCOMING else NOW - timedelta(begun),
        None if end is None else NOW + timedelta(end),
        None,
    ),
    st.sampled_from(Phase),
    st.integers(0, 60),
    st.one_of(st.none(), st.integers(-5, 30)),
)


def figure(path: str, answers: list[Any], of_channels: list[ChannelPerformance]) -> Any:
    """The figure at a path of the dashboard or of the insights."""
    first, _, rest = path.partition(".")
    if first == "channelPerformance":
        found = next(each for each in of_channels if rest.startswith(f"{each.channel_name}."))
        return msgspec.to_builtins(found)[rest.removeprefix(f"{found.channel_name}.")]
    (value,) = (answer for answer in answers if first in answer)
    for name in path.split("."):
        value = value[name]
    return value


@given(dashboards(), comparisons, hours(), situations)
def test_advice_rests_on_figures_that_stand_on_the_page(
    shown: Dashboard, beside: Comparisons, when: DateHours | None, situation: Situation
) -> None:
    found = advice_on(shown, beside, when, situation)
    assert len(found) <= ADVICE_MAX
    assert [ADVICE_CODES.index(each.code) for each in found] == sorted(
        {ADVICE_CODES.index(each.code) for each in found}
    )
    insights = {
        "comparisons": msgspec.to_builtins(beside),
        "heatMap": {"total": None if when is None else when.total},
    }
    for each in found:
        assert each.facts and each.text.ko and each.why.ko and each.text.en and each.why.en
        for fact in each.facts:
            assert fact.value == figure(fact.path, [msgspec.to_builtins(shown), insights], shown.channel_performance)


@given(dashboards(), comparisons, hours(), situations)
def test_no_advice_contradicts_another(
    shown: Dashboard, beside: Comparisons, when: DateHours | None, situation: Situation
) -> None:
    found = {each.code: each for each in advice_on(shown, beside, when, situation)}
    came, recorded, revenue = shown.summary.total_participants, shown.roi.revenue.recorded, shown.roi.revenue.total
    if situation.phase is Phase.UPCOMING:
        assert not found
    if situation.phase is Phase.OVER:
        assert not found.keys() & {"channel-silent", "break-even"}
    assert not {"no-sales", "break-even"} <= found.keys()
    assert "no-sales" not in found or recorded is None
    assert "no-costs" not in found or not found.keys() & {"best-channel", "break-even"}
    if "break-even" in found:
        assert shown.roi.break_even_participants is not None and shown.roi.break_even_participants > came
    if "best-channel" in found:
        best = named_first(found["best-channel"], shown)
        assert best.state not in ("stale", "failed")
        assert best.cost_per_participant is not None
        assert revenue is None or best.cost_per_participant * came < revenue
        others = [each for each in shown.channel_performance if each.cost_per_participant is not None]
        assert best.cost_per_participant == min(each.cost_per_participant or 0 for each in others)


def named_first(advice: Advice, shown: Dashboard) -> ChannelPerformance:
    name = advice.facts[0].path.split(".")[1]
    return next(each for each in shown.channel_performance if each.channel_name == name)


@given(dashboards(), comparisons, hours(), situations)
def test_with_few_participants_nothing_is_said_of_channels_hours_or_break_even(
    shown: Dashboard, beside: Comparisons, when: DateHours | None, situation: Situation
) -> None:
    codes = {each.code for each in advice_on(shown, beside, when, situation)}
    if shown.summary.total_participants < PARTICIPANTS_MIN:
        assert not codes & {"best-channel", "break-even"}
    if when is None or when.total < PARTICIPANTS_MIN:
        assert "busy-hours" not in codes


@given(dashboards(), comparisons, situations)
def test_a_headline_says_how_many_came(shown: Dashboard, beside: Comparisons, situation: Situation) -> None:
    found = headline(shown, beside, situation)
    came = f"{shown.summary.total_participants:,}"
    assert found.code in HEADLINE_CODES
    assert found.text.ko.endswith("요.") and found.text.en.endswith(".") and found.text.ko.count(".") <= 4
    if shown.summary.total_participants:
        assert came in found.text.ko and came in found.text.en


RUNNING = Situation(NOW, "Asia/Seoul", Phase.RUNNING, NOW - timedelta(20), NOW + timedelta(20), None)
NOTHING_BEFORE = Comparisons(None, None)


def codes(*channels: ChannelPerformance, **money: Any) -> list[str]:
    return [each.code for each in advice_on(dashboard(list(channels), **money), NOTHING_BEFORE, None, RUNNING)]


def test_the_cheapest_channel_is_named_only_if_the_difference_is_more_than_chance() -> None:
    naver = channel("NaverBlog", 60, 30_000)
    assert codes(naver, channel("Instagram", 20, 30_000), recorded=10**6) == ["best-channel"]
    assert codes(naver, channel("Instagram", 50, 30_000), recorded=10**6) == []
    assert codes(naver, channel("Instagram", 0, 90_000), recorded=10**6) == ["best-channel"]


def test_more_is_never_advised_for_a_channel_that_is_silent_or_loses_money() -> None:
    other = channel("Instagram", 20, 30_000)
    assert codes(channel("NaverBlog", 60, 30_000, "stale"), other, recorded=10**6) == ["channel-silent"]
    assert codes(channel("NaverBlog", 60, 30_000), other, recorded=39_000) == ["break-even"]


def best(*channels: ChannelPerformance, **money: Any) -> str | None:
    """What is said of the best channel, in English."""
    found = advice_on(dashboard(list(channels), **money), NOTHING_BEFORE, None, RUNNING)
    return next((each.text.en for each in found if each.code == "best-channel"), None)


def test_the_cheapest_channel_is_compared_only_with_those_whose_cost_is_stated_and_that_were_reached() -> None:
    naver, other = channel("NaverBlog", 60, 30_000), channel("Instagram", 20, 30_000)
    said = "Naver Blog costs least for a participant: ₩500. The next is Instagram at ₩1,500, 3 times as much."
    assert best(naver, other, recorded=10**6) == said
    assert (
        best(naver, other, channel("WooriTV", 9, None), recorded=10**6) == f"Of the channels with stated costs {said}"
    )
    assert best(naver, other, channel("WooriTV", 0, 90_000, "failed"), recorded=10**6) == said
    assert best(naver, channel("WooriTV", 0, 90_000, "failed"), recorded=10**6) is None, "there is nothing to compare"
    assert best(naver, other, expected=39_000) is None, "by the expected revenue it loses money, too"


def test_channels_that_are_alike_are_named_together() -> None:
    naver, kakao, woori = channel("NaverBlog", 60, 900), channel("KakaoChannel", 55, 900), channel("WooriTV", 20, 6_820)
    assert best(naver, kakao, woori, recorded=10**6) == (
        "Naver Blog and KakaoTalk Channel cost least for a participant: ₩15–₩16. The next is WooriTV at ₩341."
    )
    (found,) = advice_on(dashboard([naver, kakao, woori], recorded=10**6), NOTHING_BEFORE, None, RUNNING)
    assert found.text.ko == (
        "네이버 블로그와 카카오톡 채널이 참여자 한 명에 15–16원으로 가장 적게 들어요. 다음인 우리동네TV는 341원이에요."
    )
    silent = channel("KakaoChannel", 55, 900, "stale")
    assert best(naver, silent, woori, recorded=10**6) is None
    assert best(naver, kakao, woori, recorded=15 * 135 + 60) is None, "a participant of one costs more than one brings"


def test_without_any_revenue_missing_sales_are_said_sooner() -> None:
    for days, expected, said in ((1, None, []), (3, None, ["no-sales"]), (3, 10**6, []), (8, 10**6, ["no-sales"])):
        since = replace(RUNNING, starts_at=NOW - timedelta(days))
        found = advice_on(dashboard([], unattributed=9, expected=expected), NOTHING_BEFORE, None, since)
        assert [each.code for each in found if each.code == "no-sales"] == said, (days, expected)


def test_the_busy_hours_of_an_event_that_is_over_are_for_the_next_one() -> None:
    evenings = whole_days(dict.fromkeys(range(5), [0] * 18 + [9, 12, 10] + [1] * 3))
    over = Situation(NOW, "Asia/Seoul", Phase.OVER, NOW - timedelta(20), None, None)
    found = {each.code: each for each in advice_on(dashboard([], recorded=1), NOTHING_BEFORE, evenings, over)}
    busy = found["busy-hours"]
    assert busy.text.ko == "18시–21시 사이에 가장 많이 왔어요. 다음 이벤트 소식은 그 직전에 올려 보세요."
    assert busy.text.en == "Most came between 18:00 and 21:00. Post the news of your next event just before."
    assert busy.why.ko.startswith("마지막 5일 동안 170명 가운데 155명(91%)이 이때 왔어요.")


def test_a_date_of_another_year_has_its_year() -> None:
    week = Comparisons(None, compared(10, 10))
    shown = dashboard([channel("NaverBlog", 40, 50_000)], recorded=20_000)  # 100 are needed, 60 more: 42 days
    (found,) = advice_on(shown, week, None, replace(RUNNING, ends_at=None))
    assert found.text.en.endswith("At the pace of the last 7 days that is about Jan 4, 2027.")


def test_false_alarms_of_the_best_channel_are_rarer_than_its_level() -> None:
    """Two channels that bring as many for their money: the probability that one is called the best."""
    wrong = 0.0
    participants = range(8, 45)
    weights = {n: poisson(n, 24.0) for n in participants}
    for first in participants:
        for second in participants:
            if first <= second:
                continue
            shown = codes(channel("NaverBlog", first, 30_000), channel("Instagram", second, 30_000), recorded=10**9)
            wrong += 2 * weights[first] * weights[second] * ("best-channel" in shown)
    assert 0 < wrong <= LEVEL


def poisson(count: int, mean: float) -> float:
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))


def test_busy_hours_need_a_habit_and_not_one_busy_day() -> None:
    evening, nobody = [0] * 18 + [9, 12, 10] + [1] * 3, [0] * 24
    shown = dashboard([], unattributed=170, recorded=1)

    def busy(*days: list[int]) -> list[str]:
        when = whole_days(dict(enumerate(days)))
        return [each.text.en for each in advice_on(shown, NOTHING_BEFORE, when, RUNNING) if each.code == "busy-hours"]

    assert busy(*[evening] * 5) == ["Most come between 18:00 and 21:00. Post your news just before."]
    assert busy([5 * count for count in evening], nobody, nobody, nobody) == []
    assert busy(*[[3] * 24] * 5) == []
    assert busy(*[evening] * 2) == []


def test_windows_that_share_an_hour_overlap_also_over_midnight() -> None:
    windows = whole_days({0: [1] * 24}).windows(3)
    by_start = {window.start: window for window in windows}
    assert [start for start in range(24) if overlap(by_start[23], by_start[start])] == [0, 1, 21, 22, 23]
