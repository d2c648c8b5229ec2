"""The merchants and events of the simulated platform, with their channels and costs.

The seed determines merchants, events and their ids. `founded_at` determines all times. So a second run on the same
home produces the same events. Amounts are in won; times are in UTC.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from uuid import UUID, uuid5

# Korea has had this offset without daylight saving time since 1988, so no time zone data are needed.
SEOUL = timezone(timedelta(hours=9), "KST")

_NAMESPACE = UUID("6f1a3c5e-8a0b-4f0e-9a55-68616e6e756e")  # arbitrary; only separates our UUIDs from others


@dataclass(frozen=True, slots=True)
class ChannelProfile:
    """A channel's type (as in the spec), and the bounds of its distribution cost (won) and of its expected views."""

    type: str
    cost_min: int
    cost_max: int
    views_min: int
    views_max: int


CHANNEL_PROFILES = {
    "WooriTV": ChannelProfile("TV", 240_000, 600_000, 20_000, 60_000),
    "GenieTV": ChannelProfile("TV", 180_000, 480_000, 15_000, 50_000),
    "RingoBiz": ChannelProfile("VOICE", 40_000, 150_000, 500, 3_000),
    "Instagram": ChannelProfile("SNS", 30_000, 200_000, 5_000, 30_000),
    "NaverBlog": ChannelProfile("SNS", 0, 120_000, 3_000, 20_000),
    "KakaoChannel": ChannelProfile("SNS", 15_000, 90_000, 2_000, 15_000),
}


