"""The answer in one sentence: how many came, and whether that is good.

An event that runs is compared with itself at the same time before, else with its target; one that is over with its
target. Of counts that differ by no more than chance the sentence does not say that one is better.
"""

from datetime import datetime
from typing import NamedTuple

from hannun.domain.chance import differ
from hannun.domain.event_phase import Phase, phase_of
from hannun.domain.instants import to_naive_utc
from hannun.domain.response_schemas import ComparedParticipants, Comparisons, Dashboard, Headline
from hannun.domain.situation import Situation
from hannun.domain.terms import Bilingual
from hannun.domain.wording import change, count, day_with_time, people, percent, signed_percent, with_particle

LEVEL = 0.05
"""A difference is one if chance alone gives such a large one in less than this share of cases."""
DAY_PARTICIPANTS_MIN = 20
"""With fewer of both days together the week says more than the day."""
SIMILAR_PERCENT = 10
"""Counts that differ by chance only are similar up to this change; else both are named and nothing is said of them."""

Sentence = tuple[str, str, str]
"""The code of a sentence, its Korean and its English text."""


def headline(dashboard: Dashboard, comparisons: Comparisons, situation: Situation) -> Headline:
    code, ko, en = _sentence(dashboard, comparisons, situation)
    return Headline(code, Bilingual(ko, en))


def headline_of_dashboard(dashboard: Dashboard, now: datetime, tz: str) -> Headline:
    """The sentence while nothing is known of the time before. `now` is in UTC without a zone."""
    starts_at, ends_at = (
        None if instant is None else to_naive_utc(datetime.fromisoformat(instant))
        for instant in (dashboard.start_date, dashboard.end_date)
    )
    phase = phase_of(dashboard.status, starts_at, now)
    return headline(dashboard, Comparisons(None, None), Situation(now, tz, phase, starts_at, ends_at, None))


def _sentence(dashboard: Dashboard, comparisons: Comparisons, situation: Situation) -> Sentence:
    came = dashboard.summary.total_participants
    if situation.phase is Phase.UPCOMING:
        return _not_begun(came, situation)
    if situation.phase is Phase.OVER:
        return _ended(dashboard, came)
    if came == 0:
        return "nothing-yet", "아직 참여자가 없어요.", "Nobody has joined yet."
    return _running(dashboard, comparisons, came)


def _not_begun(came: int, situation: Situation) -> Sentence:
    assert situation.starts_at is not None
    start_ko = day_with_time(situation.starts_at, situation.tz, "ko")
    start_en = day_with_time(situation.starts_at, situation.tz, "en")
    if not came:
        return (
            "not-begun",
            f"아직 시작 전이에요. {start_ko}에 시작해요.",
            f"It has not started yet. It starts on {start_en}.",
        )
    ko = f"{start_ko}에 시작하는데, 벌써 {count(came)}명이 참여했어요."
    return "not-begun", ko, f"It starts on {start_en}, and {_have(came)} joined already."


def _running(dashboard: Dashboard, comparisons: Comparisons, came: int) -> Sentence:
    ko, en = f"지금까지 {count(came)}명이 참여했", f"{_have(came)} joined so far"
    day, week = comparisons.day, comparisons.week
    if day is not None and (week is None or day.participants + day.previous.participants >= DAY_PARTICIPANTS_MIN):
        return _joined(ko, en, _beside_before(day, _DAY))
    if week is not None:
        return _joined(ko, en, _beside_before(week, _WEEK))
    against_target = _against_target(dashboard, "{target}까지 {points}%p 남았어요")
    if against_target is not None:
        return _joined(ko, en, against_target)
    return "counted", f"{ko}어요.", f"{en}."


def _joined(ko: str, en: str, rest: Sentence) -> Sentence:
    return rest[0], f"{ko}고, {rest[1]}.", f"{en}; {rest[2]}."


class _Words(NamedTuple):
    """How a comparison of two periods is worded.

    period: the later period, as the beginning of a sentence; before: the earlier one, to compare with.
    both: names both periods with their counts.
    """

    code: str
    period: Bilingual
    before: Bilingual
    both: Bilingual


