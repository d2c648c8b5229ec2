"""Every sentence of a finding, and every reason of a check without a result, has its Korean translation."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hannun.domain.positions import (
    KnownPosition,
    PartitionLog,
    TopicAtBroker,
    WaitForOperator,
    resume_or_stop,
    topic_stop,
)
from hannun.errors import DiskFull, KafkaUnavailable, ServiceBusUnavailable, StoreUnavailable
from hannun.flows.doctor import cache
from hannun.web.korean_findings import KOREAN_FINDINGS, KOREAN_REASONS, KOREAN_WORDS
from hannun.web.korean_hints import KOREAN_HINTS, in_korean

SOURCES = Path(__file__).parents[2] / "src" / "hannun"
DOCTOR = SOURCES / "flows" / "doctor"
HINTING = [SOURCES / "cache" / "failures.py", SOURCES / "kafka" / "broker.py", SOURCES / "service_bus" / "namespace.py"]
"""Adapters whose errors are findings of the doctor."""


def templates() -> Iterator[str]:
    """Causes and remedies: the third and the fourth argument of a Finding."""
    for path in DOCTOR.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                for argument in node.args[2:4]:
                    yield from (
                        part.value
                        for part in ast.walk(argument)
                        if isinstance(part, ast.Constant) and isinstance(part.value, str)
                    )
    for _, cause, remedy, _ in cache._CAUSES.values():
        yield from (cause, remedy)


def reasons() -> Iterator[str]:
    """The texts of `Skipped("...")`, and of `reason="..."` where a check did not end."""
    for path in DOCTOR.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            given = [each.value for each in node.keywords if each.arg == "reason"]
            if isinstance(node.func, ast.Name) and node.func.id == "Skipped":
                given = node.args[:1]
                assert all(isinstance(each, ast.Constant) for each in given), ast.unparse(node)
            yield from (str(each.value) for each in given if isinstance(each, ast.Constant))


def test_every_reason_of_a_skipped_or_unfinished_check_is_translated_and_no_other() -> None:
    assert set(KOREAN_REASONS) == set(reasons())


def test_a_word_that_stands_for_a_missing_figure_is_one_of_the_doctor() -> None:
    code = "".join(path.read_text("utf-8") for path in DOCTOR.glob("*.py"))
    assert [word for word in KOREAN_WORDS if f'"{word}"' not in code] == []


def test_every_sentence_of_a_finding_is_translated_and_no_other() -> None:
    assert set(KOREAN_FINDINGS) == set(templates())


def test_a_translation_has_no_figure_that_its_sentence_has_not() -> None:
    for english, korean in (KOREAN_FINDINGS | KOREAN_REASONS).items():
        assert set(re.findall(r"{(\w+)}", korean)) <= set(re.findall(r"{(\w+)}", english)), english
        assert not korean.endswith("."), korean


def stops() -> Iterator[WaitForOperator]:
    """One of each kind of a topic or a partition that waits for an operator."""
    log, at = PartitionLog("id", low=20, high=30), ("topic", 0)
    found = [
        resume_or_stop(at, log, None, "", added=False),
        *(
            resume_or_stop(at, log, known, "", added=False)
            for known in (KnownPosition("old", 25), KnownPosition("id", 7), KnownPosition("id", 99))
        ),
        resume_or_stop(
            at, PartitionLog("id", low=20, high=30, truncated=True), KnownPosition("id", 25), "", added=False
        ),
        topic_stop("topic", TopicAtBroker(None, refused="not authorized"), []),
        topic_stop("topic", TopicAtBroker(None), [0]),
        topic_stop("topic", TopicAtBroker(None), []),
        topic_stop("topic", TopicAtBroker("id", 1), [0, 1]),
    ]
    for each in found:
        assert isinstance(each, WaitForOperator)
        yield each


def hints() -> Iterator[str]:
    """The hints of errors that the doctor's checks of servers meet."""
    yield from (DiskFull.hint, StoreUnavailable.hint, KafkaUnavailable.hint, ServiceBusUnavailable.hint)
    for path in HINTING:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint" and isinstance(node.value, ast.Constant):
                yield str(node.value.value)


def test_why_a_partition_waits_is_translated() -> None:
    kept = [each.reason for each in stops() if in_korean(each.reason) == each.reason]
    assert kept == []


def test_what_to_do_is_translated_and_a_command_stays_as_it_is() -> None:
    said = [*(each.hint for each in stops()), *hints()]
    assert {text for text in said if in_korean(text) == text and not text.startswith("hannun positions ")} == set()
    assert in_korean("create it again, or: hannun positions forget t").endswith("hannun positions forget t")


def test_a_hint_keeps_its_figures_in_korean() -> None:
    for english, korean in KOREAN_HINTS.items():
        assert set(re.findall(r"{(\w+)}", korean)) == set(re.findall(r"{(\w+)}", english)), english
    assert in_korean("1,234 offsets were removed before they were counted; it begins at 9") == (
        "오프셋 1,234개가 집계되기 전에 지워졌습니다. 지금은 9부터 시작합니다"
    )
    assert in_korean("what a driver said") == "what a driver said"
