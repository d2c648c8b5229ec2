"""Every test that a page of the docs names exists, and has the mark that the page says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
TESTS_OF_CHART = ROOT / "tools/deploy/tests"


PAGES = {
    "faults.md": 20,
    "threat-model.md": 20,
    "physical-design/index.md": 15,
    "physical-design/production.md": 5,
}
"""Each page that names tests, and how many it has at least."""


@pytest.mark.parametrize("page", PAGES)
def test_every_named_test_exists_and_is_marked_faults_where_it_says_so(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`( \(f\))?", text)
    assert len(named) > PAGES[page]
    for file, name, long in named:
        paths = [*TESTS.rglob(file), *TESTS_OF_CHART.glob(file)]
        sources = [path.read_text("utf-8") for path in paths]
        found = [re.search(rf"((?:^[@) ].*\n)*)^def {name}\(", source, re.MULTILINE) for source in sources]
        marks = [match[1] for match in found if match]
        assert len(marks) == 1, f"{file} has {len(marks) or 'no'} {name}"
        whole = re.search(r"^@pytest\.mark\.faults$", marks[0], re.MULTILINE) is not None
        assert whole == bool(long), f"{name} is {'' if whole else 'not '}marked as one of the faults"