_DAY = _Words(
    "yesterday",
    Bilingual("오늘은", "today is"),
    Bilingual("어제 같은 시각", "yesterday at this time"),
    Bilingual("오늘 {now}명, 어제 이 시각까지 {before}명이었어요", "{now} today, {before} by this time yesterday"),
)
_WEEK = _Words(
    "last-week",
    Bilingual("최근 7일은", "the last 7 days are"),
    Bilingual("그 전 7일", "the 7 before"),
    Bilingual(
        "최근 7일에는 {now}명, 그 전 7일에는 {before}명이었어요", "{now} in the last 7 days, {before} in the 7 before"
    ),
)


def _beside_before(compared: ComparedParticipants, words: _Words) -> Sentence:
    """The participants of a period beside those of the one before."""
    verdict = _verdict(compared)
    if verdict == "few":
        now, before = count(compared.participants), count(compared.previous.participants)
        ko, en = (text.format(now=now, before=before) for text in (words.both.ko, words.both.en))
        return f"few-since-{words.code}", ko, en
    if verdict == "like":
        ko, en = f"{with_particle(words.before.ko, '과', '와')} 비슷해요", f"much like {words.before.en}"
    else:
        ko, en = _by_how_much(compared, words.before)
    return f"{verdict}-{words.code}", f"{words.period.ko} {ko}", f"{words.period.en} {en}"


def _verdict(compared: ComparedParticipants) -> str:
    """ahead-of, behind, like (no difference worth a word) or few (too few to tell)."""
    now, before = compared.participants, compared.previous.participants
    if differ(now, before, LEVEL):
        return "ahead-of" if now > before else "behind"
    is_similar = compared.delta is not None and abs(compared.delta) <= SIMILAR_PERCENT
    return "like" if is_similar and now + before >= DAY_PARTICIPANTS_MIN else "few"


def _by_how_much(compared: ComparedParticipants, before: Bilingual) -> tuple[str, str]:
    """Ahead or behind, in percent; in people where nobody came before."""
    now, delta = compared.participants, compared.delta
    if delta is None:
        return (
            f"{before.ko}에는 없던 참여자가 {count(now)}명 왔어요",
            f"{people(now, 'en')} ahead of {before.en}, when nobody came",
        )
    ko, en = change(delta, "ko"), change(delta, "en")
    if delta < 0:
        return f"{before.ko}보다 {ko} 적어요", f"{en} behind {before.en}"
    return f"{before.ko}보다 {ko} 많아요", f"{en} ahead of {before.en}"


def _against_target(dashboard: Dashboard, missed_ko: str) -> Sentence | None:
    """The ROI beside its target; None where one of them is not known, or no sale is recorded.

    Args:
        missed_ko: what to say where the target is not reached, with the target and the points.
    """
    roi = dashboard.roi
    if roi.current_roi is None or roi.target_roi is None or roi.revenue.recorded is None:
        return None
    now, target = signed_percent(roi.current_roi), percent(roi.target_roi)
    if roi.current_roi >= roi.target_roi:
        return (
            "above-target",
            f"ROI {now}로 목표 {target}를 달성했어요",
            f"an ROI of {now} reaches the target of {target}",
        )
    points = count(roi.target_roi - roi.current_roi, 2)
    missed = missed_ko.format(target=f"목표 {target}", points=points)
    return (
        "below-target",
        f"ROI {now}로 {missed}",
        f"an ROI of {now} is {points} points short of the target of {target}",
    )


def _ended(dashboard: Dashboard, came: int) -> Sentence:
    if came == 0:
        return "ended-empty", "참여자 없이 끝났어요.", "It ended without a participant."
    ko, en = f"모두 {count(came)}명이 참여했", f"{people(came, 'en')} joined"
    against_target = _against_target(dashboard, "{target}에 {points}%p 못 미쳤어요")
    if against_target is None:
        return "ended", f"{ko}어요.", f"{en}."
    code, rest_ko, rest_en = against_target
    return _joined(ko, en, (f"ended-{code}", rest_ko, rest_en))


def _have(came: int) -> str:
    return f"{people(came, 'en')} {'has' if came == 1 else 'have'}"
