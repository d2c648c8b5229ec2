"""The protocol keeps its promises in every interleaving, and every mistake in it is found."""

from dataclasses import fields, replace

import pytest
from model import Rules, Setting, explore

RULES = Rules()
WITHOUT_ETAGS = Rules(seen_by_etag=False)


@pytest.mark.parametrize(
    ("rules", "setting"),
    [
        (RULES, Setting()),
        (RULES, Setting(writers=1, cuts=1, other_process=True)),
        (WITHOUT_ETAGS, Setting(writers=1, cuts=1)),
        (RULES, Setting(writers=1, expiries=1)),
        (RULES, Setting(writers=1, restarts=1)),
        (RULES, Setting(writers=1, copies=True)),
        (WITHOUT_ETAGS, Setting(writers=1, copies=True, crashes=0, cuts=1)),
        (RULES, Setting(writers=1, copies=True, crashes=0, losses=1)),
        (RULES, Setting(writers=1, copies=True, crashes=0, cuts=1, other_process=True)),
    ],
    ids=lambda it: repr(it) if isinstance(it, Setting) else "",
)
def test_in_no_interleaving_is_an_answer_older_than_promised_or_runs_backwards(rules: Rules, setting: Setting) -> None:
    explored = explore(rules, setting)
    assert explored.broke is None, explored.history
    assert explored.states > 2_000


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "setting",
    [
        Setting(cuts=1, other_process=True),
        Setting(expiries=1),
        Setting(restarts=1),
        Setting(copies=True),
        Setting(copies=True, losses=1),
        Setting(copies=True, cuts=1, other_process=True),
    ],
    ids=repr,
)
def test_the_same_with_two_writers_and_every_fault(setting: Setting) -> None:
    explored = explore(RULES, setting)
    assert explored.broke is None, explored.history
    assert explored.states > 100_000


@pytest.mark.parametrize("setting", [Setting(writers=1, crashes=0, copies=True), Setting(writers=1)], ids=repr)
def test_what_is_forgotten_on_the_way_changes_no_finding(setting: Setting) -> None:
    found = 0
    for mistake in (None, *(field.name for field in fields(Rules))):
        rules = RULES if mistake is None else replace(RULES, **{mistake: False})
        whole, short = explore(rules, setting, forgets=False), explore(rules, setting)
        assert (whole.broke is None) == (short.broke is None), mistake
        assert short.states <= whole.states
        found += short.broke is not None
    assert found >= 2


@pytest.mark.parametrize(
    ("mistake", "setting"),
    [
        ("invalidate_removes_lease", Setting(crashes=0)),
        ("fill_checks_lease", Setting(crashes=0)),
        ("run_is_compared", Setting(crashes=0, restarts=1)),
        ("run_is_of_the_lease", Setting(crashes=0, restarts=1)),
        ("debt_in_the_transaction", Setting(writers=1)),
        ("settle_after_invalidate", Setting(writers=1)),
        ("seen_by_etag", Setting(crashes=0, cuts=1, other_process=True)),
        ("guard_before_read", Setting(crashes=0, copies=True, writers=1)),
        ("lost_drops_copies", Setting(crashes=0, losses=1, copies=True, writers=1)),
        ("announced_after_delete", Setting(crashes=0, copies=True)),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_every_mistake_is_found(mistake: str, setting: Setting) -> None:
    explored = explore(replace(RULES, **{mistake: False}), setting)
    assert explored.broke is not None, f"{explored.states} states, and nobody noticed"
    print(explored.broke, *explored.history, sep="\n  ")


def test_without_floors_a_client_without_etags_sees_numbers_run_backwards() -> None:
    explored = explore(replace(WITHOUT_ETAGS, floors=False), Setting(crashes=0, cuts=1, writers=1))
    assert explored.broke is not None and explored.broke.startswith("backwards")
