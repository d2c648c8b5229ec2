"""Messages for load runs, generated faster than a service under test can accept them.

The JSON is formatted as text instead of being encoded from objects: a message takes about three microseconds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from hannun.sandbox.catalogue import CHANNEL_PROFILES, derive_id
from hannun.sandbox.message_format import (
    DISTRIBUTION_COMPLETED,
    EVENT_CREATED,
    PARTICIPANT_REGISTERED,
)

_HOUR_S = 3_600
_PERSON_FIELDS = '"name":"홍길동","phoneNumber":"010-0000-0000"}'


def load_registrations(
    seed: int, *, events: int, messages: int, at: datetime, repeat_every: int = 50
) -> Iterator[tuple[str, bytes, bytes]]:
    """Registrations as (topic, key, value): spread evenly over the events, in order of time over the hour before `at`.

    Participant ids are random. Sequential ids would be adjacent in every index, and so make the store look faster than
    it is. Message ids are sequential, since they do not affect counting. One message in seven names no channel.

    Args:
        messages: the total number of messages, including repeats.
        repeat_every: every n-th message repeats the one before it, with a new messageId. So the number of participants
            is messages - messages // repeat_every. At least 2; 0 for no repeats.
    """
    rng = random.Random(f"{seed}/load")
    randbytes, getrandbits = rng.randbytes, rng.getrandbits
    keys = [event_id.encode() for event_id in derive_load_event_ids(seed, events)]
    message_ids = f"{randbytes(4).hex()}-0000-4000-8000-"
    heads = [f'{{"eventId":"{key.decode()}","messageId":"{message_ids}' for key in keys]
    tails = [f'","channelName":"{name}",{_PERSON_FIELDS}' for name in CHANNEL_PROFILES] + [f'",{_PERSON_FIELDS}']
    timestamps = _seconds_of_hour_before(at)
    event, fields = 0, ""
    for n in range(messages):
        if not repeat_every or n % repeat_every != repeat_every - 1:
            bits = getrandbits(32)
            event = bits // 7 % events
            digits = randbytes(16).hex()
            fields = (
                f'","participantId":"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}'
                f'","registeredAt":"{timestamps[n * _HOUR_S // messages]}{tails[bits % 7]}'
            )
        yield PARTICIPANT_REGISTERED, keys[event], f"{heads[event]}{n:012x}{fields}".encode()


def _seconds_of_hour_before(at: datetime) -> list[str]:
    """Each second of the hour before `at`, in ISO 8601."""
    start = at.astimezone(UTC).replace(microsecond=0) - timedelta(seconds=_HOUR_S)
    return [(start + timedelta(seconds=n)).strftime("%Y-%m-%dT%H:%M:%S.000Z") for n in range(_HOUR_S)]


def load_events(seed: int, *, events: int, at: datetime) -> Iterator[tuple[str, bytes, bytes]]:
    """The events of `load_registrations` with the same seed, with their six channels, as (topic, key, value).

    They may be sent before or after the registrations.
    """
    created_at = (at - timedelta(hours=2)).astimezone(UTC).isoformat(timespec="seconds")
    for n, event_id in enumerate(derive_load_event_ids(seed, events)):
        owner = derive_id(seed, "load", "merchant", n // 10)
        plan = {"eventTitle": f"부하 시험 {n}", "userId": owner, "createdAt": created_at, "totalInvestment": 1_000_000}
        channels = [
            {"channelName": name, "channelType": profile.type, "status": "SUCCESS", "distributionCost": 50_000}
            for name, profile in CHANNEL_PROFILES.items()
        ]
        yield EVENT_CREATED, event_id.encode(), msgspec.json.encode({"eventId": event_id, **plan})
        distribution = {"eventId": event_id, "completedAt": created_at, "channels": channels}
        yield DISTRIBUTION_COMPLETED, event_id.encode(), msgspec.json.encode(distribution)


def derive_load_event_ids(seed: int, events: int) -> list[str]:
    return [derive_id(seed, "load", "event", n) for n in range(events)]
