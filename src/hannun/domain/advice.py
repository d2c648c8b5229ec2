"""What to do: at most three sentences that follow from figures on the page. Pure.

    dashboard, comparisons, hours ─► a candidate of each kind, or none ─► exclusions ─► the most urgent three

Each says why, with its numbers. A kind is silent where there is too little to say it, and where a difference may be
chance. What excludes what, so that no advice contradicts another:

- Channels are cheapest only while their counts come in, and not where a participant costs more than one brings.
- While no sale is recorded that is said, and not how many participants the expected revenue would need.
- An event that is over needs no participants, and its channels need not be measured. Before its start nothing is said.
"""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from hannun.domain import chance
from hannun.domain.event_phase import Phase
from hannun.domain.hours import DateHours, Window, overlap
from hannun.domain.response_schemas import Advice, ChannelPerformance, Comparisons, Dashboard, Fact, snake_case
from hannun.domain.situation import Situation
from hannun.domain.terms import Bilingual, Language
from hannun.domain.wording import (
    count,
    day,
    day_with_year,
    hour,
    local,
    people,
    percent,
    recent_time,
    with_particle,
    won,
)

ADVICE_MAX = 3
LEVEL = 0.01
"""A difference is one if chance alone gives it in less than this share of cases, over all that is compared."""
RATIO_MIN = 1.1
"""A difference of less than a tenth is not worth a sentence, also where it is more than chance."""
PARTICIPANTS_MIN = 30
"""With fewer participants nothing is said of channels, hours and break-even."""
TITLES_MAX = 3
"""Of more channels that are alike, the first is named, and how many others there are."""
WINDOW_HOURS = 3
WINDOW_DATES_MIN = 3
"""Of so many dates at least participants must have come in the busiest hours."""
WEEK_PARTICIPANTS_MIN = 10
"""With fewer in the last 7 days no date follows from their pace."""
PACE_DAYS_MAX = 365
LONG_WITHOUT_SALES = timedelta(days=7)
LONG_WITHOUT_REVENUE = timedelta(days=2)
"""Where no revenue is expected either: then the page shows no ROI at all."""
LONG_WITHOUT_COSTS = timedelta(days=1)


def advice_on(
    dashboard: Dashboard, comparisons: Comparisons, hours: DateHours | None, situation: Situation
) -> list[Advice]:
    """The advice on an event, the most urgent first.

    Args:
        dashboard: the event's dashboard over all time, of the same snapshot.
        hours: when participants came; None where that is not kept.
    """
    if situation.phase is Phase.UPCOMING:
        return []
    candidates: tuple[Callable[[], Advice | None], ...] = (  # the most urgent first
        lambda: _channel_silent(dashboard, situation),
        lambda: _no_sales(dashboard, situation),
        lambda: _break_even(dashboard, comparisons, situation),
        lambda: _best_channel(dashboard),
        lambda: _busy_hours(hours, situation),
        lambda: _no_costs(dashboard, situation),
    )
    found = [advice for candidate in candidates if (advice := candidate()) is not None]
    if any(advice.code == "no-sales" for advice in found):
        found = [advice for advice in found if advice.code != "break-even"]
    return found[:ADVICE_MAX]


# -- a channel is silent -------------------------------------------------------------------------------------------


def _channel_silent(dashboard: Dashboard, situation: Situation) -> Advice | None:
    """Channels whose counts no longer come in, or whose distribution has failed, while the event runs."""
    if situation.phase is not Phase.RUNNING:
        return None
    stale = [each for each in dashboard.channel_performance if each.state == "stale" and each.stale_since]
    if stale:
        return _stale(sorted(stale, key=lambda each: (each.stale_since or "", each.channel_name)), situation)
    failed = [each for each in dashboard.channel_performance if each.state == "failed"]
    return _failed(failed) if failed else None


def _stale(channels: list[ChannelPerformance], situation: Situation) -> Advice:
    first = channels[0]
    assert first.stale_since is not None and first.measured_at is not None
    since_ko, measured_ko = (_at(each, situation, "ko") for each in (first.stale_since, first.measured_at))
    since_en, measured_en = (_at(each, situation, "en") for each in (first.stale_since, first.measured_at))
    ko, en = _named(channels)
    return Advice(
        "channel-silent",
        Bilingual(
            f"{ko}의 수치가 {since_ko}부터 들어오지 않고 있어요. 채널 상태를 확인해 보세요.",
            f"No figures have come from {en} since {since_en}. Check what is wrong with it.",
        ),
        Bilingual(
            f"{first.channel_title.ko}의 마지막 측정은 {measured_ko}이에요. "
            "조회수와 클릭은 그때의 값이고, 참여자는 계속 세고 있어요.",
            f"{first.channel_title.en} was last measured at {measured_en}. Views and clicks are of then; "
            "participants are still counted.",
        ),
        [fact for each in channels for fact in _channel_facts(each, "state", "staleSince", "measuredAt")],
    )


