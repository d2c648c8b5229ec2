"""Sign-in codes that work once, and sessions that end before their token expires.

    a code: made by `hannun up`, `hannun sign-in-code` or the platform ─► PostgreSQL ─► used by the first sign-in
    a sign-out ─► PostgreSQL ─► this process refuses the token at once
                          └► read by every process twice a second ─► all of them refuse it

A token cannot be taken back from whoever has copied it, so a process remembers which ones have ended. It decides
without I/O, also while PostgreSQL is unavailable. No record is lost with Redis, or when a process starts again.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from hannun import deadlines
from hannun.domain.audit_chain import Action, NewEntry, Subject, user
from hannun.domain.authorization import Principal
from hannun.domain.secret_hashes import hash_secret
from hannun.errors import Forbidden, Unauthenticated
from hannun.store import audit_log
from hannun.store import sessions as store
from hannun.store.async_writer import AsyncWriter
from hannun.store.database import Connection, Database, ReadPool
from hannun.telemetry import log

CODE_LASTS_S = 600.0
CODE_LENGTH_MAX = 100
READ_INTERVAL_S = 0.5
READ_S_MAX = 5.0
"""How long a read may wait for PostgreSQL."""
OVERLAP_S = 60.0
"""How much earlier each read begins than the one before it: a record becomes visible when its transaction commits."""
DROP_EXPIRED_EVERY_S = 60.0


def create_code(conn: Connection, user_id: str, roles: Sequence[str], by: Subject) -> str:
    """A new code that signs one browser in as this user, within `CODE_LASTS_S` seconds."""
    code = secrets.token_urlsafe(16)
    store.insert_code(conn, hash_secret(code), user_id, roles, CODE_LASTS_S)
    for_whom = f"roles {', '.join(roles)}"
    audit_log.record(conn, NewEntry(by, Action.SIGN_IN_CODE_MADE, for_whom, user(user_id)))
    return code


class EndedSessions:
    """The hashes of the tokens whose sessions have ended, as this process knows them."""

    def __init__(self) -> None:
        self._expiries: dict[bytes, float] = {}

    def __contains__(self, token_hash: object) -> bool:
        return token_hash in self._expiries

    def add(self, token_hash: bytes, expires_at: float) -> None:
        """`expires_at` of the token, in seconds since 1970."""
        self._expiries[token_hash] = expires_at

    def drop_expired(self, before: float) -> None:
        """Forget tokens that expired before this instant: they are refused anyway."""
        self._expiries = {key: expires_at for key, expires_at in self._expiries.items() if expires_at >= before}


class Sessions:
    """Uses sign-in codes, ends sessions, and follows those that other processes have ended.

    Args:
        database: a connection of its own, which other threads use one at a time.
        ended: is kept up to date.
    """

    def __init__(self, reader: ReadPool, database: Database, ended: EndedSessions) -> None:
        self._reader = reader
        self._writer = AsyncWriter(database)
        self._ended = ended
        self._read_at: float | None = None
        self._logged = False

    async def create_code(self, principal: Principal, user_id: str, roles: Sequence[str]) -> str:
        """A new code for a user whom the platform has signed in; `principal` is the platform.

        Raises:
            Forbidden: only an administrator may give the role of one.
            StoreUnavailable: PostgreSQL is unavailable.
        """
        if "ADMIN" in roles and "ADMIN" not in principal.roles:
            raise Forbidden("a code for an administrator needs the role ADMIN")
        return await self._writer.run(lambda conn: create_code(conn, user_id, roles, user(principal.user_id)))

    async def use_code(self, code: str) -> tuple[str, list[str]]:
        """The userId and roles of a sign-in code, which is used up by that.

        Raises:
            Unauthenticated: the code is unknown, used or expired.
            StoreUnavailable: PostgreSQL is unavailable.
        """
        signed_in = None
        if len(code) <= CODE_LENGTH_MAX and code.isascii():
            signed_in = await self._writer.run(lambda conn: store.use_code(conn, hash_secret(code)))
        if signed_in is None:
            raise Unauthenticated(
                "this sign-in code is unknown, used or expired: `hannun sign-in-code` prints a new one"
            )
        return signed_in

    async def end(self, token_hash: bytes, expires_at: float) -> None:
        """End a session: its token is refused here from now on, and in all processes within a second.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable, so that the session goes on.
        """
        naive = datetime.fromtimestamp(expires_at, UTC).replace(tzinfo=None)
        await self._writer.run(lambda conn: store.insert_ended(conn, token_hash, naive))
        self._ended.add(token_hash, expires_at)

    async def run(self) -> None:
        """Follow the sessions that other processes end, until cancelled."""
        drop_at = time.monotonic()
        while True:
            try:
                await self.read_ended()
                self._logged = False
            except Exception as error:  # what has ended so far stays ended, and the next read tries again
                self._log_once(error)
            if time.monotonic() >= drop_at:
                drop_at = time.monotonic() + DROP_EXPIRED_EVERY_S
                self._ended.drop_expired(time.time() - DROP_EXPIRED_EVERY_S)
            await asyncio.sleep(READ_INTERVAL_S)

    async def read_ended(self) -> None:
        """Read the sessions that have ended since the last read; the first time all.

        Raises:
            StoreUnavailable: PostgreSQL is unavailable.
        """
        begins = time.monotonic()
        back_s = None if self._read_at is None else begins - self._read_at + OVERLAP_S
        with deadlines.within(READ_S_MAX):
            ended = await self._reader.read(lambda conn: store.ended(conn, back_s))
        for token_hash, expires_at in ended:
            self._ended.add(token_hash, expires_at)
        self._read_at = begins

    def _log_once(self, error: Exception) -> None:
        if not self._logged:
            self._logged = True
            log.warning("ended sessions could not be read", error=str(error))
