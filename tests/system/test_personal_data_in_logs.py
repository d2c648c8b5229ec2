"""The logs of all processes are JSON lines, and hold nothing personal: whatever messages and requests bring."""

import json
from collections.abc import Iterator

import httpx2
import pytest
from message_samples import WHOLE
from outside import Event, Message, Process, Service, Topics, wait_for

from hannun.domain.facts import Kind

MARK = "private"
"""Stands in each value that could be personal, in every message and request of these tests."""
NAME, PHONE, MAIL = f"{MARK}-홍길동", f"010-1234-5678-{MARK}", f"{MARK}@example.com"
PERSONAL = ("participantId", "userId", "eventTitle", "saleId", "messageId", "channelName")


def marked(kind: Kind, event: Event, **fields: object) -> Message:
    """A whole message with a mark in each field that may hold something personal."""
    found = {name: value for name, value in WHOLE[kind].items() if value is not None}
    personal = {name: f"{MARK}-{name}-{PHONE}"[:60] for name in PERSONAL if name in found}
    return {**found, "type": kind, "eventId": event.id, **personal, **fields}


def messages_of_all_kinds(event: Event) -> Iterator[Message]:
    """Good ones; and bad ones, with the mark in the field that makes them bad."""
    for kind in Kind:
        yield marked(kind, event)
        for name in WHOLE[kind]:
            if name != "eventId":
                yield marked(kind, event, **{name: {"nested": NAME}})
                yield marked(kind, event, **{name: f"{MAIL}\u0000{NAME}"})
                yield marked(kind, event, **{name: MARK * 2_000})
    yield {"type": NAME, "eventId": event.id}
    yield {"type": "sales-recorded", "eventId": NAME, "amount": MAIL}


def assert_nothing_personal(*processes: Process) -> None:
    for process in processes:
        lines = process.log.splitlines()
        assert lines, "the log level is debug, so each process has lines"
        for line in lines:
            assert json.loads(line)["event"]
            assert MARK not in line.lower()
            for part in (NAME.removeprefix(f"{MARK}-"), "010-1234-5678"):
                assert part not in line


def test_messages_and_requests_over_http_leave_nothing_personal_in_the_logs(service: Service) -> None:
    event = Event()
    serve = service.start_serve(HANNUN_LOG_LEVEL="debug")
    schedule = service.start_schedule(HANNUN_LOG_LEVEL="debug")
    answer = service.post(list(messages_of_all_kinds(event)))
    assert answer.status_code == 200
    assert answer.json()["counted"] > 0 and answer.json()["deadLettered"] > 50, answer.json()
    assert service.http.post(f"{service.api}/api/v1/messages", content=NAME.encode()).status_code >= 400
    for path in (
        f"/api/v1/users/{MARK}-user/analytics",
        f"/api/v1/events/{MARK}-event/analytics?q={MAIL}",
        f"/{MARK}/{PHONE}",
        f"/events/{event.id}#share={MARK}",
    ):
        for token in ("", f"Bearer {MARK}.token.of-somebody"):
            headers = {"Authorization": token, "User-Agent": MAIL, "Cookie": f"hannun={MARK}", "Referer": f"/{MARK}"}
            service.http.get(service.api + path, headers=headers)
    assert service.get(f"/api/v1/users/{MARK}-userId-{PHONE}/analytics").status_code in (200, 404)
    assert service.http.post(f"{service.api}/api/v1/session", json={"code": MARK, "share": MAIL}).status_code >= 400
    wait_for("the invalidations to be delivered", lambda: service.pending_invalidations() == 0)
    assert (serve.terminate(), schedule.terminate()) == (0, 0)
    assert_nothing_personal(serve, schedule)


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
def test_messages_over_kafka_leave_nothing_personal_in_the_logs(service: Service, topics: Topics) -> None:
    event = Event()
    limits = {"HANNUN_DEAD_LETTERS_IN_A_ROW_MAX": "100000", "HANNUN_DEAD_LETTERS_SHARE_MAX": "1"}
    ingest = service.start_ingest(**topics.environment(), **limits, HANNUN_LOG_LEVEL="debug")
    sent = [message for message in messages_of_all_kinds(event) if message["type"] in topics.names]
    for message in sent:
        topics.send_raw(message["type"], json.dumps(message).encode(), key=event.id)
    topics.send_raw("sales-recorded", f"{NAME} {MAIL}".encode(), key=f"{MARK}-key")
    counted = "SELECT coalesce(sum(next_offset), 0) FROM hannun.positions"
    wait_for("all messages to be counted", lambda: service.rows(counted)[0][0] == len(sent) + 1)
    assert ingest.terminate() == 0
    assert_nothing_personal(ingest)


def test_a_refused_connection_to_postgresql_says_nothing_of_its_password(service: Service) -> None:
    url = httpx2.URL(service.environment["DATABASE_URL"]).copy_with(password=f"{MARK}-password")
    process = service.launch_serve(DATABASE_URL=str(url))
    assert process.wait() in (2, 75)
    assert MARK not in process.log
