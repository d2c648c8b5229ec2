"""Compare the shadow with the live database, and let them change places.

    catch up ─► compare, in one snapshot of live ─► hold the writers ─► catch up the rest ─► compare what changed since
             ─► carry over ─► change places

Both are compared at the same positions, so whatever differs is no matter of when one looks. Writers wait while the last
step runs; it looks only at events that were counted for since the first look, so that it is short.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from hannun.domain.replay import Difference, differences
from hannun.errors import OperatorError
from hannun.store import shadow_comparison as store
from hannun.store.database import Connection, snapshot
from hannun.store.shadow import Shadow, carry_over, hold_writers

Tells = Callable[[str], None]
CatchUp = Callable[[Connection], None]
"""Brings the shadow to where a live connection stands (`flows.replay`, handed in by the wiring)."""


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """What two databases disagree in, and the version of each event in both, as they were looked at."""

    found: list[Difference]
    versions: tuple[dict[str, int], dict[str, int]]

    @property
    def lost(self) -> list[Difference]:
        """What a swap would lose: only the live ledgers say it."""
        return [difference for difference in self.found if difference.lost]


def compare(shadow: Shadow, catch_up: CatchUp, tells: Tells) -> ShadowComparison:
    """Compare both in one snapshot of the live database, while it goes on counting."""
    with shadow.as_owner(shadow.live) as ours, snapshot(ours):
        catch_up(ours)
        with shadow.as_owner(shadow.name) as theirs:
            return _compare(ours, theirs, tells)


def swap(shadow: Shadow, catch_up: CatchUp, tells: Tells, by: str, *, accept: bool) -> ShadowComparison:
    """Let the shadow take the live database's place, which is kept under another name.

    Args:
        accept: swap although the live ledgers hold what the logs do not say; it is lost to the service.

    Raises:
        OperatorError: something would be lost, or they cannot change places. Nothing has changed.
        Transient: a writer did not let go. Nothing has changed.
    """
    if shadow.kept(shadow.before) is not None:
        raise OperatorError(
            f"{shadow.before}, which the swap before this one has left, is still there",
            hint="`hannun replay drop --before` drops it",
        )
    shadow.check_owner()
    first = compare(shadow, catch_up, tells)
    _refuse(first, accept)
    with shadow.as_owner(shadow.live) as ours, shadow.as_owner(shadow.name) as theirs:
        catch_up(ours)  # what was counted during the comparison, so that writers need not wait for it
        tells("holding the writers")
        hold_writers(ours)
        catch_up(ours)
        changed = _changed(first, (store.versions(ours), store.versions(theirs)))
        last = _compare(ours, theirs, tells, changed | {difference.where for difference in first.found})
        _refuse(last, accept)
        tells("carrying over what no log tells")
        carry_over(ours, theirs, by)
        theirs.commit()
        tells("changing places")
        shadow.change_places(ours, theirs)
    return last


def _refuse(compared: ShadowComparison, accept: bool) -> None:
    if compared.lost and not accept:
        raise WouldLose(compared)


class WouldLose(OperatorError):
    """The live ledgers hold what the logs do not say."""

    def __init__(self, compared: ShadowComparison) -> None:
        super().__init__(
            f"nothing was swapped: the live database knows {len(compared.lost)} things that the logs do not say "
            "(messages over HTTP, or from before the log begins), and they would be lost",
            hint="look at them; `hannun replay --into live` mends what live lacks and loses nothing; "
            "--accept-differences swaps all the same",
        )
        self.compared = compared


def _changed(first: ShadowComparison, now: tuple[dict[str, int], dict[str, int]]) -> set[str]:
    """Events that were counted for since they were compared, in either database."""
    return {
        event_id
        for then, later in zip(first.versions, now, strict=True)
        for event_id in then.keys() | later.keys()
        if then.get(event_id) != later.get(event_id)
    }


def _compare(
    live: Connection, shadow: Connection, tells: Tells, event_ids: Collection[str] | None = None
) -> ShadowComparison:
    versions = (store.versions(live), store.versions(shadow))
    tells("comparing what others keep in it")
    found = list(differences("relations", "database", store.relations(live), store.relations(shadow)))
    for part in store.PARTS:
        tells(f"comparing {part}")
        found += _differences(live, shadow, part, event_ids)
    return ShadowComparison(found, versions)


def _differences(
    live: Connection, shadow: Connection, part: str, event_ids: Collection[str] | None
) -> Iterator[Difference]:
    ours, theirs = (store.digests(side, part, event_ids) for side in (live, shadow))
    for event_id in sorted(ours.keys() | theirs.keys()):
        if ours.get(event_id) != theirs.get(event_id):
            rows = [store.rows_of(side, part, event_id) for side in (live, shadow)]
            yield from differences(part, event_id, *rows)