def _failed(channels: list[ChannelPerformance]) -> Advice:
    ko, en = _named(channels)
    came = sum(each.participants for each in channels)
    return Advice(
        "channel-silent",
        Bilingual(
            f"{ko} 배포가 실패했어요. 다시 배포할지 확인해 보세요.",
            f"The distribution on {en} failed. Consider repeating it.",
        ),
        Bilingual(
            f"배포가 실패해서 이 채널에서는 측정한 수치가 없어요. 지금까지 {count(came)}명이 왔어요.",
            f"It failed, so nothing is measured there. {people(came, 'en')} came from there so far.",
        ),
        [fact for each in channels for fact in _channel_facts(each, "state", "participants")],
    )


def _named(channels: list[ChannelPerformance]) -> tuple[str, str]:
    """The first of some channels by its title, and how many others there are."""
    title, others = channels[0].channel_title, len(channels) - 1
    if not others:
        return title.ko, title.en
    return f"{title.ko} 외 {others}개 채널", f"{title.en} and {others} other{'s' if others > 1 else ''}"


def _at(instant: str, situation: Situation, language: Language) -> str:
    moment = datetime.fromisoformat(instant).astimezone(UTC).replace(tzinfo=None)
    return recent_time(moment, situation.now, situation.tz, language)


# -- what is missing -----------------------------------------------------------------------------------------------


def _no_sales(dashboard: Dashboard, situation: Situation) -> Advice | None:
    came = dashboard.summary.total_participants
    over = situation.phase is Phase.OVER
    revenue = dashboard.roi.revenue
    if revenue.recorded is not None or not came:
        return None
    if not over and not situation.has_run_for(LONG_WITHOUT_REVENUE if revenue.total is None else LONG_WITHOUT_SALES):
        return None
    begun = situation.begun_at
    days = 0 if begun is None else (situation.now - begun).days
    why_ko = "이벤트가 끝났는데" if over else f"시작한 지 {count(days)}일이 지났는데"
    why_en = "The event is over" if over else f"It has run for {count(days)} days"
    return Advice(
        "no-sales",
        Bilingual(
            "기록된 매출이 없어요. 매출을 보내면 얼마를 벌었는지 바로 알 수 있어요.",
            "No sales are recorded. Send them, and the page shows at once what the event has earned.",
        ),
        Bilingual(
            f"{why_ko} 매출이 한 건도 기록되지 않았어요. 그동안 {count(came)}명이 참여했어요.",
            f"{why_en}, and not one sale is recorded. {people(came, 'en')} joined meanwhile.",
        ),
        [Fact("roi.revenue.recorded", None), Fact("summary.totalParticipants", came)],
    )


def _no_costs(dashboard: Dashboard, situation: Situation) -> Advice | None:
    came = dashboard.summary.total_participants
    is_early = situation.phase is Phase.RUNNING and not situation.has_run_for(LONG_WITHOUT_COSTS)
    if dashboard.roi.investment.total is not None or not came or is_early:
        return None
    return Advice(
        "no-costs",
        Bilingual(
            "든 비용이 적혀 있지 않아요. 예산이나 채널 비용을 알려 주면 ROI를 계산할 수 있어요.",
            "No costs are stated. With a budget or the costs of channels the page can compute the ROI.",
        ),
        Bilingual(
            f"이벤트 예산도 채널 배포 비용도 없어서, {count(came)}명에게 얼마가 들었는지 알 수 없어요.",
            f"There is neither a budget nor a cost of a channel, so nobody knows what {people(came, 'en')} cost.",
        ),
        [Fact("roi.investment.total", None), Fact("summary.totalParticipants", came)],
    )


# -- until break-even ----------------------------------------------------------------------------------------------


