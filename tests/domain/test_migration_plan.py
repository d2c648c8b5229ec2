"""What a migration declares about itself."""

import pytest

from hannun.domain.migration_plan import TableLock, declared_locks, planned_lock, purpose_of


def test_the_purpose_is_the_first_sentence_of_the_first_comment() -> None:
    text = "-- squawk-ignore-file x\n-- Adds a thing: so that\n-- it is there. More of it.\n\n-- Another.\nSELECT 1;"
    assert purpose_of(text) == "Adds a thing: so that it is there."
    assert purpose_of("-- One.\n") == "One."
    assert purpose_of("SELECT 1;\n\n-- locks: nothing\n") == ""


def test_locks_are_declared_a_line_each_or_as_nothing() -> None:
    assert declared_locks("SELECT 1;\n\n-- locks: nothing\n") == []
    assert declared_locks("-- locks: a.b SHARE ROW EXCLUSIVE\n-- locks: c ACCESS EXCLUSIVE, rewritten\n") == [
        TableLock("a.b", "SHARE ROW EXCLUSIVE", ""),
        TableLock("c", "ACCESS EXCLUSIVE", "rewritten"),
    ]
    for text in ("SELECT 1;", "-- locks: c ACCESS EXCLUSIVE, moved", "-- locks: "):
        with pytest.raises(ValueError, match="no line"):
            declared_locks(text)


@pytest.mark.parametrize(
    ("mode", "work", "stops", "disk_bytes"),
    [
        ("ACCESS EXCLUSIVE", "rewritten", "readers and writers wait", 2_000),
        ("SHARE", "scanned", "writers wait", 0),
        ("ROW EXCLUSIVE", "written", "writers of the same rows wait", 1_600),
        ("ACCESS SHARE", "scanned", "nobody waits", 0),
    ],
)
def test_who_waits_and_how_much_disk_follows_from_lock_and_size(
    mode: str, work: str, stops: str, disk_bytes: int
) -> None:
    planned = planned_lock(TableLock("a.b", mode, work), 1_000, 800, [])  # type: ignore[arg-type]
    assert (planned.stops, planned.disk_bytes, planned.size_bytes) == (stops, disk_bytes, 1_000)
    assert planned.seconds > 0
