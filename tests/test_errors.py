"""What an error says of the operating system: the words, without the number and the name that Python adds."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

from hannun.errors import reason_of

SOURCE = Path(__file__).parents[1] / "src" / "hannun"
OS_ERRORS = {name for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, OSError)}


def handlers_of_os_errors() -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Each place that catches an OSError, among others, and names it."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None:
                caught = {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)}
                if caught & OS_ERRORS:
                    yield path.relative_to(SOURCE).as_posix(), node


def test_no_message_holds_an_error_of_the_operating_system_as_python_prints_it() -> None:
    handlers = list(handlers_of_os_errors())
    assert len(handlers) > 40
    for path, handler in handlers:
        for node in ast.walk(handler):
            if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
                assert node.value.id != handler.name, f"{path}:{node.lineno}: reason_of({handler.name})"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "No such file or directory"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (NotADirectoryError("it is not a folder"), "it is not a folder"),
        (ValueError("line 1"), "line 1"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_the_reason_of_an_error_has_no_number(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
