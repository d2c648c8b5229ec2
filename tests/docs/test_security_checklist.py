"""The security checklist has each requirement of ASVS 5.0, level 1 and 2, once, and no line without evidence."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security-checklist.md"

LEVELS = {
    "1.1": "22",
    "1.2": "1111122223",
    "1.3": "112222222223",
    "1.4": "222",
    "1.5": "123",
    "2.1": "122",
    "2.2": "112",
    "2.3": "12223",
    "2.4": "23",
    "3.1": "3",
    "3.2": "113",
    "3.3": "12223",
    "3.4": "11222233",
    "3.5": "11122333",
    "3.6": "3",
    "3.7": "22333",
    "4.1": "12233",
    "4.2": "23333",
    "4.3": "22",
    "4.4": "1222",
    "5.1": "2",
    "5.2": "112333",
    "5.3": "113",
    "5.4": "222",
    "6.1": "122",
    "6.2": "111111112222",
    "6.3": "11223333",
    "6.4": "112233",
    "6.5": "22222333",
    "6.6": "2223",
    "6.7": "33",
    "6.8": "2222",
    "7.1": "222",
    "7.2": "1111",
    "7.3": "22",
    "7.4": "11222",
    "7.5": "223",
    "7.6": "22",
    "8.1": "1233",
    "8.2": "1123",
    "8.3": "133",
    "8.4": "23",
    "9.1": "111",
    "9.2": "1222",
    "10.1": "22",
    "10.2": "223",
    "10.3": "22223",
    "10.4": "1111122222233333",
    "10.5": "22222",
    "10.6": "22",
    "10.7": "222",
    "11.1": "2233",
    "11.2": "22233",
    "11.3": "11233",
    "11.4": "1222",
    "11.5": "23",
    "11.6": "23",
    "11.7": "33",
    "12.1": "12233",
    "12.2": "11",
    "12.3": "22223",
    "13.1": "2333",
    "13.2": "222223",
    "13.3": "2233",
    "13.4": "1222233",
    "14.1": "22",
    "14.2": "12223333",
    "14.3": "122",
    "15.1": "12233",
    "15.2": "12233",
    "15.3": "1222222",
    "15.4": "3333",
    "16.1": "2",
    "16.2": "22222",
    "16.3": "2222",
    "16.4": "222",
    "16.5": "2223",
    "17.1": "23",
    "17.2": "22223333",
    "17.3": "22",
}
"""The level of each requirement of a section of ASVS 5.0.0, in the order of their numbers."""

STATES = {"holds", "does not apply", "does not hold yet"}
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`( \(f\))?")
LINK = re.compile(r"\]\(([^)]+)\)")


def rows(cells: int) -> list[list[str]]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in found if len(row) == cells and re.match(r"(API)?\d+(\.\d+)*$", row[0])]


def requirements() -> list[list[str]]:
    """Number, level, text, state, evidence."""
    return [row for row in rows(5) if not row[0].startswith("API") and "." in row[0]]


def test_each_requirement_of_level_1_and_2_stands_there_once_with_its_level() -> None:
    expected = [
        (f"{section}.{number}", level)
        for section, levels in LEVELS.items()
        for number, level in enumerate(levels, 1)
        if level != "3"
    ]
    assert len(expected) == 253
    assert [(row[0], row[1]) for row in requirements()] == expected


def test_each_attack_of_the_api_top_10_stands_there_once() -> None:
    attacks = [row for row in rows(5) if row[0].startswith("API")]
    assert [row[0] for row in attacks] == [f"API{number}" for number in range(1, 11)]
    for row in attacks:
        assert row[3] in STATES
        assert len(TEST.findall(row[4])) >= 2 or row[3] != "holds", row[0]


def test_no_line_is_without_evidence() -> None:
    for number, _, text, state, evidence in requirements():
        assert state in STATES, number
        assert text.endswith("."), number
        if state == "holds":
            assert TEST.search(evidence) or LINK.search(evidence), number
        elif state == "does not hold yet":
            assert len(evidence) > 40 or evidence.startswith("As "), number
        else:
            assert len(evidence) >= 9, number


def test_the_sums_are_those_of_the_lines() -> None:
    sums = {row[0]: [int(cell) for cell in row[1:]] for row in rows(5) if row[0] in {"1", "2"}}
    for level, (all_of_them, *by_state) in sums.items():
        states = [row[3] for row in requirements() if row[1] == level]
        assert all_of_them == len(states)
        assert by_state == [states.count(state) for state in ("holds", "does not apply", "does not hold yet")]
    assert set(sums) == {"1", "2"}


def test_every_named_test_exists_and_is_marked_faults_where_it_says_so() -> None:
    named = TEST.findall(PAGE.read_text("utf-8"))
    assert len(named) > 150
    for file, name, long in named:
        paths = [*(ROOT / "tests").rglob(file), *(ROOT / "tools/deploy/tests").glob(file)]
        sources = [path.read_text("utf-8") for path in paths]
        found = [re.search(rf"((?:^[@) ].*\n)*)^def {name}\(", source, re.MULTILINE) for source in sources]
        marks = [match[1] for match in found if match]
        assert len(marks) == 1, f"{file} has {len(marks) or 'no'} {name}"
        assert ("@pytest.mark.faults\n" in marks[0]) == bool(long), name


def test_every_link_leads_somewhere() -> None:
    for target in LINK.findall(PAGE.read_text("utf-8")):
        file, _, heading = target.partition("#")
        page = (PAGE.parent / file if file else PAGE).read_text("utf-8")
        headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        assert not heading or heading in {
            re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings
        }, target
