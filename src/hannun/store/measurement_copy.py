"""Copy what channels have measured from the live database to the shadow: no log can replay it.

The rows travel with the ids of their events and the keys of their channels, because the numbers differ. The aggregates
of the shadow follow from them, so that the comparison covers views, engagement and conversions, too.
"""

from collections.abc import Collection
from typing import Any

from psycopg import sql

from hannun.store.database import Connection
from hannun.store.ledger_copy import int_array, text_array
from hannun.store.measurements import SQL as MEASUREMENTS
from hannun.store.partitions import create_months
from hannun.store.queries import load

SQL = load("measurement_copy")


def copy_measurements(live: Connection, shadow: Connection, event_ids: Collection[str] | None = None) -> None:
    """Copy totals, increments and corrections of all events, or of these, in one transaction of the shadow's.

    Events that the shadow does not hold are left out; the comparison lists them. Running it again is harmless.
    """
    chosen = {"event_ids": None if event_ids is None else sorted(event_ids)}
    with shadow.transaction():
        shadow.execute(SQL["receive"])
        for read, write in _TRANSFERS:
            _transfer(live, shadow, SQL[read], SQL[write], chosen)
        shadow.execute(SQL["add_channels"])
        create_months(shadow, [month for (month,) in shadow.execute(SQL["months"]).fetchall()])
        for step in _REMOVALS:
            shadow.execute(SQL[step], chosen)
        for step in ("put_increments", "put_corrections", "continue_numbers"):
            shadow.execute(SQL[step])
        pairs = shadow.execute(SQL["put_totals"]).fetchall()
        nos = {"event_nos": int_array(no for no, _ in pairs), "channel_nos": int_array(no for _, no in pairs)}
        shadow.execute(MEASUREMENTS["publish_channels"], nos)
        shadow.execute(SQL["put_timeline"])
        shadow.execute(SQL["owe_roll_up"])
        measured = [event_id for (event_id,) in shadow.execute(SQL["measured_events"]).fetchall()]
        shadow.execute(MEASUREMENTS["publish_views"], {"event_ids": text_array(measured)})


_TRANSFERS = (
    ("read_increments", "write_increments"),
    ("read_corrections", "write_corrections"),
    ("read_totals", "write_totals"),
)
_REMOVALS = ("remove_increments", "remove_corrections", "remove_totals", "clear_timeline", "remove_measured_minutes")


def _transfer(live: Connection, shadow: Connection, read: str, write: str, chosen: dict[str, Any]) -> None:
    """Send the rows of one table from the live database to the shadow, piece by piece."""
    with (
        live.cursor() as reader,
        shadow.cursor() as writer,
        reader.copy(sql.SQL(read), chosen) as source,
        writer.copy(write) as target,
    ):
        for block in source:
            target.write(block)
