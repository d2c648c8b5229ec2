"""Every sentence of a finding has its Korean translation, with the same figures."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hannun.flows.doctor import cache
from hannun.web.korean_findings import KOREAN_FINDINGS

DOCTOR = Path(__file__).parents[2] / "src" / "hannun" / "flows" / "doctor"


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


def test_every_sentence_of_a_finding_is_translated_and_no_other() -> None:
    assert set(KOREAN_FINDINGS) == set(templates())


def test_a_translation_has_no_figure_that_its_sentence_has_not() -> None:
    for english, korean in KOREAN_FINDINGS.items():
        assert set(re.findall(r"{(\w+)}", korean)) <= set(re.findall(r"{(\w+)}", english)), english
        assert not korean.endswith("."), korean
