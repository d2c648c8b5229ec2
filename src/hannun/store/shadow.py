"""The shadow: a second database that the same migrations create, filled by a replay and compared with the live one.

    live ──────────── counting goes on ───────────────► NAME_before (kept until it is dropped)
    shadow ── replayed ── compared ── carried over ───► live

`store.database_swap` renames the two, and `store.carry_over` copies what no log holds.
"""

import psycopg

from hannun.domain.channels import ChannelTable
from hannun.errors import OperatorError
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.database import Connection
from hannun.store.database_urls import with_database
from hannun.store.forgotten import copy_to, read_all
from hannun.store.queries import load
from hannun.store.replacement import Replacement
from hannun.store.version import check_same_version

SQL = load("shadow")


class Shadow(Replacement):
    """The shadow of one live database.

    Args:
        owner_url: the live database, for its owner, who creates, renames and drops databases.
        service_url: the live database, for the role that counts.
        amounts: how both databases' amounts are read.
    """

    def __init__(self, owner_url: str, service_url: str, amounts: Amounts = WITHOUT_KEYS) -> None:
        super().__init__(
            owner_url,
            service_url,
            suffix="_shadow",
            before="_before",
            mark="hannun replay: ",
            application="hannun-replay",
            amounts=amounts,
        )

    def create(self, channels: ChannelTable, begun: str) -> bool:
        """Create the shadow, empty and migrated, or finish an interrupted creation. Returns whether it is new.

        Args:
            begun: how the replay was started, for the comment of the database.

        Raises:
            OperatorError: a privilege is missing, or another database has the shadow's name.
        """
        with self.as_owner(self.live) as live:
            check_same_version(live)
            row = live.execute(SQL["participant_key"]).fetchone()
            assert row is not None
            forgotten = read_all(live)
            seals, _ = _amount_form(live)
            packing = live.execute(SQL["packing"]).fetchone()
            assert packing is not None
        state = self.find(self.name)
        new = state is None or state.is_unfinished
        if new:
            self.drop(self.name)
            self.create_database(begun)
        from hannun.store.migrate import migrate  # no other part of a running service migrates

        migrate(with_database(self.owner_url, self.name), channels, {})
        with self.as_owner(self.name) as conn:
            if conn.execute(SQL["participant_key"]).fetchone() != row:
                conn.execute(SQL["set_participant_key"], {"key": row[0]})
                conn.execute(SQL["set_seals"], {"seals": seals})
                conn.execute(SQL["set_packing"], {"packs": packing[0], "oldest_version": packing[1]})
            copy_to(conn, forgotten)
        return new

    def check_complete(self) -> None:
        """Check that the creation of the shadow was not interrupted.

        Raises:
            OperatorError: it was, so what the shadow holds cannot be compared.
        """
        state = self.find(self.name)
        if state is None or state.is_unfinished or not self._has_the_live_key():
            raise OperatorError(
                f"cannot compare {self.name}: its creation was interrupted",
                hint="`hannun replay --from earliest` finishes it, and continues",
            )

    def _has_the_live_key(self) -> bool:
        """Whether the shadow has the participant key of the live database, which is set as the last step."""
        with self.as_owner(self.live) as live, self.as_owner(self.name) as shadow:
            try:
                keys = [conn.execute(SQL["participant_key"]).fetchone() for conn in (live, shadow)]
            except psycopg.errors.UndefinedTable:
                return False
        return keys[0] == keys[1]


def check_same_amount_form(live: Connection, shadow: Connection) -> None:
    """Check that both databases encrypt amounts, or neither, and that no conversion is under way.

    Raises:
        OperatorError: they differ, so a swap would bring the other form.
    """
    forms = [_amount_form(conn) for conn in (live, shadow)]
    if forms[0] != forms[1] or forms[0][1]:
        raise OperatorError(
            "cannot compare: the amounts of one database are encrypted, and those of the other are not; or they are "
            "being converted",
            hint="finish it (`hannun amounts status`), then `hannun replay drop`, and replay again",
        )


def _amount_form(conn: Connection) -> tuple[bool, bool]:
    """Whether new amounts are sealed, and whether a conversion is open."""
    row = conn.execute(SQL["amount_form"]).fetchone()
    assert row is not None
    return row[0], row[1]
