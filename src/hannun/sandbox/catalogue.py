"""The cast of the simulated platform: who has a shop, what events run, over which channels, at what cost.

Everything follows from the seed (who, and their ids) and from `founded` (when), so that a second run
on the same home meets the same events. Money is in won; instants are UTC.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from uuid import UUID, uuid5

# Korea has kept this offset, without daylight saving, since 1988: no zone data is needed.
SEOUL = timezone(timedelta(hours=9), "KST")

_NAMESPACE = UUID("6f1a3c5e-8a0b-4f0e-9a55-68616e6e756e")  # chosen freely; it keeps our uuid5 apart from others'


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a channel is and charges: `type` as in the spec, bounds of its cost and of the views it promises."""

    type: str
    cost_min: int
    cost_max: int
    views_min: int
    views_max: int


TARIFFS = {
    "WooriTV": Tariff("TV", 240_000, 600_000, 20_000, 60_000),
    "GenieTV": Tariff("TV", 180_000, 480_000, 15_000, 50_000),
    "RingoBiz": Tariff("VOICE", 40_000, 150_000, 500, 3_000),
    "Instagram": Tariff("SNS", 30_000, 200_000, 5_000, 30_000),
    "NaverBlog": Tariff("SNS", 0, 120_000, 3_000, 20_000),
    "KakaoChannel": Tariff("SNS", 15_000, 90_000, 2_000, 15_000),
}


@dataclass(frozen=True, slots=True)
class Merchant:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of one event.

    Attributes:
        share: its part of the event's crowd; the shares of an event need not add up to 1.
        tried: when it was first distributed.
        opens: when that succeeded, so from when on people come through it; None: it never did.
    """

    name: str
    share: float
    cost: int
    expected_views: int
    tried: datetime
    opens: datetime | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        crowd: participants to be expected in its first thirty days, about.
        basket: what one buyer spends, on average, in won.
        ends: None: it runs on, so that a demo opened again after months is still alive.
        replanned: when its title and plan are changed; None: never.
        announced: when its event-created reaches us.
    """

    number: int
    id: str
    merchant: Merchant
    title: str
    crowd: float
    basket: int
    total_investment: int
    expected_revenue: int
    target_roi: int
    baseline_revenue: int | None
    created: datetime
    starts: datetime
    ends: datetime | None
    replanned: datetime | None
    announced: datetime
    channels: tuple[Channel, ...]

    def runs(self, at: datetime) -> bool:
        return self.starts <= at and (self.ends is None or at < self.ends)


@dataclass(frozen=True, slots=True)
class _Shop:
    name: str
    basket: int
    titles: tuple[str, str, str]


_SHOPS = (
    _Shop(
        "연남동 커피볶는집", 9_500, ("아메리카노 1+1 해피아워", "신메뉴 흑임자라떼 시음회", "단골 스탬프 두 배 주간")
    ),
    _Shop("망원동 새벽빵집", 14_000, ("갓 구운 소금빵 무료 증정", "첫 방문 고객 식빵 반값", "개업 3주년 케이크 추첨")),
    _Shop("성수 머릿결연구소", 42_000, ("첫 방문 커트 30% 할인", "두피 케어 무료 체험단", "친구와 함께 펌 1+1")),
    _Shop("해방촌 느린책방", 18_500, ("작가와의 만남: 동네를 쓰다", "한 달에 한 권 독서모임 모집", "중고책 교환 장터")),
)
_EVENTS = len(_SHOPS) * 3

# Some events have a part to play, so that every state can be seen in any demo, whatever the seed.
_ON_ALL_CHANNELS = 0
_REPLANNED = 1
_ANNOUNCED_LATE = 2
_CHANNEL_LOST = 3
_CHANNEL_ADDED = 4
_NOT_YET_STARTED = 7
_ENDED = 10


def merchants_of(seed: int) -> tuple[Merchant, ...]:
    return tuple(Merchant(id_of(seed, "merchant", n), shop.name) for n, shop in enumerate(_SHOPS))


