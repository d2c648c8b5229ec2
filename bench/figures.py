"""Figures as they are shown: each with its unit and what it is made of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `samples` is what it is made of, with its count; `beside` names what a ratio compares with."""

    bench: str
    name: str
    value: float
    unit: str
    samples: str

    @property
    def shown(self) -> str:
        """The value with about three digits that mean something."""
        if abs(self.value) >= 1_000:
            return f"{self.value:,.0f}"
        return f"{self.value:.1f}" if abs(self.value) >= 100 else f"{self.value:.3g}"


def show(console: Console, figures: Sequence[Figure]) -> None:
    """The table."""
    table = Table("bench", "figure", "value", "unit", "samples", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    before = ""
    for figure in figures:
        if before and figure.bench != before:
            table.add_row()
        table.add_row(
            figure.bench if figure.bench != before else "", figure.name, figure.shown, figure.unit, figure.samples
        )
        before = figure.bench
    console.print(table)


def as_json(environment: dict[str, str], figures: Sequence[Figure], quick: bool) -> dict[str, Any]:
    return {"environment": environment, "quick": quick, "figures": [asdict(figure) for figure in figures]}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of a hundred lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered) + 0.5) - 1))]
