"""The bench of many users: its figures where users see little or nothing."""

from bench import load
from bench.load import QUICK, Step
from bench.load_clients import Seen

CORES = dict.fromkeys((*load.GROWING, "ingest"), 0.1)


def step(users: int, *, opens: list[float], reads: list[float], fresh_s: list[float]) -> Step:
    return Step(users, Seen(opens=opens, reads=reads), fresh_s, CORES, seconds=8.0)


def test_a_step_in_which_no_page_opened_is_not_carried_and_has_no_times() -> None:
    base, first = (step(users, opens=[], reads=[], fresh_s=[]) for users in (0, 100))
    assert base.is_carried(cores=2), "nobody is there to open a page"
    assert first.limit(cores=2) == "no page opened"
    assert "p99 of opening unknown" in str(first)
    figures = {figure.name: figure for figure in load._figures([base, first], QUICK)}
    assert (figures["users that are carried"].value, figures["users that are carried"].samples) == (
        0,
        "with 100 no page opened",
    )
    assert not [name for name in figures if "p50" in name or "p99" in name]


def test_a_step_in_which_pages_open_and_nobody_registers_has_the_times_that_it_measured() -> None:
    base, first = step(0, opens=[], reads=[], fresh_s=[]), step(100, opens=[0.1], reads=[0.01], fresh_s=[])
    assert first.is_carried(cores=2)
    figures = {figure.name: figure.value for figure in load._figures([base, first], QUICK)}
    assert figures["users that are carried"] == 100
    assert figures["opening a page, p99"] == figures["p99 of opening, 100 users"] == 0.1
    assert "from the commit to the answer of a page, p99" not in figures