def _break_even(dashboard: Dashboard, comparisons: Comparisons, situation: Situation) -> Advice | None:
    """How many more participants earn what was spent, and when they will have come at the pace of the last 7 days."""
    roi, came = dashboard.roi, dashboard.summary.total_participants
    needed = roi.break_even_participants
    if situation.phase is not Phase.RUNNING or came < PARTICIPANTS_MIN or needed is None or needed <= came:
        return None
    left = needed - came
    when_ko, when_en = _when(left, comparisons, situation)
    expected = roi.revenue.recorded is None
    ko = f"{'예상 매출대로라면 ' if expected else ''}본전까지 {count(left)}명이 더 필요해요.{when_ko}"
    en = f"{people(left, 'en')} more to break even{' by the expected revenue' if expected else ''}.{when_en}"
    week = comparisons.week
    return Advice(
        "break-even",
        Bilingual(ko, en),
        Bilingual(
            f"{count(needed)}명이 와야 쓴 돈만큼 벌어요. 지금까지 {count(came)}명이 왔어요."
            + (f" 최근 7일에는 {count(week.participants)}명이 왔어요." if week and when_ko else ""),
            f"{count(needed)} participants earn what was spent, and {count(came)} came so far."
            + (f" {count(week.participants)} of them came in the last 7 days." if week and when_en else ""),
        ),
        [
            Fact("roi.breakEvenParticipants", needed),
            Fact("summary.totalParticipants", came),
            *([Fact("comparisons.week.participants", week.participants)] if week and when_ko else []),
        ],
    )


def _when(left: int, comparisons: Comparisons, situation: Situation) -> tuple[str, str]:
    """By when so many more have come at the pace of the last 7 days, in both languages; empty where nobody knows."""
    week = comparisons.week
    if week is None or week.participants < WEEK_PARTICIPANTS_MIN:
        return "", ""
    days = left * 7 / week.participants
    end = situation.ends_at
    if end is not None and situation.now < end < situation.now + timedelta(days=min(days, 10_000)):
        ko, en = _date(end, situation, "ko"), _date(end, situation, "en")
        return f" 지금 속도로는 끝나는 {ko}까지 모자라요.", f" At this pace they will not have come by its end on {en}."
    if days > PACE_DAYS_MAX:
        return "", ""
    at = situation.now + timedelta(days=days)
    ko, en = _date(at, situation, "ko"), _date(at, situation, "en")
    return f" 최근 7일처럼 오면 {ko}쯤이에요.", f" At the pace of the last 7 days that is about {en}."


def _date(moment: datetime, situation: Situation, language: Language) -> str:
    """A day to come; with its year where that is not this year."""
    is_this_year = local(moment, situation.tz).year == local(situation.now, situation.tz).year
    return (day if is_this_year else day_with_year)(moment, situation.tz, language)


# -- the best channel ----------------------------------------------------------------------------------------------


def _best_channel(dashboard: Dashboard) -> Advice | None:
    """The channels whose participants cost least, where that is more than chance.

    Participants of a channel are Poisson counts at a fixed cost. If both channels of a pair brought as many for their
    money, each participant of the two would be the cheaper one's with its share of both costs (`chance`). Which pairs
    differ is not known before, so the level is divided by the number of ordered pairs (Bonferroni).
    """
    paid = _compared_channels(dashboard)
    if not paid or sum(each.participants for each in paid) < PARTICIPANTS_MIN:
        return None
    best, *others = sorted(paid, key=lambda each: (_cost(each), each.channel_name))
    if not best.cost_per_participant:  # it can be less than a hundredth of a won
        return None
    level = LEVEL / (len(paid) * (len(paid) - 1))
    dearer = [each for each in others if _is_cheaper(best, each, level)]
    alike = [each for each in others if each not in dearer]
    cheapest = [best, *(each for each in alike if all(_is_cheaper(each, other, level) for other in dearer))]
    if not dearer or any(not _is_worth_its_cost(each, dashboard) for each in cheapest):
        return None
    if len(cheapest) + len(dearer) < len(paid):  # nobody knows whether the others are cheap or dear
        return _dearest(best, dearer[-1])
    return _cheapest(cheapest, dearer[0], of_known_cost=_came_at_unknown_cost(dashboard))


def _compared_channels(dashboard: Dashboard) -> list[ChannelPerformance]:
    """Channels that have cost something; none where there are fewer than two, or one is free: nothing is cheaper."""
    stated = [each for each in _reached(dashboard) if each.distribution_cost is not None]
    paid = [each for each in stated if each.distribution_cost or each.participants]
    return paid if len(paid) >= 2 and all(each.distribution_cost for each in paid) else []


def _reached(dashboard: Dashboard) -> list[ChannelPerformance]:
    return [each for each in dashboard.channel_performance if each.participants or each.state != "failed"]


def _came_at_unknown_cost(dashboard: Dashboard) -> bool:
    """Whether participants came through channels whose costs nobody has stated, too."""
    return any(each.participants for each in _reached(dashboard) if each.distribution_cost is None)


def _cost(channel: ChannelPerformance) -> float:
    """The cost of a participant; infinite where nobody came."""
    return math.inf if channel.cost_per_participant is None else channel.cost_per_participant


