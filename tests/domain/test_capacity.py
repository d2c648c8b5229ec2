"""What a load needs and costs: bounds, monotone figures, dated prices."""

import json
import math
from dataclasses import astuple, replace
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.domain.capacity import LOAD_BOUNDS, READER_US, Environment, Load, Sizing, busy_cores, size
from hannun.domain.prices import PRICE_NAMES, PRICES_FILE, load_prices, monthly_bill

LOADS = st.builds(Load, **{name: st.integers(*bounds) for name, bounds in LOAD_BOUNDS.items()})
PRICES = load_prices()
FILE = json.loads(resources.files("hannun.domain").joinpath(PRICES_FILE).read_text("utf-8"))


def needs(sizing: Sizing, environment: Environment) -> tuple[float, ...]:
    """Every figure of a sizing that grows with its load, and its cost."""
    pods = [each.pods for each in (sizing.serve, sizing.ingest, sizing.schedule)]
    storage = sizing.storage
    return (
        *astuple(sizing.busy),
        *pods,
        sizing.pod_cores,
        sizing.postgres_vcores,
        sizing.postgres_memory_gib,
        sizing.redis_gib,
        sizing.partitions,
        sizing.event_hubs_units,
        sizing.connections,
        *(storage.ledger, storage.timeline, storage.provisioned, storage.wal_a_day, storage.dumps),
        monthly_bill(sizing, environment, PRICES).total,
    )


@given(LOADS, st.sampled_from(sorted(LOAD_BOUNDS)), st.data())
def test_more_of_anything_never_needs_less(load: Load, name: str, data: st.DataObject) -> None:
    more = replace(load, **{name: data.draw(st.integers(getattr(load, name), LOAD_BOUNDS[name][1]))})
    for environment in Environment:
        before, after = (needs(size(each, environment), environment) for each in (load, more))
        assert [(one, other) for one, other in zip(before, after, strict=True) if other < one - 1e-6] == []


@given(LOADS)
def test_every_figure_is_finite_and_production_is_never_smaller(load: Load) -> None:
    development, production = (needs(size(load, each), each) for each in Environment)
    assert all(math.isfinite(figure) and figure >= 0 for figure in (*development, *production))
    assert all(most >= least for least, most in zip(development, production, strict=True))


def test_nothing_needs_only_what_an_environment_has_at_least() -> None:
    sizing = size(Load(0, 0, 0), Environment.DEVELOPMENT)
    assert (sizing.serve.pods, sizing.ingest.pods, sizing.schedule.pods, sizing.postgres_vcores) == (1, 1, 1, 1)
    assert sum(astuple(busy_cores(Load(0, 0, 0)))) == 0
    assert sizing.warnings == ()


def test_the_largest_load_names_each_limit_that_it_exceeds() -> None:
    largest = Load(*(most for _, most in LOAD_BOUNDS.values()))
    warnings = " ".join(size(largest, Environment.PRODUCTION).warnings)
    for part in ("10,000 events", "`serve` at most", "partitions a topic", "no single PostgreSQL"):
        assert part in warnings


def test_users_who_read_as_people_do_have_at_least_the_cores_that_they_were_measured_to_take() -> None:
    for events in (100, 10_000):
        without, with_users = (busy_cores(Load(users, events, 1_000_000)) for users in (0, 10_000))
        assert with_users.serve - without.serve >= 10_000 * READER_US[0] / 1e6 * (1 - 1e-9)
        assert with_users.postgres - without.postgres >= 10_000 * READER_US[1] / 1e6 * (1 - 1e-9)


@pytest.mark.parametrize("name", sorted(LOAD_BOUNDS))
def test_a_number_out_of_its_bounds_is_refused(name: str) -> None:
    load = Load(1, 1, 1)
    for value in (LOAD_BOUNDS[name][0] - 1, LOAD_BOUNDS[name][1] + 1):
        with pytest.raises(ValueError, match=name):
            replace(load, **{name: value})


def test_each_price_names_its_source_and_day_and_each_is_used() -> None:
    assert PRICES.by_name.keys() == PRICE_NAMES
    assert all(price.source and price.day and (price.unit or price is PRICES.factor) for price in PRICES.all)


@pytest.mark.parametrize("name", sorted(PRICE_NAMES))
def test_a_higher_price_makes_some_environment_dearer(name: str) -> None:
    entry = FILE["prices"][name]
    dearer = load_prices(json.dumps(FILE | {"prices": FILE["prices"] | {name: entry | {"usdAMonth": 9_999}}}))
    found = []
    for load in (Load(100, 100, 10_000), Load(10_000, 10_000, 1_000_000, 30), Load(10, 10, 100_000_000, 1)):
        for environment in Environment:
            sizing = size(load, environment)
            found.append(
                monthly_bill(sizing, environment, dearer).total - monthly_bill(sizing, environment, PRICES).total
            )
    assert max(found) > 0


@pytest.mark.parametrize(
    "changed",
    [
        {"usdAMonth": -1},
        {"usdAMonth": "73"},
        {"usdAMonth": float("nan")},
        {"usdAMonth": True},
        {"source": " "},
        {"day": "yesterday"},
        {"day": None},
        {"verified": "yes"},
    ],
)
def test_a_price_that_cannot_be_relied_on_is_refused(changed: dict[str, object]) -> None:
    wrong = FILE | {"prices": FILE["prices"] | {"node": FILE["prices"]["node"] | changed}}
    with pytest.raises(ValueError, match=r"prices|isoformat"):
        load_prices(json.dumps(wrong))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"prices": {}}', '{"prices": []}', "[" * 100_000])
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load_prices(text)
