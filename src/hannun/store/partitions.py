"""The partitions of `timeline_data`, one a month. `domain.partitions` decides which there must be."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Literal, NamedTuple

import psycopg
from psycopg import sql

from hannun.domain.batch import ChangedEvent
from hannun.errors import OperatorError
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("partitions")
EVENTS_PER_TRANSACTION = 100
CRON_SCHEDULE = "17 * * * *"
"""Every hour, and not at its beginning, when many jobs run."""

DROP_LOCK_WAIT = "5s"

MonthState = Literal["attached", "detached", "dropped"]
"""Of a detached month the table is still there. Of a dropped one it is not: only the ledgers have its participants."""


class MonthChange(NamedTuple):
    """A month that was attached or detached, whose answers are not invalidated yet."""

    month: date
    attached: bool


def create_months(conn: Connection, months: Iterable[date]) -> list[date]:
    """Create the partitions that are missing. Returns the months that were created.

    Any role with the right to execute `hannun.make_timeline_month` may do it: the function runs as the owner.
    """
    created = []
    for month in sorted(months):
        row = conn.execute(SQL["create_month"], {"month": month}).fetchone()
        if row is not None and row[0]:
            created.append(month)
    return created


def needs_cron_job(owner: Connection, ahead: int) -> bool:
    """Whether pg_cron is here and does not create the months ahead yet, or creates another number of them.

    Raises:
        OperatorError: pg_cron is here, and this role may not use it.
    """
    row = owner.execute(SQL["cron_schema_usable"]).fetchone()
    if row is None:
        return False
    if not row[0]:
        raise OperatorError(
            f"this database has pg_cron, and the role {owner.info.user} may not use it",
            hint=f"as a superuser: GRANT USAGE ON SCHEMA cron TO {owner.info.user}",
        )
    return owner.execute(SQL["cron_job"]).fetchone() != (CRON_SCHEDULE, _cron_command(owner, ahead))


def schedule_cron_job(owner: Connection, ahead: int) -> None:
    """Let pg_cron create the months ahead every hour, as the owner."""
    job = {"schedule": CRON_SCHEDULE, "command": _cron_command(owner, ahead)}
    owner.execute(SQL["schedule_cron_job"], job)


def _cron_command(owner: Connection, ahead: int) -> str:
    row = owner.execute(SQL["cron_command"], {"ahead": ahead}).fetchone()
    assert row is not None
    return str(row[0])


def existing_months(conn: Connection) -> set[date]:
    """First days of the months that have a partition."""
    return {month for (month,) in conn.execute(SQL["months"]).fetchall()}


def detach_pending_months(conn: Connection) -> list[date]:
    """First days of the months whose detachment was interrupted. PostgreSQL has at most one at a time."""
    return [month for (month,) in conn.execute(SQL["detach_pending_months"]).fetchall()]


def detach_month(owner: Connection, month: date) -> bool:
    """Detach a month's partition while readers and writers go on. Its table stays, under its name.

    Args:
        owner: an autocommit connection of the owner's: PostgreSQL detaches concurrently only outside a transaction.

    Returns:
        Whether it is detached. Not so where a message for the month has attached it again meanwhile.
    """
    detach = sql.SQL("ALTER TABLE public.timeline_data DETACH PARTITION {} CONCURRENTLY").format(_name(month))
    try:
        owner.execute(detach)
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return False
    return True


def finalize_detach(owner: Connection, month: date) -> None:
    """Finish an interrupted detachment of a month; waits for the transactions that still read it."""
    owner.execute(sql.SQL("ALTER TABLE public.timeline_data DETACH PARTITION {} FINALIZE").format(_name(month)))


def delete_roll_up_of_detached_months(owner: Connection, month: date) -> int:
    """Delete the 15-minute roll-up of detached months before `month`, in short transactions. Returns how many rows.

    No query reads those rows any more. A month that was re-attached keeps its rows.
    """
    row = owner.execute(SQL["highest_event_with_roll_up"]).fetchone()
    highest, deleted = (row and row[0]) or 0, 0
    for after in range(0, highest, EVENTS_PER_TRANSACTION):
        with owner.transaction():
            owner.execute(SQL["lock_partition_changes"])
            page = {"after": after, "up_to": after + EVENTS_PER_TRANSACTION, "month": month}
            deleted += owner.execute(SQL["delete_roll_up_of_detached_months"], page).rowcount
    return deleted


def month_states(conn: Connection) -> dict[date, MonthState]:
    """Every month that the timeline has or had, by its first day, oldest first."""
    return dict(conn.execute(SQL["month_states"]).fetchall())


def changed_months(conn: Connection) -> list[MonthChange]:
    """The months that were attached or detached, by anybody, since `record_change` was called for them."""
    return [MonthChange(*row) for row in conn.execute(SQL["changed_months"]).fetchall()]


def raise_versions(conn: Connection, change: MonthChange, after: int, limit: int) -> dict[int, ChangedEvent]:
    """Raise the version of events with something in a month: the first `limit` with a number above `after`.

    Returns the changes by the number of the event, to be added to the outbox in the same transaction.
    """
    rows = conn.execute(SQL["raise_versions_of_month"], {**change._asdict(), "after": after, "limit": limit})
    return {no: ChangedEvent(event_id, user_id, version, ()) for no, event_id, user_id, version in rows.fetchall()}


def record_change(conn: Connection, change: MonthChange) -> None:
    """Record that the answers over a month are invalidated."""
    conn.execute(SQL["record_attached" if change.attached else "record_detached"], {"month": change.month})


def lock_maintenance(conn: Connection) -> str | None:
    """Lock other maintenance of the partitions out, until the end of this connection's transaction.

    It is a connection of its own: no session lock, so it also works through PgBouncer in transaction mode.

    Returns:
        None where the lock is held; otherwise who holds it.
    """
    conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # it idles while another connection works
    row = conn.execute(SQL["lock_maintenance"]).fetchone()
    if row is not None and row[0]:
        return None
    holder = conn.execute(SQL["maintenance_in_progress"]).fetchone()
    return "one that ends now" if holder is None else "process {} of PostgreSQL, from {}, since {} UTC".format(*holder)


def detached_tables(conn: Connection) -> set[date]:
    """First days of the months that are detached, and whose table is still there."""
    return {month for month, state in month_states(conn).items() if state == "detached"}


def database_id(conn: Connection) -> str:
    """Identifies this database's data: another database has another one, a restored or swapped one has the same."""
    row = conn.execute(SQL["database_id"]).fetchone()
    assert row is not None, "hannun.identity has one row"
    return str(row[0])


