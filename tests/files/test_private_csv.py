"""A CSV file with personal data is its owner's alone, and none is left half written."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from hannun.errors import OperatorError
from hannun.files.private_csv import write_private_csv


def test_rows_are_written_as_they_come_into_a_file_of_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    rows = [("a", 'one, "two"'), ("b", "두\n줄")]
    assert write_private_csv(path, ("kind", "id"), iter(rows)) == 2
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(newline="", encoding="utf-8") as file:
        assert [tuple(row) for row in csv.reader(file)] == [("kind", "id"), *rows]


def test_a_file_that_exists_stays_and_one_that_cannot_be_finished_goes(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("mine")
    with pytest.raises(OperatorError, match="File exists"):
        write_private_csv(path, ("id",), [])
    assert path.read_text() == "mine"

    def broken() -> Iterator[tuple[str]]:
        yield ("a",)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_private_csv(tmp_path / "other.csv", ("id",), broken())
    assert not (tmp_path / "other.csv").exists()
