"""Compare the shadow with the live database, and swap the two.

    catch up ─► copy measurements, compare, in one snapshot of live ─► lock out the writers ─► catch up the rest
             ─► copy and compare what changed since ─► carry over ─► rename both

Both are compared at the same positions, so a difference never comes from the moment of reading. Writers wait during the
steps after the lock. Those compare only events that were counted since the first comparison, so they are short.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.replay import Difference, dead_letter_differences, differences
from hannun.errors import OperatorError
from hannun.flows.replay.shadow import ShadowReplay
from hannun.store import audit_log, database_swap
from hannun.store import shadow_comparison as store
from hannun.store.carry_over import carry_over
from hannun.store.database import Connection, snapshot
from hannun.store.measurement_copy import copy_measurements
from hannun.store.partitions import existing_months
from hannun.store.shadow import check_same_amount_form

Report = Callable[[str], None]
"""Called with the name of each step, before the step."""


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """The differences between two databases, and the version of each event in both when they were compared.

    `carried_over` counts what operators have decided and a swap keeps, by what it is.
    """

    found: list[Difference]
    versions: tuple[dict[str, int], dict[str, int]]
    carried_over: dict[str, int]

    @property
    def lost(self) -> list[Difference]:
        """What a swap would lose: only the live ledgers hold it."""
        return [difference for difference in self.found if difference.lost]


class WouldLose(OperatorError):
    """A swap would lose what only the live ledgers hold."""

    def __init__(self, compared: ShadowComparison) -> None:
        super().__init__(
            f"nothing was swapped: the live database holds {len(compared.lost):,} rows that the logs do not "
            "(messages over HTTP, or from before the log begins), and a swap would lose them",
            hint="look at them above; `hannun replay --into live` adds what live lacks and loses nothing; "
            "`hannun replay swap --accept-differences` swaps all the same, and keeps them in the old database",
        )
        self.compared = compared


def compare(replay: ShadowReplay, report: Report) -> ShadowComparison:
    """Compare both in one snapshot of the live database, while it goes on counting."""
    shadow = replay.shadow
    with shadow.as_owner(shadow.live) as live, snapshot(live):
        replay.catch_up(live)
        with shadow.as_owner(shadow.name) as shadowed:
            report("copying what channels have measured")
            copy_measurements(live, shadowed)
            return _compare(live, shadowed, report)


def swap(
    replay: ShadowReplay, report: Report, deliver_pending: Callable[[], object], *, accept: bool
) -> ShadowComparison:
    """Put the shadow in the place of the live database, which is kept under another name.

    Args:
        deliver_pending: delivers the pending invalidations of the new live database, to which every cached answer
            belongs.
        accept: swap although the live ledgers hold what the logs do not; the service loses it.

    Raises:
        OperatorError: a swap would lose something, or the databases cannot be renamed. Nothing has changed.
        Transient: a writer held its locks for too long. Nothing has changed.
    """
    shadow = replay.shadow
    if shadow.find(shadow.before) is not None:
        raise OperatorError(
            f"cannot swap: {shadow.before} still exists, which the last swap has left",
            hint="`hannun replay drop --before` drops it",
        )
    database_swap.check_owner(shadow)
    first = compare(replay, report)
    _refuse_losses(first, accept)
    with shadow.as_owner(shadow.live) as live, shadow.as_owner(shadow.name) as shadowed:
        audit_log.record(live, _entry(replay, Action.REPLAY_SWAP_BEGUN))
        live.commit()
        replay.catch_up(live)  # what was counted during the comparison, so that writers need not wait for it
        report("locking out the writers")
        database_swap.lock_out_writers(live)
        replay.catch_up(live)
        changed = _changed_events(first, (store.versions(live), store.versions(shadowed)))
        copy_measurements(live, shadowed, changed)
        last = _compare(live, shadowed, report, changed | {difference.where for difference in first.found})
        _refuse_losses(last, accept)
        report("carrying over what no log holds")
        carry_over(live, shadowed, store.replayed(live, shadowed), replay.recount.by)
        shadowed.commit()
        report("renaming both databases")
        database_swap.swap_names(shadow, live, shadowed)
    with shadow.as_owner(shadow.live) as live:
        audit_log.record(live, _entry(replay, Action.REPLAY_SWAPPED))
    deliver_pending()
    return last


def _entry(replay: ShadowReplay, action: Action) -> NewEntry:
    return NewEntry(operator(replay.recount.by), action, f"database {replay.shadow.live}")


def _refuse_losses(compared: ShadowComparison, accept: bool) -> None:
    if compared.lost and not accept:
        raise WouldLose(compared)


def _changed_events(first: ShadowComparison, now: tuple[dict[str, int], dict[str, int]]) -> set[str]:
    """Events whose version changed since they were compared, in either database."""
    return {
        event_id
        for then, later in zip(first.versions, now, strict=True)
        for event_id in then.keys() | later.keys()
        if then.get(event_id) != later.get(event_id)
    }


def _compare(
    live: Connection, shadow: Connection, report: Report, event_ids: Collection[str] | None = None
) -> ShadowComparison:
    check_same_amount_form(live, shadow)
    versions = (store.versions(live), store.versions(shadow))
    report("comparing tables and privileges")
    found = list(differences("relations", "database", store.relations(live), store.relations(shadow)))
    # A replay brings back the months that the live database has detached.
    in_both = existing_months(live) & existing_months(shadow)
    for part in store.PARTS:
        report(f"comparing {part}")
        found += _differences(live, shadow, part, event_ids, in_both)
    report("comparing dead_letters")
    of_both = (store.dead_letters(live), store.dead_letters(shadow))
    found += dead_letter_differences(*of_both, store.replayed(live, shadow))
    return ShadowComparison(found, versions, store.decided(live))


def _differences(
    live: Connection, shadow: Connection, part: str, event_ids: Collection[str] | None, months: Collection[date]
) -> Iterator[Difference]:
    """Compare the digests of all events; read rows only of events whose digests differ. Of the timeline only these
    months."""
    in_live, in_shadow = (store.digests(side, part, event_ids, months) for side in (live, shadow))
    for event_id in sorted(in_live.keys() | in_shadow.keys()):
        if in_live.get(event_id) != in_shadow.get(event_id):
            rows = [store.rows_of(side, part, event_id, months) for side in (live, shadow)]
            yield from differences(part, event_id, *rows)
