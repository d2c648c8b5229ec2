"""Whatever a producer may write into a log: any compression, transactions that were given up, a message of 1 MB."""

import json

import pytest
from accounts import account
from outside import Event, Service, Topics, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]


def is_counted(service: Service, topics: Topics, event: Event) -> None:
    wait_for(f"all to be counted: {topics.ends()}", lambda: topics.counted(service))
    assert service.figures(event.id) == event.figures
    service.is_proven()


@pytest.mark.faults
def test_compression_of_every_kind(service: Service, topics: Topics) -> None:
    service.ingests(**topics.environment())
    event = Event()
    topics.sends([event.created()])
    event.takes([event.created()])
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        body = event.more_of_everything() + [event.registered("Instagram") for _ in range(200)]
        topics.sends(body, compression_type=codec, linger_ms="50")
        event.takes(body)
    is_counted(service, topics, event)
    found = account(service, topics)
    assert (found.repeats, found.dead_letters, found.skipped) == (5 + 4 + 4, 5, 0), "distributions and statuses repeat"


@pytest.mark.faults
def test_a_message_of_1_mb_is_a_dead_letter_and_a_megabyte_of_large_ones_is_counted(
    service: Service, topics: Topics
) -> None:
    service.ingests(**topics.environment())
    event = Event()
    largest = [event.registered("Instagram") | {"note": "x" * 65_000} for _ in range(20)]
    sent = [event.created(), *largest, event.registered()]
    too_large = event.registered() | {"messageId": "the large one", "note": ""}
    too_large["note"] = "x" * (1_048_588 - 200 - len(json.dumps(too_large)))  # the most that a broker takes by default
    topics.sends(sent[:10])
    topics.sends_raw("participant-registered", json.dumps(too_large).encode())
    topics.sends(sent[10:])
    event.takes(sent)
    is_counted(service, topics, event)
    assert account(service, topics).dead_letters == 1
    letters = service.rows("SELECT reason, size_bytes > 1048000 FROM hannun.dead_letters")
    assert letters == [("too-large", True)]


def test_transactions_that_are_given_up_never_count(service: Service, topics: Topics) -> None:
    """Nor do they hold anybody up: before, between and behind those that are kept."""
    service.ingests(**topics.environment())
    event = Event()
    for _ in range(3):
        body = event.some_of_everything() if not event.taken else event.more_of_everything()
        topics.sends_at_once(
            body, after=[event.registered(), event.sold(1), event.unusable(), event.changed("CANCELLED")]
        )
        event.takes(body)
    topics.gives_up([event.registered("Instagram"), event.unusable()])
    last = [event.sold(77)]
    topics.sends(last)
    event.takes(last)
    is_counted(service, topics, event)
    account(service, topics)
