"""A CSV file with personal data for another program: UTF-8, LF, readable by its owner alone."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hannun.errors import OperatorError


def write_private_csv(path: Path, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write rows into a new file, one by one. Returns how many there were.

    Raises:
        OperatorError: the file exists, or cannot be written. A file that was begun is removed, whatever ends it.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            count, writer = 0, csv.writer(file, lineterminator="\n")
            writer.writerow(titles)
            for row in rows:
                writer.writerow(row)
                count += 1
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise
    return count


def _unwritable(path: Path, error: OSError) -> OperatorError:
    return OperatorError(
        f"cannot write {path}: {error.strerror}", hint="name a new file, in a folder in which you may write"
    )
