"""The measured figures: their form, the table and the JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `samples` says from what it was computed, and from how many."""

    bench: str
    name: str
    value: float
    unit: str
    samples: str

    @property
    def formatted(self) -> str:
        """The value with about three significant digits."""
        if abs(self.value) >= 1_000:
            return f"{self.value:,.0f}"
        return f"{self.value:.1f}" if abs(self.value) >= 100 else f"{self.value:.3g}"


def print_table(console: Console, figures: Sequence[Figure]) -> None:
    """Print the figures as a table, with an empty line between two benches."""
    table = Table("bench", "figure", "value", "unit", "samples", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    before = ""
    for figure in figures:
        if before and figure.bench != before:
            table.add_row()
        table.add_row(
            figure.bench if figure.bench != before else "", figure.name, figure.formatted, figure.unit, figure.samples
        )
        before = figure.bench
    console.print(table)


def as_json(environment: dict[str, str], figures: Sequence[Figure], quick: bool) -> dict[str, Any]:
    return {"environment": environment, "quick": quick, "figures": [asdict(figure) for figure in figures]}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value at or below which `percent` % of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered) + 0.5) - 1))]