@dataclass(frozen=True, slots=True)
class Merchant:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of one event.

    Attributes:
        participant_share: the fraction of the event's participants that come through it. The shares of an event need
            not add up to 1.
        first_distributed_at: the time of the first attempt to distribute the event to it.
        available_from: the time when the distribution succeeded, so participants can come through it; None if it never
            succeeded.
    """

    name: str
    participant_share: float
    cost: int
    expected_views: int
    first_distributed_at: datetime
    available_from: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        expected_participants: the approximate number of participants in its first thirty days.
        average_order_value: the average amount of a sale, in won.
        ends_at: None if it has no end, so that a demo that is opened again after months still has running events.
        replanned_at: the time when its title and plan change; None if they never change.
        announced_at: the time when its event-created message arrives.
    """

    number: int
    id: str
    merchant: Merchant
    title: str
    expected_participants: float
    average_order_value: int
    total_investment: int
    expected_revenue: int
    target_roi: int
    baseline_revenue: int | None
    created_at: datetime
    starts_at: datetime
    ends_at: datetime | None
    replanned_at: datetime | None
    announced_at: datetime
    channels: tuple[Channel, ...]

    def is_running(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class _Shop:
    name: str
    average_order_value: int
    event_titles: tuple[str, str, str, str, str]


_SHOPS = (
    _Shop(
        "연남동 커피볶는집",
        9_500,
        (
            "아메리카노 1+1 해피아워",
            "단골 스탬프 두 배 주간",
            "신메뉴 흑임자라떼 시음회",
            "겨울 원두 사전 예약",
            "디저트 무제한 목요일",
        ),
    ),
    _Shop(
        "망원동 새벽빵집",
        14_000,
        (
            "갓 구운 소금빵 무료 증정",
            "첫 방문 고객 식빵 반값",
            "개업 3주년 케이크 추첨",
            "새벽 배송 첫 주문 할인",
            "빵 굽는 토요일 교실",
        ),
    ),
    _Shop(
        "성수 머릿결연구소",
        42_000,
        (
            "첫 방문 커트 30% 할인",
            "두피 케어 무료 체험단",
            "친구와 함께 펌 1+1",
            "수험생 염색 반값",
            "단골 클리닉 적립 두 배",
        ),
    ),
    _Shop(
        "해방촌 느린책방",
        18_500,
        (
            "작가와의 만남: 동네를 쓰다",
            "한 달에 한 권 독서모임 모집",
            "중고책 교환 장터",
            "심야 책방 열두 시까지",
            "그림책 낭독회",
        ),
    ),
)
_EVENT_COUNT = len(_SHOPS) * 5

# The numbers of the events with a special state, so that every demo shows every state, whatever the seed. Numbers that
# 4 divides are the first shop's, whose page the demo opens: it has one event in each state.
_ON_ALL_CHANNELS = 0
_REPLANNED = 1
_ANNOUNCED_LATE = 2
_CHANNEL_NEVER_AVAILABLE = (3, 16)
_CHANNEL_ADDED_LATER = 4
_ENDED_DAYS_AGO = {8: 4, 10: 9}
_NOT_YET_STARTED = (7, 12)
_COSTS_MORE_THAN_IT_BRINGS = (14, 16)


def create_merchants(seed: int) -> tuple[Merchant, ...]:
    return tuple(Merchant(derive_id(seed, "merchant", n), shop.name) for n, shop in enumerate(_SHOPS))


def create_events(seed: int, founded_at: datetime, popularity: float = 1.0) -> tuple[Event, ...]:
    """All events of the simulation. At `founded_at` sixteen of them are running, two start later and two have ended.

    Args:
        popularity: a factor of the number of participants, and of the money, of every event.
    """
    rng = random.Random(f"{seed}/events")
    # 2 to 29 calendar days are between 1 and 30 times 24 hours, whatever the hour of `founded_at`.
    ages_d = rng.sample(range(3, 29), _EVENT_COUNT - 1)
    ages_d.insert(_ON_ALL_CHANNELS, 2)
    for number in _NOT_YET_STARTED:
        ages_d[number] = -2
    for number in _ENDED_DAYS_AGO:
        ages_d[number] = 29
    return tuple(_create_event(seed, rng, founded_at, n, age_d, popularity) for n, age_d in enumerate(ages_d))


def derive_id(seed: int, *path: object) -> str:
    """The UUID (version 5) of an object of the simulation. It is the same in every run with this seed."""
    return str(uuid5(_NAMESPACE, "/".join(map(str, (seed, *path)))))


def _create_event(
    seed: int, rng: random.Random, founded_at: datetime, number: int, age_d: int, popularity: float
) -> Event:
    # Consecutive events belong to different shops, which spreads the special states above over the merchants.
    shop_number, title_number = number % len(_SHOPS), number // len(_SHOPS)
    shop = _SHOPS[shop_number]
    starts_at = _opening_time(founded_at, age_d) + timedelta(hours=rng.randrange(3), minutes=rng.choice((0, 0, 30)))
    # The event that the demo shows first draws the most, so that something happens on its page every few seconds.
    expected_participants = popularity * rng.uniform(*(3_000, 4_500) if number == _ON_ALL_CHANNELS else (900, 2_600))
    revenue = expected_participants * 0.25 * shop.average_order_value
    created_at = starts_at - timedelta(days=rng.randrange(3, 6), seconds=rng.randrange(20_000))
    # Every third event is a regular one of the shop, without an end: a demo that goes on for months has running events.
    ends_at = None if number % 3 == 1 else starts_at + timedelta(days=rng.randrange(35, 90))
    if number in _ENDED_DAYS_AGO:
        ends_at = founded_at - timedelta(days=_ENDED_DAYS_AGO[number])
    investment_part = rng.uniform(0.9, 1.2) if number in _COSTS_MORE_THAN_IT_BRINGS else rng.uniform(0.12, 0.4)
    return Event(
        number=number,
        id=derive_id(seed, "event", number),
        merchant=create_merchants(seed)[shop_number],
        title=shop.event_titles[title_number],
        expected_participants=expected_participants,
        average_order_value=shop.average_order_value,
        total_investment=_round_to_ten_thousand(revenue * investment_part),
        expected_revenue=_round_to_ten_thousand(revenue * rng.uniform(0.9, 1.6)),
        target_roi=rng.choice((30, 50, 80, 120)),
        baseline_revenue=_round_to_ten_thousand(revenue * rng.uniform(0.4, 0.7)) if rng.random() < 0.8 else None,
        created_at=created_at,
        starts_at=starts_at,
        ends_at=ends_at,
        replanned_at=starts_at + timedelta(hours=27) if number == _REPLANNED else None,
        # One event is announced so late that its first participants arrive before its event-created.
        announced_at=(
            starts_at + timedelta(minutes=41) if number == _ANNOUNCED_LATE else created_at + timedelta(seconds=1)
        ),
        channels=tuple(_create_channels(rng, number, starts_at)),
    )


def _create_channels(rng: random.Random, event_number: int, starts_at: datetime) -> Iterator[Channel]:
    names = list(CHANNEL_PROFILES)
    if event_number != _ON_ALL_CHANNELS:
        names = rng.sample(names, rng.randrange(3, 7))
    for index, name in enumerate(names):
        profile = CHANNEL_PROFILES[name]
        first_distributed_at = starts_at - timedelta(seconds=rng.randrange(60, 600))
        retried_at = first_distributed_at + timedelta(seconds=rng.randrange(1_200, 14_400))
        first_attempt_fails = rng.random() < 0.12 or (event_number, index) == (_ON_ALL_CHANNELS, 1)
        available_from: datetime | None = retried_at if first_attempt_fails else first_distributed_at
        is_last = index == len(names) - 1
        if is_last and event_number in _CHANNEL_NEVER_AVAILABLE:
            available_from = None
        if is_last and event_number == _CHANNEL_ADDED_LATER:
            first_distributed_at = available_from = starts_at + timedelta(hours=26)
        yield Channel(
            name=name,
            participant_share=rng.uniform(0.5, 1.5) / len(names),
            cost=round(rng.randint(profile.cost_min, profile.cost_max), -3),
            expected_views=round(rng.randint(profile.views_min, profile.views_max), -2),
            first_distributed_at=first_distributed_at,
            available_from=available_from,
        )


def _opening_time(founded_at: datetime, age_d: int) -> datetime:
    """Nine o'clock in Seoul, `age_d` days before the day of `founded_at`."""
    day = founded_at.astimezone(SEOUL).date() - timedelta(days=age_d)
    return datetime.combine(day, time(9), SEOUL).astimezone(UTC)


def _round_to_ten_thousand(won: float) -> int:
    return int(round(won, -4))
