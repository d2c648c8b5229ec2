"""`hannun capacity`: what a load needs and costs, in development and in production."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hannun.cli.terminal import print_folded
from hannun.errors import OperatorError, reason_of

if TYPE_CHECKING:
    from hannun.domain.capacity import Environment, Load, Pods, Sizing
    from hannun.domain.prices import Bill, Prices

    Answer = tuple[Environment, Sizing, Bill]

PRICES_BYTES_MAX = 1_000_000
_WIDTHS = (34, 18, 18)


def capacity(
    users: Annotated[int, typer.Option(min=0, max=1_000_000, help="with a page open at the same time")],
    events: Annotated[int, typer.Option(min=0, max=1_000_000, help="that run at the same time")],
    participants_a_day: Annotated[int, typer.Option(min=0, max=1_000_000_000, help="of all events")],
    days_kept: Annotated[int, typer.Option(min=1, max=3_660, help="of ledger and timeline")] = 365,
    peak: Annotated[int, typer.Option(min=1, max=1_000, help="the busiest second as a multiple of the mean")] = 10,
    prices: Annotated[Path | None, typer.Option(help="a file of prices; else that of Korea Central")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Print what a load needs and what it costs a month, from measured figures and dated prices."""
    from hannun.domain.capacity import Environment, Load, size
    from hannun.domain.prices import monthly_bill

    load = Load(users, events, participants_a_day, days_kept, peak)
    read = _prices(prices)
    sized = [(environment, size(load, environment)) for environment in Environment]
    answers = [(environment, sizing, monthly_bill(sizing, environment, read)) for environment, sizing in sized]
    if as_json:
        print(json.dumps(_as_json(load, answers, read), indent=2))
    else:
        _print(answers, read)


def _prices(file: Path | None) -> "Prices":
    """
    Raises:
        OperatorError: the file cannot be read, or is no file of prices.
    """
    from hannun.domain.prices import load_prices

    if file is None:
        return load_prices()
    try:
        with file.open("rb") as opened:
            text = opened.read(PRICES_BYTES_MAX + 1)
        if len(text) > PRICES_BYTES_MAX:
            raise ValueError(f"prices: larger than {PRICES_BYTES_MAX:,} bytes")
        return load_prices(text.decode())
    except OSError as error:
        raise OperatorError(f"cannot read {file}: {reason_of(error)}", hint="--prices names a readable file") from error
    except ValueError as error:
        raise OperatorError(
            f"{file} cannot be used: {error}", hint="docs/capacity.md says what a file of prices holds"
        ) from error


def _print(answers: "list[Answer]", prices: "Prices") -> None:
    for row in rows(answers):
        print_folded(_line(row))
    for text in notes(answers, prices):
        print_folded(text)


def _line(row: tuple[str, ...]) -> str:
    name, *values = row
    return name.ljust(_WIDTHS[0]) + "".join(
        value.rjust(width) for value, width in zip(values, _WIDTHS[1:], strict=True)
    )


def rows(answers: "list[Answer]") -> list[tuple[str, ...]]:
    """The table: a name, and a value of each environment."""
    columns = [_column(sizing, bill) for _, sizing, bill in answers]
    table = [("", *(environment.value for environment, _, _ in answers))]
    names = list(dict.fromkeys(name for column in columns for name in column))
    names.sort(key=_ORDER.index)
    return table + [(name, *(column.get(name, "-") for column in columns)) for name in names]


def _column(sizing: "Sizing", bill: "Bill") -> dict[str, str]:
    storage = sizing.storage
    twice = "2 x " if sizing.redundant else ""
    return {
        "serve": _pods(sizing.serve),
        "ingest": _pods(sizing.ingest),
        "schedule": _pods(sizing.schedule),
        "PostgreSQL, vCores": f"{twice}{sizing.postgres_vcores:,}",
        "PostgreSQL, memory": f"{twice}{sizing.postgres_memory_gib:,} GiB",
        "PostgreSQL, storage": f"{twice}{storage.provisioned:,} GiB",
        "  of it ledger, timeline": f"{storage.ledger:,.1f}, {storage.timeline:,.1f}",
        "WAL a day, at most": f"{storage.wal_a_day:,.1f} GiB",
        "dumps": f"{storage.dumps:,.1f} GiB",
        "Redis": f"{twice}{sizing.redis_gib:,.1f} GiB",
        "partitions a topic": f"{sizing.partitions:,}",
        "throughput units of Event Hubs": f"{sizing.event_hubs_units:,}",
        "connections to PostgreSQL": f"{sizing.connections:,}",
        **{f"USD: {cost.name}": f"{cost.usd:,.0f}" for cost in bill.own},
        **{f"USD, a 7th: {cost.name}": f"{cost.usd:,.0f}" for cost in bill.shared},
        "USD a month": f"{bill.total:,.0f}",
        "the whole platform may cost": f"{bill.platform:,}",
        "share of it": f"{bill.total / bill.platform:,.0%}",
    }


_ORDER = [
    "serve",
    "ingest",
    "schedule",
    "PostgreSQL, vCores",
    "PostgreSQL, memory",
    "PostgreSQL, storage",
    "  of it ledger, timeline",
    "WAL a day, at most",
    "dumps",
    "Redis",
    "partitions a topic",
    "throughput units of Event Hubs",
    "connections to PostgreSQL",
    "USD: pods, as a share of nodes",
    "USD: PostgreSQL",
    "USD: its storage",
    "USD: its backups beyond",
    "USD: Redis",
    "USD: Event Hubs",
    "USD: dumps",
    "USD: logs",
    "USD: private endpoints",
    "USD, a 7th: Kubernetes",
    "USD, a 7th: gateway",
    "USD, a 7th: gateway with WAF",
    "USD, a 7th: Service Bus",
    "USD a month",
    "the whole platform may cost",
    "share of it",
]


def _pods(pods: "Pods") -> str:
    return f"{pods.pods:,} x {pods.cores:g}, {pods.memory_mib:,} Mi"


def notes(answers: "list[Answer]", prices: "Prices") -> list[str]:
    """What the reader must know about the figures."""
    return [
        f"warning: {prices.unverified} of {len(prices.all)} prices ({prices.region}) are unverified; the oldest is of "
        f"{prices.oldest_day}",
        "warning: cores are those of the machine of docs/performance.md; a vCore of Azure was not measured",
        *(f"warning: {environment}: {text}" for environment, sizing, _ in answers for text in sizing.warnings),
    ]


def _as_json(load: "Load", answers: "list[Answer]", prices: "Prices") -> dict[str, Any]:
    from hannun.cli.watch_json import json_value

    return {
        "load": json_value(load),
        "prices": {
            "region": prices.region,
            "oldestDay": prices.oldest_day.isoformat(),
            "unverified": prices.unverified,
            "of": len(prices.all),
        },
        "warnings": notes(answers, prices),
        "environments": {
            environment.value: {**json_value(sizing), "usdAMonth": json_value(bill) | {"total": bill.total}}
            for environment, sizing, bill in answers
        },
    }