def events_of(seed: int, founded: datetime) -> tuple[Event, ...]:
    """All events there will ever be: ten running when `founded`, one still to start, one that has ended."""
    rng = random.Random(f"{seed}/events")
    # 2 to 29 calendar days are more than one and less than thirty times 24 hours, whatever the hour of `founded`.
    ages_d = rng.sample(range(3, 29), _EVENTS - 1)
    ages_d.insert(_ON_ALL_CHANNELS, 2)
    ages_d[_NOT_YET_STARTED], ages_d[_ENDED] = -2, 29
    return tuple(_event(seed, rng, founded, n, age_d) for n, age_d in enumerate(ages_d))


def id_of(seed: int, *path: object) -> str:
    """The UUID (version 5) of something that is the same in every run with this seed."""
    return str(uuid5(_NAMESPACE, "/".join(map(str, (seed, *path)))))


def _event(seed: int, rng: random.Random, founded: datetime, number: int, age_d: int) -> Event:
    # Neighbours in the list belong to different shops: the parts above are then spread over the merchants.
    shop_number, title_number = number % len(_SHOPS), number // len(_SHOPS)
    shop = _SHOPS[shop_number]
    starts = _morning(founded, age_d) + timedelta(hours=rng.randrange(3), minutes=rng.choice((0, 0, 30)))
    crowd = rng.uniform(900, 2_600)
    revenue = crowd * 0.25 * shop.basket
    created = starts - timedelta(days=rng.randrange(3, 6), seconds=rng.randrange(20_000))
    # An even number is a regular event of the shop, without an end.
    ends = starts + timedelta(days=rng.randrange(35, 90)) if number % 2 else None
    return Event(
        number=number,
        id=id_of(seed, "event", number),
        merchant=merchants_of(seed)[shop_number],
        title=shop.titles[title_number],
        crowd=crowd,
        basket=shop.basket,
        total_investment=_rounded(revenue * rng.uniform(0.5, 1.1)),
        expected_revenue=_rounded(revenue * rng.uniform(0.9, 1.6)),
        target_roi=rng.choice((30, 50, 80, 120)),
        baseline_revenue=_rounded(revenue * rng.uniform(0.4, 0.7)) if rng.random() < 0.8 else None,
        created=created,
        starts=starts,
        ends=founded - timedelta(days=4) if number == _ENDED else ends,
        replanned=starts + timedelta(hours=27) if number == _REPLANNED else None,
        # One is announced so late that its first participants come before it.
        announced=starts + timedelta(minutes=41) if number == _ANNOUNCED_LATE else created + timedelta(seconds=1),
        channels=tuple(_channels(rng, number, starts)),
    )


def _channels(rng: random.Random, number: int, starts: datetime) -> Iterator[Channel]:
    names = list(TARIFFS) if number == _ON_ALL_CHANNELS else rng.sample(list(TARIFFS), rng.randrange(3, 7))
    for place, name in enumerate(names):
        tariff = TARIFFS[name]
        tried = starts - timedelta(seconds=rng.randrange(60, 600))
        retried = tried + timedelta(seconds=rng.randrange(1_200, 14_400))
        fails = rng.random() < 0.12 or (number, place) == (_ON_ALL_CHANNELS, 1)
        opens: datetime | None = retried if fails else tried
        last = place == len(names) - 1
        if last and number == _CHANNEL_LOST:
            opens = None
        if last and number == _CHANNEL_ADDED:
            tried = opens = starts + timedelta(hours=26)
        yield Channel(
            name=name,
            share=rng.uniform(0.5, 1.5) / len(names),
            cost=round(rng.randint(tariff.cost_min, tariff.cost_max), -3),
            expected_views=round(rng.randint(tariff.views_min, tariff.views_max), -2),
            tried=tried,
            opens=opens,
        )


def _morning(founded: datetime, age_d: int) -> datetime:
    """Nine o'clock in Seoul, `age_d` days before the day of `founded`."""
    day = founded.astimezone(SEOUL).date() - timedelta(days=age_d)
    return datetime.combine(day, time(9), SEOUL).astimezone(UTC)


def _rounded(won: float) -> int:
    return int(round(won, -4))
