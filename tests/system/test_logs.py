"""What a producer may write into a log: any compression, aborted transactions, a message of 1 MB."""

import json

import pytest
from accounts import account
from outside import Event, Service, Topics, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]


def assert_counted(service: Service, topics: Topics, event: Event) -> None:
    wait_for(f"all to be counted: {topics.ends()}", lambda: topics.are_counted(service))
    assert service.figures(event.id) == event.expected_figures
    service.assert_no_drift()


@pytest.mark.faults
def test_records_of_every_compression_are_counted(service: Service, topics: Topics) -> None:
    service.start_ingest(**topics.environment())
    event = Event()
    topics.send([event.created()])
    event.expect([event.created()])
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        body = event.later_batch() + [event.registered("Instagram") for _ in range(200)]
        topics.send(body, compression_type=codec, linger_ms="50")
        event.expect(body)
    assert_counted(service, topics, event)
    found = account(service, topics)
    assert (found.repeats, found.dead_letters, found.skipped) == (5 + 4 + 4, 5, 0), "distributions and statuses repeat"


@pytest.mark.faults
def test_a_message_of_1_mb_is_a_dead_letter_and_a_megabyte_of_large_ones_is_counted(
    service: Service, topics: Topics
) -> None:
    service.start_ingest(**topics.environment())
    event = Event()
    largest = [event.registered("Instagram") | {"note": "x" * 65_000} for _ in range(20)]
    sent = [event.created(), *largest, event.registered()]
    too_large = event.registered() | {"messageId": "the large one", "note": ""}
    too_large["note"] = "x" * (
        1_048_588 - 200 - len(json.dumps(too_large))
    )  # the maximum that a broker accepts by default
    topics.send(sent[:10])
    topics.send_raw("participant-registered", json.dumps(too_large).encode())
    topics.send(sent[10:])
    event.expect(sent)
    assert_counted(service, topics, event)
    assert account(service, topics).dead_letters == 1
    dead_letters = service.rows("SELECT reason, size_bytes > 1048000 FROM hannun.dead_letters")
    assert dead_letters == [("too-large", True)]


def test_aborted_transactions_never_count(service: Service, topics: Topics) -> None:
    """Nor do they delay the others, whether they come before, between or behind the committed ones."""
    service.start_ingest(**topics.environment())
    event = Event()
    for _ in range(3):
        body = event.first_batch() if not event.expected_messages else event.later_batch()
        topics.send_in_transaction(
            body, after=[event.registered(), event.sold(1), event.unusable(), event.status_changed("CANCELLED")]
        )
        event.expect(body)
    topics.send_aborted([event.registered("Instagram"), event.unusable()])
    last = [event.sold(77)]
    topics.send(last)
    event.expect(last)
    assert_counted(service, topics, event)
    account(service, topics)