def rows_of_month(owner: Connection, month: date) -> Iterator[bytes]:
    """The rows of a month's table as CSV with a header, in the order of the primary key. Each chunk ends with a row."""
    with owner.cursor().copy(sql.SQL(SQL["read_month"]).format(_name(month))) as copy:
        yield from map(bytes, copy)


def lock_detached_month(owner: Connection, month: date) -> bool:
    """Lock the table of a detached month against everything until the end of the transaction.

    It gives up after `DROP_LOCK_WAIT`: a reader, such as a dump, may hold the table for hours, and a message of this
    month would wait behind us.

    Returns:
        Whether the month is detached, and its table still there.
    """
    owner.execute(SQL["wait_for_locks_at_most"], {"time": DROP_LOCK_WAIT})
    try:
        owner.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(_name(month)))
    except psycopg.errors.UndefinedTable:
        return False
    return month not in existing_months(owner)


def drop_month(owner: Connection, month: date) -> None:
    """Drop the table of a detached month, which `lock_detached_month` has locked."""
    owner.execute(sql.SQL("DROP TABLE {}").format(_name(month)))


def load_month(owner: Connection, month: date, rows: Iterable[bytes]) -> bool:
    """Load the table of a dropped month, so that `create_months` attaches it. In a transaction.

    Args:
        rows: CSV without a header, as `rows_of_month` has written them.

    Returns:
        Whether it is loaded. Not so where the ledgers have other sums: these rows are older than the ledgers.
    """
    owner.execute(SQL["create_loading_table"])
    with owner.cursor().copy(SQL["load"]) as copy:
        for chunk in rows:
            copy.write(chunk)
    owner.execute(SQL["lock_partition_changes"])  # from here on, no message for this month is counted
    row = owner.execute(SQL["events_that_differ"], {"month": month}).fetchone()
    if month_states(owner).get(month) != "dropped" or row is None or row[0]:
        owner.execute(SQL["drop_loading_table"])
        return False
    name = sql.Identifier(f"timeline_data_{month:%Y_%m}")
    owner.execute(sql.SQL("ALTER TABLE public.timeline_data_loading RENAME TO {}").format(name))
    return True


def _name(month: date) -> sql.Identifier:
    return sql.Identifier("public", f"timeline_data_{month:%Y_%m}")
