"""`hannun watch --json`: everything that the screen shows, as JSON values. Instants are UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hannun.processes.commands.watching import Readers


def as_json(readers: "Readers") -> dict[str, Any]:
    """The newest reading of each server; and of those that are away, why."""
    postgres, redis = readers.postgres.latest, readers.redis.latest
    lag = None if readers.lag is None else readers.lag.latest
    of_each = (("postgres", postgres), ("redis", redis), ("kafka", lag))
    errors = {name: each.error.args[0] for name, each in of_each if each is not None and each.error is not None}
    found = postgres.found
    return {
        **({} if found is None else json_value(found.servers)),
        "refresh": None if found is None else json_value(found.refresh.status),
        "budgets": [] if found is None else _budgets(found.refresh.budgets),
        "lag": None if lag is None or lag.found is None else _lag(lag.found),
        "redis": json_value(redis.found),
        "errors": errors,
    }


def _lag(lag: Mapping[tuple[str, int], int]) -> list[dict[str, Any]]:
    return [{"topic": topic, "partition": number, "notCounted": count} for (topic, number), count in lag.items()]


def _budgets(budgets: Mapping[tuple[str, str], Any]) -> list[dict[str, Any]]:
    return [{"scope": scope, "budget": name, **json_value(state)} for (scope, name), state in budgets.items()]


def json_value(value: Any) -> Any:
    """A value of ours as JSON has it, with names in camel case."""
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "_asdict"):
        return {_camel(name): json_value(each) for name, each in value._asdict().items()}
    if is_dataclass(value):
        return {_camel(each.name): json_value(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): json_value(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [json_value(each) for each in value]
    return value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
