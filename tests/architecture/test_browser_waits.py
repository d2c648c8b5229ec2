"""How the tests of the page wait for it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WAITING = [path for path in TESTS.rglob("*.py") if path != Path(__file__) and ".wait_for_function(" in path.read_text()]


def waited_for(source: str) -> Iterator[str]:
    """What each call of `wait_for_function` waits for, as the source writes it."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "wait_for_function"
        ):
            yield ast.unparse(node.args[0])


@pytest.mark.parametrize("path", WAITING, ids=lambda path: path.stem)
def test_the_browser_is_asked_to_call_a_function_since_the_page_forbids_to_evaluate_text(path: Path) -> None:
    """Playwright evaluates a bare expression again by `eval`, once the first look at it was false: the policy of the
    page refuses that, so such a test passes only where the page was faster than the test."""
    assert [text for text in waited_for(path.read_text()) if "=>" not in text] == []


def test_a_bare_expression_is_found() -> None:
    assert list(waited_for('page.wait_for_function("window.sent.length === 1")')) == ["'window.sent.length === 1'"]
