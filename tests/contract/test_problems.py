"""Problem details: stable codes, with messages in Korean and English."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hannun.web.korean import KOREAN
from hannun.web.language import language_of
from hannun.web.problem_codes import CODES
from hannun.web.problems import OTHER_PARAMETER_MESSAGE, PARAMETER_MESSAGES

ROOT = Path(__file__).parents[2]
LOCALIZED = {"BadRequest", "Busy", "Unauthenticated", "Forbidden", "TooManyConnections", "NoRoomForFile"}
HANGUL = re.compile("[가-힣]")


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every call that creates an error with a message for callers."""
    for path in sorted((ROOT / "src/hannun").rglob("*.py")):
        if "sandbox" in path.parts:  # the simulated platform has no callers
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(node, "func", None)
            if isinstance(node, ast.Call) and getattr(called, "attr", getattr(called, "id", "")) in LOCALIZED:
                yield path, node


def test_every_message_has_a_korean_translation_with_the_same_values() -> None:
    templates = set(PARAMETER_MESSAGES.values()) | {OTHER_PARAMETER_MESSAGE}
    for path, call in calls():
        if isinstance(call.args[0], ast.Name) and path.name == "problems.py":
            continue  # those of PARAMETER_MESSAGES
        assert isinstance(call.args[0], ast.Constant), f"{path}:{call.lineno}: the message must be a constant template"
        templates.add(str(call.args[0].value))
    assert set(KOREAN) == templates
    for english, korean in KOREAN.items():
        assert HANGUL.search(korean), english
        assert set(re.findall(r"{\w+", korean)) == set(re.findall(r"{\w+", english)), english


def test_every_code_is_documented_and_has_a_title_in_both_languages() -> None:
    used = {
        str(word.value.value)
        for _, call in calls()
        for word in call.keywords
        if word.arg == "code" and isinstance(word.value, ast.Constant)
    }
    others = {"unauthenticated", "forbidden", "not-found", "no-such-path", "method-not-allowed", "too-many-requests"}
    others |= {"too-many-connections", "no-room-for-file", "store-unavailable", "issuer-unavailable", "internal"}
    others |= {"keys-missing"}
    assert set(CODES) == used | others
    documented = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", (ROOT / "docs/api.md").read_text(), re.MULTILINE))
    assert documented == {code: str(kind.status) for code, kind in CODES.items()}
    for kind in CODES.values():
        assert HANGUL.search(kind.ko) and not HANGUL.search(kind.en)


def test_every_code_is_caused_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [code for code in CODES if tests.count(f'"{code}"') == 0] == []


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("ko", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-GB, ko;q=0.9", "en"),
        ("fr, ko;q=0.2, en;q=0.1", "ko"),
        ("ko;q=0, en", "en"),
        ("en;q=0, *", "ko"),
        ("ko;q=0.5, *;q=0.7", "en"),
        ("ko;q=0.5, en;q=0.5", "ko"),
        ("en;q=0.5, ko;q=0.5", "en"),
        ("ko;q=nan, en;q=0.1", "en"),
        ("ko;q=2, en;q=0.1", "en"),
        ("ko;level=1;q=0.4, en;q=0.3", "ko"),
        ("*", "en"),
        ("fr", "en"),
    ],
)
def test_the_language_with_the_highest_weight_is_chosen(header: str | None, language: str) -> None:
    assert language_of(header) == language
