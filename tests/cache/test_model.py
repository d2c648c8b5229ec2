"""The protocol keeps its promises in every interleaving, and every planted mistake in it is found."""

from dataclasses import fields, replace

import pytest
from model import Rules, Setting, explore

RULES = Rules()
WITHOUT_ETAGS = Rules(version_from_etag=False)


@pytest.mark.parametrize(
    ("rules", "setting"),
    [
        (RULES, Setting()),
        (RULES, Setting(writers=1, cuts=1, other_process=True)),
        (WITHOUT_ETAGS, Setting(writers=1, cuts=1)),
        (RULES, Setting(writers=1, expiries=1)),
        (RULES, Setting(writers=1, restarts=1)),
        (RULES, Setting(writers=1, local_cache=True)),
        (WITHOUT_ETAGS, Setting(writers=1, local_cache=True, crashes=0, cuts=1)),
        (RULES, Setting(writers=1, local_cache=True, crashes=0, losses=1)),
        (RULES, Setting(writers=1, local_cache=True, crashes=0, cuts=1, other_process=True)),
    ],
    ids=lambda it: repr(it) if isinstance(it, Setting) else "",
)
def test_in_no_interleaving_is_an_answer_older_than_promised_or_runs_backwards(rules: Rules, setting: Setting) -> None:
    explored = explore(rules, setting)
    assert explored.broken is None, explored.history
    assert explored.states > 2_000


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "setting",
    [
        Setting(cuts=1, other_process=True),
        Setting(expiries=1),
        Setting(restarts=1),
        Setting(local_cache=True),
        Setting(local_cache=True, losses=1),
        Setting(local_cache=True, cuts=1, other_process=True),
    ],
    ids=repr,
)
def test_the_same_with_two_writers_and_every_fault(setting: Setting) -> None:
    explored = explore(RULES, setting)
    assert explored.broken is None, explored.history
    assert explored.states > 100_000


@pytest.mark.parametrize("setting", [Setting(writers=1, crashes=0, local_cache=True), Setting(writers=1)], ids=repr)
def test_exploring_reduced_states_finds_the_same_as_exploring_all(setting: Setting) -> None:
    found = 0
    for mistake in (None, *(field.name for field in fields(Rules))):
        rules = RULES if mistake is None else replace(RULES, **{mistake: False})
        whole, reduced = explore(rules, setting, reduce=False), explore(rules, setting)
        assert (whole.broken is None) == (reduced.broken is None), mistake
        assert reduced.states <= whole.states
        found += reduced.broken is not None
    assert found >= 2


@pytest.mark.parametrize(
    ("mistake", "setting"),
    [
        ("invalidate_removes_lease", Setting(crashes=0)),
        ("fill_checks_lease", Setting(crashes=0)),
        ("run_is_compared", Setting(crashes=0, restarts=1)),
        ("run_is_of_the_lease", Setting(crashes=0, restarts=1)),
        ("outbox_entry_in_the_transaction", Setting(writers=1)),
        ("delivered_after_invalidation", Setting(writers=1)),
        ("version_from_etag", Setting(crashes=0, cuts=1, other_process=True)),
        ("guard_before_read", Setting(crashes=0, local_cache=True, writers=1)),
        ("lost_subscription_clears_local", Setting(crashes=0, losses=1, local_cache=True, writers=1)),
        ("announced_after_delete", Setting(crashes=0, local_cache=True)),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_every_mistake_is_found(mistake: str, setting: Setting) -> None:
    explored = explore(replace(RULES, **{mistake: False}), setting)
    assert explored.broken is not None, f"none of {explored.states} states breaks a promise"
    print(explored.broken, *explored.history, sep="\n  ")


def test_without_floors_a_client_without_etags_sees_numbers_run_backwards() -> None:
    explored = explore(replace(WITHOUT_ETAGS, floors=False), Setting(crashes=0, cuts=1, writers=1))
    assert explored.broken is not None and explored.broken.startswith("backwards")