def _ratio(dearer: ChannelPerformance, cheaper: ChannelPerformance) -> float:
    return _cost(dearer) / _cost(cheaper)


def _is_cheaper(one: ChannelPerformance, other: ChannelPerformance, level: float) -> bool:
    """Whether a participant of `one` costs less, by more than chance and by enough to be worth a sentence."""
    if math.isinf(_cost(one)) or _ratio(other, one) < RATIO_MIN:
        return False
    return _chance_of(one, other) <= level


def _chance_of(best: ChannelPerformance, other: ChannelPerformance) -> float:
    """How likely so many participants of `best` are, among those of both, if both brought as many for their money."""
    assert best.distribution_cost and other.distribution_cost
    share = best.distribution_cost / (best.distribution_cost + other.distribution_cost)
    return chance.at_least(best.participants, best.participants + other.participants, share)


def _is_worth_its_cost(channel: ChannelPerformance, dashboard: Dashboard) -> bool:
    """Whether its figures come in, and a participant brings more than one costs, as far as that is known."""
    revenue, came = dashboard.roi.revenue.total, dashboard.summary.total_participants
    loses_money = revenue is not None and _cost(channel) * came >= revenue
    return channel.state not in ("stale", "failed") and not loses_money


def _cheapest(cheapest: list[ChannelPerformance], following: ChannelPerformance, *, of_known_cost: bool) -> Advice:
    """
    Args:
        cheapest: one channel, or some that are alike; the cheapest of them first.
        of_known_cost: whether participants came through channels whose costs nobody has stated, too.
    """
    ratio = _ratio(following, cheapest[0]) if len(cheapest) == 1 else None
    name_ko, name_en = _listed(cheapest)
    cost_ko, cost_en = (_costs(cheapest, language) for language in ("ko", "en"))
    among_ko, among_en = (
        ("비용을 아는 채널 가운데 ", "Of the channels with stated costs ") if of_known_cost else ("", "")
    )
    subject = with_particle(name_ko, "이", "가")
    verb = "costs" if len(cheapest) == 1 else "cost"
    return _channel_advice(
        Bilingual(
            f"{among_ko}{subject} 참여자 한 명에 {cost_ko}으로 가장 적게 들어요.",
            f"{among_en}{name_en} {verb} least for a participant: {cost_en}.",
        ),
        _at_cost(following, ratio, "다음인 ", "The next is "),
        [*cheapest, following],
    )


def _dearest(best: ChannelPerformance, dearest: ChannelPerformance) -> Advice:
    """Two channels that differ, where of another nobody knows to which of the two it is alike."""
    return _channel_advice(
        Bilingual(
            f"{with_particle(best.channel_title.ko, '은', '는')} 참여자 한 명에 {won(_cost(best), 'ko')}이 들어요.",
            f"A participant costs {won(_cost(best), 'en')} through {best.channel_title.en}.",
        ),
        _at_cost(dearest, _ratio(dearest, best), "", "Beside it is "),
        [best, dearest],
    )


def _channel_advice(text: Bilingual, than: Bilingual, channels: list[ChannelPerformance]) -> Advice:
    brought_ko, brought_en = (", ".join(_brought(each, language) for each in channels) for language in ("ko", "en"))
    return Advice(
        "best-channel",
        Bilingual(f"{text.ko} {than.ko}", f"{text.en} {than.en}"),
        Bilingual(
            f"{brought_ko}이 왔어요. 우연으로 이만큼 차이 날 가능성은 1%보다 낮아요.",
            f"{brought_en}. Chance alone gives such a difference in less than 1% of cases.",
        ),
        [
            fact
            for each in channels
            for fact in _channel_facts(each, "costPerParticipant", "distributionCost", "participants")
        ],
    )


def _at_cost(channel: ChannelPerformance, ratio: float | None, before_ko: str, before_en: str) -> Bilingual:
    """What a participant of a dearer channel costs, as a sentence."""
    name = channel.channel_title
    topic = with_particle(name.ko, "은", "는")
    if channel.cost_per_participant is None:
        return Bilingual(f"{topic} 데려온 사람이 없어요.", f"{name.en} has brought nobody.")
    cost_ko, cost_en = won(_cost(channel), "ko"), won(_cost(channel), "en")
    if ratio is None:
        return Bilingual(f"{before_ko}{topic} {cost_ko}이에요.", f"{before_en}{name.en} at {cost_en}.")
    times = count(ratio, 1)
    return Bilingual(
        f"{before_ko}{topic} {cost_ko}으로 {times}배예요.",
        f"{before_en}{name.en} at {cost_en}, {times} times as much.",
    )


