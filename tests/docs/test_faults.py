"""Every test that docs/faults.md and docs/threat-model.md name exists, and has the mark that they say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


@pytest.mark.parametrize("page", ["faults.md", "threat-model.md"])
def test_every_named_test_exists_and_is_marked_faults_where_it_says_so(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`( \(f\))?", text)
    assert len(named) > 20
    for file, name, long in named:
        sources = [path.read_text("utf-8") for path in TESTS.rglob(file)]
        found = [re.search(rf"((?:^[@) ].*\n)*)^def {name}\(", source, re.MULTILINE) for source in sources]
        marks = [match[1] for match in found if match]
        assert len(marks) == 1, f"{file} has {len(marks) or 'no'} {name}"
        whole = re.search(r"^@pytest\.mark\.faults$", marks[0], re.MULTILINE) is not None
        assert whole == bool(long), f"{name} is {'' if whole else 'not '}marked as one of the faults"
