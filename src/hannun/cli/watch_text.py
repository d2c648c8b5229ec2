"""Text of `hannun watch`, in lines of at most 80 columns."""

from datetime import datetime

from rich.cells import set_cell_size

WIDTH = 80
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def cut(text: str) -> str:
    """One line that fits the screen."""
    return set_cell_size(text.replace("\n", " "), WIDTH).rstrip()


def pad(text: str, width: int) -> str:
    """The text in so many columns, cut or filled with spaces."""
    return set_cell_size(text, width)


def utc(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M:%S}Z"


def size(amount: float) -> str:
    """Bytes in a unit that leaves at most four digits, in thousands."""
    for unit in _UNITS[:-1]:
        if amount < 1_000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """A time span in one unit, such as `3 h`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 0):,.0f} s"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