def _listed(channels: list[ChannelPerformance]) -> tuple[str, str]:
    """The titles of up to three channels; of more the first, and how many others there are."""
    if len(channels) == 1 or len(channels) > TITLES_MAX:
        return _named(channels)
    *first, last = (each.channel_title for each in channels)
    ko = ", ".join(each.ko for each in first)
    return f"{with_particle(ko, '과', '와')} {last.ko}", f"{', '.join(each.en for each in first)} and {last.en}"


def _costs(channels: list[ChannelPerformance], language: Language) -> str:
    """What a participant costs: one amount, or the lowest and the highest where they differ."""
    lowest, highest = won(_cost(channels[0]), language), won(_cost(channels[-1]), language)
    if lowest == highest:
        return lowest
    return f"{lowest.removesuffix('원')}–{highest}"


def _brought(channel: ChannelPerformance, language: Language) -> str:
    assert channel.distribution_cost is not None
    cost = won(channel.distribution_cost, language)
    if language == "ko":
        return f"{channel.channel_title.ko} {cost}에 {count(channel.participants)}명"
    return f"{channel.channel_title.en} brought {people(channel.participants, 'en')} for {cost}"


# -- the busiest hours ---------------------------------------------------------------------------------------------


def _busy_hours(hours: DateHours | None, situation: Situation) -> Advice | None:
    """The three hours of the day in which most come, where they have more than any other three by more than chance.

    If people came evenly, each participant of the two would have come in either with the share of the minutes for which
    the event ran in it. The busiest of 24 windows is compared with all that share no hour with it: 24 * 19 pairs, by
    which the level is divided.
    """
    if hours is None or hours.total < PARTICIPANTS_MIN:
        return None
    windows = hours.windows(WINDOW_HOURS)
    best = windows[0]
    others = [window for window in windows if not overlap(best, window)]
    if best.dates < WINDOW_DATES_MIN or 2 * best.on_busiest_date > best.participants:
        return None  # one day is not a habit
    pairs = len(windows) * len(others)
    if not all(_is_busier(best, other, LEVEL / pairs) for other in others):
        return None
    return _busiest(best, others[0], hours, over=situation.phase is Phase.OVER)


def _is_busier(one: Window, other: Window, level: float) -> bool:
    """Whether more come in `one` for each minute of it, by more than chance and by enough to be worth a sentence."""
    if one.participants * other.minutes < RATIO_MIN * other.participants * one.minutes:
        return False
    share = one.minutes / (one.minutes + other.minutes)
    return chance.at_least(one.participants, one.participants + other.participants, share) <= level


def _busiest(best: Window, following: Window, hours: DateHours, *, over: bool) -> Advice:
    total, dates = hours.total, len(hours.dates)
    when_ko, when_en = _span(best, "ko"), _span(best, "en")
    most = Bilingual(
        f"{when_ko} 사이에 가장 많이 와요. 소식은 그 직전에 올려 보세요.",
        f"Most come between {when_en}. Post your news just before.",
    )
    if over:
        most = Bilingual(
            f"{when_ko} 사이에 가장 많이 왔어요. 다음 이벤트 소식은 그 직전에 올려 보세요.",
            f"Most came between {when_en}. Post the news of your next event just before.",
        )
    share, came = percent(round(100 * best.participants / total)), count(best.participants)
    days_ko = f"{'마지막' if over else '최근'} {count(dates)}일"
    days_en = f"{'its' if over else 'the'} last {count(dates)} days"
    return Advice(
        "busy-hours",
        most,
        Bilingual(
            f"{days_ko} 동안 {count(total)}명 가운데 {came}명({share})이 이때 왔어요. "
            f"다음으로 많은 {_span(following, 'ko')} 사이에는 {count(following.participants)}명이에요.",
            f"Of {people(total, 'en')} in {days_en} {came} ({share}) came then. "
            f"The next three hours, between {_span(following, 'en')}, have {count(following.participants)}.",
        ),
        [Fact("heatMap.total", total)],
    )


def _span(window: Window, language: Language) -> str:
    start, end = hour(window.start, language), hour(window.end or 24, language)
    return f"{start}–{end}" if language == "ko" else f"{start} and {end}"


# -- facts ---------------------------------------------------------------------------------------------------------


def _channel_facts(channel: ChannelPerformance, *names: str) -> Iterator[Fact]:
    """Figures of a channel by their names in JSON."""
    for name in names:
        yield Fact(f"channelPerformance.{channel.channel_name}.{name}", getattr(channel, snake_case(name)))
