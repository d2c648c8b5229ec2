"""Create, detach and attach the monthly partitions of the timeline. `domain.partitions` decides which must exist.

a month is attached or detached, by a command, a message or by hand
    ─► the catalog differs from hannun.attached_months ─► events get a new version, an outbox entry invalidates answers
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from hannun.domain.audit_chain import Action, NewEntry, operator
from hannun.domain.partitions import month_after, plan
from hannun.errors import OperatorError
from hannun.files.month_archives import MonthArchives
from hannun.flows.partitions.archives import archive_and_drop
from hannun.store import audit_log, outbox, partitions
from hannun.store.database import BeginTransaction, Connection, Database, transactions_on

EVENTS_PER_ENTRY = 500
"""The events of one outbox entry. Its transaction locks them, so no batch counts for them meanwhile."""


@dataclass(frozen=True, slots=True)
class PartitionChanges:
    """First days of the months whose partitions were created and detached, and whose tables were archived and dropped.

    With `dry_run`, of those that would be.

    Args:
        cron_job: whether pg_cron was told to create the months ahead.
    """

    created: tuple[date, ...]
    detached: tuple[date, ...]
    archived: tuple[date, ...] = ()
    cron_job: bool = False


class AttachedFrom(StrEnum):
    """Where the minutes of an attached month come from, as the operator reads it."""

    TABLE = "from its detached table"
    ARCHIVE = "from its archive"
    LEDGERS = "made from the ledgers"
    LEDGERS_INSTEAD = "made from the ledgers: its archive is older than they are"


def apply_partition_plan(
    owner: Connection,
    today: date,
    *,
    ahead: int,
    keep: int | None,
    dry_run: bool,
    by: str,
    archives: MonthArchives | None = None,
) -> PartitionChanges:
    """Create the missing partitions up to `ahead` months after `today`, and detach those older than `keep` months.

    Where this database has pg_cron, it goes on creating the months ahead, also while no `schedule` runs.

    Args:
        owner: a connection of the tables' owner. It is in autocommit mode afterwards.
        keep: whole months to keep before the current one; None detaches nothing new.
        by: who does it, for the audit log.
        archives: where tables of detached months older than that go before they are dropped; None keeps the tables.

    Raises:
        OperatorError: a month cannot be archived: its table and those of later months stay. Or the owner may not
            use pg_cron, and nothing is changed.
    """
    missing = plan(partitions.existing_months(owner), today, ahead=ahead, keep=None).create
    cron_job = partitions.needs_cron_job(owner, ahead)
    if not dry_run:
        partitions.create_months(owner, missing)
        if cron_job:
            partitions.schedule_cron_job(owner, ahead)
    owner.commit()
    owner.autocommit = True  # PostgreSQL detaches CONCURRENTLY only outside a transaction
    detached = tuple(detach_old_months(owner, today, keep=keep, dry_run=dry_run))
    if not dry_run:
        invalidate_changed_months(transactions_on(owner))
        _record(owner, by, Action.MONTH_DETACHED, detached)
    if archives is None:
        return PartitionChanges(missing, detached, cron_job=cron_job)
    tables = partitions.detached_tables(owner)
    old = plan(detached, today, ahead=0, keep=keep, detached=tables).archive
    if not dry_run:
        for month in old:
            archive_and_drop(owner, archives, month, by=by)
    return PartitionChanges(missing, detached, old, cron_job)


def create_months_ahead(database: Database, today: date, *, ahead: int) -> Sequence[date]:
    """Create the missing partitions up to `ahead` months after `today`. Returns the first days of those created."""
    with database.transaction() as conn:
        missing = plan(partitions.existing_months(conn), today, ahead=ahead, keep=None).create
        return partitions.create_months(conn, missing)


def detach_old_months(owner: Connection, today: date, *, keep: int | None, dry_run: bool) -> Sequence[date]:
    """Finish a detachment that was interrupted, and detach the months that are older than `keep` months.

    Args:
        owner: an autocommit connection of the tables' owner.
        keep: whole months to keep before the current one; None finishes what was interrupted and detaches nothing.
        dry_run: change nothing.

    Returns:
        First days of the months that were detached; with `dry_run`, would be.
    """
    interrupted = partitions.detach_pending_months(owner)
    old = [
        month
        for month in plan(partitions.existing_months(owner), today, ahead=0, keep=keep).detach
        if month not in interrupted
    ]
    if not dry_run:
        for month in interrupted:
            partitions.finalize_detach(owner, month)
        old = [month for month in old if partitions.detach_month(owner, month)]
        if keep is not None:
            partitions.delete_roll_up_of_detached_months(owner, month_after(today.replace(day=1), -keep))
    return [*interrupted, *old]


def month_states(conn: Connection) -> dict[date, partitions.MonthState]:
    """Every month that the timeline has or had, by its first day, oldest first."""
    return partitions.month_states(conn)


def detach_months(owner: Connection, months: Collection[date], *, by: str, dry_run: bool) -> Sequence[date]:
    """Detach these months. Their tables stay.

    Args:
        owner: an autocommit connection of the tables' owner.
        by: who does it, for the audit log.
        dry_run: change nothing.

    Returns:
        First days of the months that were detached; with `dry_run`, would be. Others had no partition any more, or a
        message has attached them again meanwhile.

    Raises:
        OperatorError: the timeline never had one of the months; nothing is detached.
    """
    states = _states_of(owner, months, verb="detach")
    interrupted = partitions.detach_pending_months(owner)
    wanted = [month for month in states if states[month] == "attached"]
    if dry_run:
        return sorted({*wanted, *interrupted} & set(months))
    for month in interrupted:  # PostgreSQL detaches no other before
        partitions.finalize_detach(owner, month)
    detached = [month for month in wanted if partitions.detach_month(owner, month)]
    partitions.delete_roll_up_of_detached_months(owner, month_after(max(months), 1))
    invalidate_changed_months(transactions_on(owner))
    _record(owner, by, Action.MONTH_DETACHED, sorted({*detached, *interrupted}))
    return sorted({*detached, *interrupted} & set(months))


def attach_months(
    owner: Connection, months: Collection[date], *, by: str, dry_run: bool, archives: MonthArchives | None = None
) -> Mapping[date, AttachedFrom]:
    """Attach detached months again. One whose table was dropped comes from its archive, or else from the ledgers.

    Args:
        owner: an autocommit connection of the tables' owner.
        by: who does it, for the audit log.
        dry_run: change nothing.

    Returns:
        The months that were attached, and from where; with `dry_run`, would be. Others were attached already.

    Raises:
        OperatorError: the timeline never had one of the months, and nothing is attached; or an archive is damaged, or
            of another database, and its month and later ones are not attached.
    """
    states = _states_of(owner, months, verb="attach")
    archived = set() if archives is None else archives.months()
    found: dict[date, AttachedFrom] = {}
    for month in [month for month in states if states[month] != "attached"]:
        found[month] = AttachedFrom.TABLE if states[month] == "detached" else AttachedFrom.LEDGERS
        if archives is not None and states[month] == "dropped" and month in archived:
            found[month] = AttachedFrom.ARCHIVE
            if not dry_run and not _attach_from_archive(owner, archives, month):
                found[month] = AttachedFrom.LEDGERS_INSTEAD
        if not dry_run:
            with owner.transaction():
                partitions.create_months(owner, [month])
    if not dry_run:
        invalidate_changed_months(transactions_on(owner))
        _record(owner, by, Action.MONTH_ATTACHED, found)
    return found


def _record(owner: Connection, by: str, action: Action, months: Iterable[date]) -> None:
    """Record in the audit log what was done with these months."""
    with owner.transaction():
        audit_log.record(owner, *(NewEntry(operator(by), action, f"month {month:%Y-%m}") for month in months))


def _attach_from_archive(owner: Connection, archives: MonthArchives, month: date) -> bool:
    """Attach a dropped month from its archive. Returns False where the ledgers have other sums by now."""
    archives.contents(month)
    with owner.transaction():
        if not partitions.load_month(owner, month, archives.read(month)):
            return False
        partitions.create_months(owner, [month])
    return True


def _states_of(conn: Connection, months: Collection[date], *, verb: str) -> Mapping[date, partitions.MonthState]:
    """The states of these months, oldest first.

    Raises:
        OperatorError: the timeline never had one of them.
    """
    states = partitions.month_states(conn)
    if unknown := sorted(set(months) - states.keys()):
        raise OperatorError(
            f"cannot {verb} {', '.join(f'{month:%Y-%m}' for month in unknown)}: the timeline never had that month",
            hint="`hannun partitions list` lists the months",
        )
    return {month: states[month] for month in sorted(set(months))}


def invalidate_changed_months(begin: BeginTransaction) -> int:
    """Invalidate the answers over months that were attached or detached, by anybody. Returns how many months.

    Every answer of an event with something in such a month gets a new version. Outbox entries invalidate the cached
    ones. If this is interrupted, the next run begins again.
    """
    with begin() as conn:
        changes = partitions.changed_months(conn)
    for change in changes:
        after: int | None = 0
        while after is not None:
            with begin() as conn:
                after = _invalidate_page(conn, change, after)
    return len(changes)


def _invalidate_page(conn: Connection, change: partitions.MonthChange, after: int) -> int | None:
    """Invalidate the answers of a page of events. Returns the last of them; None after the last page."""
    events = partitions.raise_versions(conn, change, after, EVENTS_PER_ENTRY)
    if events:
        outbox.add(conn, list(events.values()))
        return max(events)
    partitions.record_change(conn, change)
    return None
