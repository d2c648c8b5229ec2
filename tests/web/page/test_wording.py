"""Words that a Korean shop owner would not use, or not for this: none is shown, on the page or in a file."""

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "src/hannun"
REPLACED = {
    "마지막 변화": "방금 업데이트",
    "재지 않음": "아직 측정 전",
    "고른 흐름": "큰 변화가 없어요",
    "음성": "전화(ARS)",
    "(?<!대)행사": "이벤트",  # 대행사 is an agency
    "캠페인": "이벤트",
    "프로모션": "이벤트",
    "대쉬보드": "대시보드",
    "컨버전": "전환",
}


@pytest.mark.parametrize(("word", "better"), REPLACED.items())
def test_a_word_that_natives_would_not_use_is_shown_nowhere(word: str, better: str) -> None:
    found = [
        f"{path.relative_to(SOURCES)}, line {number}: {better}"
        for suffix in ("*.py", "*.js", "*.html", "*.toml", "*.typ")
        for path in SOURCES.rglob(suffix)
        if "vendor" not in path.parts
        for number, line in enumerate(path.read_text("utf-8").split("\n"), start=1)
        if re.search(word, line)
    ]
    assert found == []
