"""Many messages for little money: what a load run sends, faster than a service under test can take it.

Written out as text instead of built and encoded: a message costs about three microseconds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from hannun.sandbox.catalogue import TARIFFS, id_of
from hannun.sandbox.wording import (
    DISTRIBUTION_COMPLETED,
    EVENT_CREATED,
    PARTICIPANT_REGISTERED,
)

_SECONDS = 3_600
_PERSON = '"name":"홍길동","phoneNumber":"010-0000-0000"}'


def load(
    seed: int, *, events: int, messages: int, at: datetime, repeat_every: int = 50
) -> Iterator[tuple[str, bytes, bytes]]:
    """Registrations, spread evenly over the events and in order over the hour before `at`: (topic, key, value).

    Participants' ids are random, not counted up: counted ones would sit side by side in every index and
    flatter the store. Messages' ids are counted, since they decide nothing. One in seven names no channel.

    Args:
        messages: how many in all, repeats included.
        repeat_every: each so-manieth is the one before it again, under a new messageId; 0: none. So there
            are messages - messages // repeat_every participants. At least 2.
    """
    rng = random.Random(f"{seed}/load")
    randbytes, getrandbits = rng.randbytes, rng.getrandbits
    keys = [event_id.encode() for event_id in load_event_ids(seed, events)]
    message_ids = f"{randbytes(4).hex()}-0000-4000-8000-"
    heads = [f'{{"eventId":"{key.decode()}","messageId":"{message_ids}' for key in keys]
    tails = [f'","channelName":"{name}",{_PERSON}' for name in TARIFFS] + [f'",{_PERSON}']
    clock = _seconds_before(at)
    event, fact = 0, ""
    for n in range(messages):
        if not repeat_every or n % repeat_every != repeat_every - 1:
            drawn = getrandbits(32)
            event = drawn // 7 % events
            who = randbytes(16).hex()
            fact = (
                f'","participantId":"{who[:8]}-{who[8:12]}-{who[12:16]}-{who[16:20]}-{who[20:]}'
                f'","registeredAt":"{clock[n * _SECONDS // messages]}{tails[drawn % 7]}'
            )
        yield PARTICIPANT_REGISTERED, keys[event], f"{heads[event]}{n:012x}{fact}".encode()


def _seconds_before(at: datetime) -> list[str]:
    """Each second of the hour before `at`, written out."""
    start = at.astimezone(UTC).replace(microsecond=0) - timedelta(seconds=_SECONDS)
    return [(start + timedelta(seconds=n)).strftime("%Y-%m-%dT%H:%M:%S.000Z") for n in range(_SECONDS)]


def load_events(seed: int, *, events: int, at: datetime) -> Iterator[tuple[str, bytes, bytes]]:
    """The events that `load` with the same seed is about, each with its six channels: (topic, key, value).

    Not needed before it: registrations may come first.
    """
    told = (at - timedelta(hours=2)).astimezone(UTC).isoformat(timespec="seconds")
    for n, event_id in enumerate(load_event_ids(seed, events)):
        owner = id_of(seed, "load", "merchant", n // 10)
        plan = {"eventTitle": f"부하 시험 {n}", "userId": owner, "createdAt": told, "totalInvestment": 1_000_000}
        channels = [
            {"channelName": name, "channelType": tariff.type, "status": "SUCCESS", "distributionCost": 50_000}
            for name, tariff in TARIFFS.items()
        ]
        yield EVENT_CREATED, event_id.encode(), msgspec.json.encode({"eventId": event_id, **plan})
        distribution = {"eventId": event_id, "completedAt": told, "channels": channels}
        yield DISTRIBUTION_COMPLETED, event_id.encode(), msgspec.json.encode(distribution)


def load_event_ids(seed: int, events: int) -> list[str]:
    return [id_of(seed, "load", "event", n) for n in range(events)]
