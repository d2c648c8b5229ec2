"""The doctor finds queues of Service Bus that cannot be read, that wait, and whose dead letters nobody has counted."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from examining import Scene, examination, found
from service_bus_double import ServiceBusDouble

from hannun.domain.facts import Kind, Reason
from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor import service_bus as checks
from hannun.flows.doctor.registry import CHECKS as REGISTERED
from hannun.service_bus.inspection import DEAD_PEEKED_MAX, QueueInspector
from hannun.service_bus.namespace import ServiceBusAddress
from hannun.web.korean_hints import in_korean

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

QUEUE = str(Kind.PARTICIPANT_REGISTERED)
QUEUES, DEAD_LETTERS = CHECKS = ("service-bus", "service-bus-dead-letters")
WAIT_S = 60.0
OLD = timedelta(minutes=10)


@pytest.fixture
def double(scene: Scene) -> Iterator[ServiceBusDouble]:
    with ServiceBusDouble(*Kind) as double:
        scene.queues = inspector(double.connection_string())
        yield double


def inspector(connection_string: str, *names: str) -> QueueInspector:
    return QueueInspector(ServiceBusAddress(connection_string), names or tuple(map(str, Kind)), WAIT_S)


def examine(scene: Scene, *names: str) -> Mapping[str, list[Finding]]:
    """The findings, however long they take: connections in this process, beside the double, are slow."""
    with examination(scene.world, scene.expected, queues=scene.queues) as prepared:
        return found(prepared.run([REGISTERED[name] for name in names], WAIT_S, WAIT_S))


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


def bury(double: ServiceBusDouble, reasons: list[str]) -> None:
    """Put messages into the dead-letter subqueue."""
    double.send(f"{QUEUE}/$deadletterqueue", *(b"{}" for _ in reasons))
    for message, reason in zip(double.dead_letters(QUEUE)[-len(reasons) :], reasons, strict=True):
        message.reason = reason


def test_empty_queues_and_messages_that_have_just_come_yield_no_finding(scene: Scene, double: ServiceBusDouble) -> None:
    assert examine(scene, *CHECKS) == {}
    double.send(QUEUE, b"one")
    assert examine(scene, *CHECKS) == {}
    assert len(double.waiting(QUEUE)) == 1  # it was looked at, and not received


def test_a_queue_that_does_not_exist_is_found(scene: Scene, double: ServiceBusDouble) -> None:
    scene.queues = inspector(double.connection_string(), QUEUE, "misspelt")
    (finding,) = examine(scene, QUEUES)[QUEUES]
    assert (finding.severity, finding.subject) == (Severity.CRITICAL, "misspelt")
    assert "HANNUN_TOPIC_" in finding.remedy_text
    assert in_korean(str(finding.evidence["error"])).startswith("Service Bus에 읽을 수 있는")


def test_a_refused_sign_in_is_one_finding_of_all_queues(scene: Scene, double: ServiceBusDouble) -> None:
    double.refuses_tokens = True
    (finding,) = examine(scene, QUEUES)[QUEUES]
    assert finding.subject == ", ".join(Kind)
    assert "Listen" in finding.remedy_text


def test_a_namespace_that_is_away_is_one_finding(scene: Scene) -> None:
    with ServiceBusDouble(*Kind) as gone:
        scene.queues = inspector(gone.connection_string())
    (finding,) = examine(scene, QUEUES)[QUEUES]
    assert finding.severity == Severity.CRITICAL
    assert "5671" in finding.remedy_text


def test_messages_that_nothing_counts_are_found(scene: Scene, double: ServiceBusDouble) -> None:
    double.send(QUEUE, b"one", b"two", enqueued_ms=milliseconds(datetime.now(UTC) - OLD))
    (finding,) = examine(scene, QUEUES)[QUEUES]
    assert (finding.severity, finding.subject) == (Severity.CRITICAL, QUEUE)
    assert "none is counted" in finding.cause_text
    assert finding.evidence["seconds"] == pytest.approx(OLD.total_seconds(), abs=60)


def test_messages_that_are_counted_too_slowly_are_found(
    scene: Scene, double: ServiceBusDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.send(QUEUE, b"one", b"two", enqueued_ms=milliseconds(datetime.now(UTC) - OLD))

    def count_one(_: float) -> None:  # while the doctor watches
        double.queue(QUEUE).waiting.pop(0)  # type: ignore[union-attr]

    monkeypatch.setattr(checks, "time", SimpleNamespace(sleep=count_one))
    (finding,) = examine(scene, QUEUES)[QUEUES]
    assert finding.severity == Severity.WARNING
    assert "though messages are counted" in finding.cause_text


def test_dead_letters_that_nothing_has_counted_are_found_and_ours_are_not(
    scene: Scene, double: ServiceBusDouble
) -> None:
    bury(double, [str(Reason.MISSING_FIELD)])
    assert examine(scene, *CHECKS) == {}
    bury(double, ["MaxDeliveryCountExceeded", "TTLExpiredException", "TTLExpiredException"])
    (finding,) = examine(scene, DEAD_LETTERS)[DEAD_LETTERS]
    assert (finding.severity, finding.subject) == (Severity.WARNING, QUEUE)
    assert "holds 3 messages or more" in finding.cause_text
    assert "TTLExpiredException" in finding.cause_text


def test_a_subqueue_that_fills_up_with_our_dead_letters_is_a_notice(scene: Scene, double: ServiceBusDouble) -> None:
    bury(double, [str(Reason.NOT_JSON)] * (DEAD_PEEKED_MAX + 1))
    (finding,) = examine(scene, DEAD_LETTERS)[DEAD_LETTERS]
    assert finding.severity == Severity.NOTICE


def test_where_service_bus_is_the_source_kafka_is_not_examined(scene: Scene, double: ServiceBusDouble) -> None:
    with examination(scene.world, scene.expected, queues=scene.queues, reads_kafka=False) as prepared:
        checks_of_both = [REGISTERED[name] for name in ("kafka", "lag", "record-times", *CHECKS)]
        results = {each.check: each.state for each in prepared.run(checks_of_both, WAIT_S, WAIT_S)}
    assert results == dict.fromkeys(("kafka", "lag", "record-times"), "skipped") | dict.fromkeys(CHECKS, "ok")


def test_where_no_setting_names_service_bus_its_checks_are_skipped(scene: Scene) -> None:
    with examination(scene.world, scene.expected) as prepared:
        assert {each.state for each in prepared.run([REGISTERED[name] for name in CHECKS])} == {"skipped"}
