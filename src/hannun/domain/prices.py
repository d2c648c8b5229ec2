"""What a sizing costs a month, with prices from a dated file in which each price names its source and its day."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Any, Final, NamedTuple

from hannun.domain.capacity import NODE_USABLE, Environment, Sizing

PLATFORM_USD: Final = {Environment.DEVELOPMENT: 143, Environment.PRODUCTION: 2_860}
"""What the whole platform may cost a month."""
SERVICES: Final = 7
"""How many services share the platform; this one is charged one share of what they share."""
NODE_VCPUS: Final = 4
BURSTABLE_VCPUS: Final = 2
PRIVATE_ENDPOINTS: Final = 4
LOGS_GIB: Final = {Environment.DEVELOPMENT: 0.5, Environment.PRODUCTION: 5}
"""Assumed, not measured."""
GATEWAY_UNITS: Final = 3
"""Assumed, not measured."""
USD_MAX: Final = 1_000_000
FACTOR_MAX: Final = 10


class Price(NamedTuple):
    """USD a month for one unit."""

    usd: float
    unit: str
    source: str
    day: date
    verified: bool


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of one region.

    Args:
        factor: what every price is multiplied by, because it is of another region.
    """

    region: str
    by_name: dict[str, Price]
    factor: Price

    def of(self, name: str) -> float:
        return self.by_name[name].usd * self.factor.usd

    @property
    def all(self) -> tuple[Price, ...]:
        return (*self.by_name.values(), self.factor)

    @property
    def unverified(self) -> int:
        return sum(not price.verified for price in self.all)

    @property
    def oldest_day(self) -> date:
        return min(price.day for price in self.all)


class Cost(NamedTuple):
    """One line of the bill, in USD a month."""

    name: str
    usd: float


@dataclass(frozen=True, slots=True)
class Bill:
    """What one environment costs a month, in USD.

    Args:
        own: what only this service uses.
        shared: this service's share of what all services use.
        platform: what the whole platform may cost.
    """

    own: tuple[Cost, ...]
    shared: tuple[Cost, ...]
    platform: int

    @property
    def total(self) -> float:
        return sum(cost.usd for cost in (*self.own, *self.shared))


def load_prices(text: str | None = None) -> Prices:
    """The prices from JSON text; by default from the file that is part of Hannun.

    Raises:
        ValueError: the text is no such file: a price is missing, unknown, out of bounds, or without source or day.
    """
    if text is None:
        text = resources.files("hannun.domain").joinpath(PRICES_FILE).read_text("utf-8")
    try:
        read = json.loads(text)
        by_name = {name: _price(name, entry, "usdAMonth", USD_MAX) for name, entry in read["prices"].items()}
        prices = Prices(
            str(read["region"]), by_name, _price("regionFactor", read["regionFactor"], "factor", FACTOR_MAX)
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"prices: {error!r}; the file has another form than {PRICES_FILE}") from error
    if missing := PRICE_NAMES - by_name.keys():
        raise ValueError(f"prices: {', '.join(sorted(missing))} missing")
    return prices


PRICES_FILE: Final = "prices.koreacentral.json"
PRICE_NAMES: Final = frozenset(
    {
        "aksStandard",
        "aksFree",
        "nodeBurstable",
        "node",
        "postgresBurstable",
        "postgresVcore",
        "postgresStorageGib",
        "postgresBackupGib",
        "redisSmall",
        "redisGib",
        "eventHubsUnit",
        "blobGib",
        "logGib",
        "serviceBusStandard",
        "serviceBusPremium",
        "gatewayWaf",
        "gatewayUnit",
        "gatewayBasic",
        "privateEndpoint",
    }
)


def _price(name: str, entry: dict[str, Any], key: str, most: float) -> Price:
    usd, source, verified = entry[key], entry["source"], entry["verified"]
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd <= most:
        raise ValueError(f"prices: {name} is {usd!r}, expected 0 to {most:,}")
    if not isinstance(source, str) or not source.strip():
        raise ValueError(f"prices: {name} names no source")
    if not isinstance(verified, bool):
        raise ValueError(f"prices: verified of {name} is {verified!r}, expected true or false")
    return Price(float(usd), str(entry.get("unit", "")), source, date.fromisoformat(entry["day"]), verified)


def monthly_bill(sizing: Sizing, environment: Environment, prices: Prices) -> Bill:
    """What a sizing costs a month."""
    shared = _SHARED[environment](prices)
    return Bill(
        tuple(Cost(name, usd) for name, usd in _own(sizing, environment, prices).items()),
        tuple(Cost(name, usd / SERVICES) for name, usd in shared.items()),
        PLATFORM_USD[environment],
    )


def _own(sizing: Sizing, environment: Environment, prices: Prices) -> dict[str, float]:
    copies = 2 if sizing.redundant else 1
    storage = sizing.storage
    core = (
        prices.of("node") / NODE_VCPUS
        if environment is Environment.PRODUCTION
        else prices.of("nodeBurstable") / BURSTABLE_VCPUS
    )
    small = sizing.postgres_vcores == 1
    server = prices.of("postgresBurstable") if small else sizing.postgres_vcores * prices.of("postgresVcore")
    redis = prices.of("redisSmall") if sizing.redis_gib <= 0.5 else sizing.redis_gib * prices.of("redisGib")
    endpoints = PRIVATE_ENDPOINTS if environment is Environment.PRODUCTION else 0
    return {
        "pods, as a share of nodes": sizing.pod_cores / NODE_USABLE * core,
        "PostgreSQL": server * copies,
        "its storage": storage.provisioned * prices.of("postgresStorageGib") * copies,
        "its backups beyond": storage.backups_beyond * prices.of("postgresBackupGib"),
        "Redis": redis * copies,
        "Event Hubs": sizing.event_hubs_units * prices.of("eventHubsUnit"),
        "dumps": storage.dumps * prices.of("blobGib"),
        "logs": LOGS_GIB[environment] * prices.of("logGib"),
        "private endpoints": endpoints * prices.of("privateEndpoint"),
    }


def _shared_in_development(prices: Prices) -> dict[str, float]:
    return {
        "Kubernetes": prices.of("aksFree"),
        "gateway": prices.of("gatewayBasic"),
        "Service Bus": prices.of("serviceBusStandard"),
    }


def _shared_in_production(prices: Prices) -> dict[str, float]:
    return {
        "Kubernetes": prices.of("aksStandard"),
        "gateway with WAF": prices.of("gatewayWaf") + GATEWAY_UNITS * prices.of("gatewayUnit"),
        "Service Bus": prices.of("serviceBusPremium"),
    }


_SHARED: Final[dict[Environment, Callable[[Prices], dict[str, float]]]] = {
    Environment.DEVELOPMENT: _shared_in_development,
    Environment.PRODUCTION: _shared_in_production,
}
