"""The table of known channels in PostgreSQL: registering it, and attributing participants whose channel had no type.

A participant who came through a channel without a type counts as unattributed, and stands in
`hannun.untyped_participants` until the channel's type is known.
"""

from hannun.domain.channels import ChannelTable
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("known_channels")


def register(conn: Connection, channels: ChannelTable) -> None:
    """Write the known channels. Rows that were counted under another name or type of a channel are changed to match."""
    for channel in channels.known:
        old_name = conn.execute(SQL["channel_name"], channel._asdict()).fetchone()
        changed = conn.execute(SQL["register_channel"], channel._asdict()).fetchone()
        if old_name is not None and changed is not None:
            renamed = channel._asdict() | {"old_name": old_name[0]}
            conn.execute(SQL["lock_events_of_channel"], renamed)
            conn.execute(SQL["rename_channel_stats"], renamed)
            conn.execute(SQL["correct_distribution_types"], renamed)
            conn.execute(SQL["invalidate_events_of_channel"], renamed)
    attribute_untyped_participants(conn)


def attribute_untyped_participants(conn: Connection) -> int:
    """Attribute participants to channels whose type the table knows by now, in the caller's transaction.

    Returns how many participants were attributed.
    """
    event_nos = [no for (no,) in conn.execute(SQL["lock_events_to_attribute"])]
    if not event_nos:
        return 0
    row = conn.execute(SQL["attribute_untyped_participants"], {"event_nos": event_nos}).fetchone()
    return int(row[0]) if row else 0
