"""What docs/faults.md says that we withstand is shown by tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def test_every_test_that_is_named_exists_and_is_as_long_as_it_says() -> None:
    text = (ROOT / "docs" / "faults.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`( \(f\))?", text)
    assert len(named) > 20
    for file, name, long in named:
        sources = [path.read_text("utf-8") for path in TESTS.rglob(file)]
        found = [re.search(rf"((?:^[@) ].*\n)*)^def {name}\(", source, re.MULTILINE) for source in sources]
        marks = [match[1] for match in found if match]
        assert len(marks) == 1, f"{file} has {len(marks) or 'no'} {name}"
        whole = re.search(r"^@pytest\.mark\.faults$", marks[0], re.MULTILINE) is not None
        assert whole == bool(long), f"{name} is {'' if whole else 'not '}marked as one of the faults"
