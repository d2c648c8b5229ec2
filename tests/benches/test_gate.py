"""The gate of `make check`: a path that costs more than its reference fails, one that costs less is reported."""

import json

import pytest

from bench import gate

REFERENCE = {"decode": 1.4, "statements": 16.0}


def problems(**measured: float) -> list[str]:
    return gate.compare(REFERENCE, REFERENCE | measured, lambda _: None)


def test_a_path_that_costs_what_it_did_passes() -> None:
    assert problems() == []


def test_a_path_that_is_15_percent_dearer_fails_also_where_it_is_measured_6_percent_low() -> None:
    (problem,) = problems(decode=1.4 * 1.15 * 0.94)
    assert "decode" in problem


def test_a_noise_of_7_percent_is_no_failure() -> None:
    assert problems(decode=1.4 * 1.07, statements=16 * 0.93) == []


@pytest.mark.parametrize("measured", [{"decode": 1.4}, {"decode": 1.4, "statements": 16.0, "rows": 3.0}])
def test_a_path_without_reference_fails_and_one_that_is_not_measured_any_more(measured: dict[str, float]) -> None:
    (problem,) = gate.compare(REFERENCE, measured, lambda _: None)
    assert "gate --write" in problem


def test_what_was_0_may_not_become_more() -> None:
    (problem,) = gate.compare({"updates": 0.0}, {"updates": 0.2}, lambda _: None)
    assert "updates" in problem


def test_a_path_that_became_cheaper_is_reported_and_passes() -> None:
    reported: list[str] = []
    assert gate.compare(REFERENCE, REFERENCE | {"decode": 1.0}, reported.append) == []
    assert "29 % cheaper" in reported[0]


def test_the_references_hold_counts_and_the_ratios_of_an_interpreter() -> None:
    references = json.loads(gate.REFERENCES.read_text())
    assert {"statements, 100 events", "index entries, 2,000 events"} <= references["counts"].keys()
    assert any("cached answer of serve" in ratios for ratios in references["ratios"].values())
