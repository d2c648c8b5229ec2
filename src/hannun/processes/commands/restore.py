"""What `hannun restore` needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from hannun.cache import Invalidator, flush
from hannun.counting import outbox_relay
from hannun.processes.commands.database import open_owner_connection
from hannun.settings import Settings
from hannun.store.database import Connection, Database

RESTORE = "hannun-restore"
"""The application name of a restore in `pg_stat_activity`."""


@dataclass(frozen=True, slots=True)
class CacheCleanup:
    """What removes the cached answers of the database that was there before."""

    delete_cached: Callable[[], int]
    deliver_pending: Callable[[], object]


@contextmanager
def open_cache_cleanup(settings: Settings) -> Iterator[CacheCleanup]:
    """The cleanup of the cache. Neither PostgreSQL nor Redis is connected to before it is used."""
    database = Database(settings.needed("database_url"), settings.pool, application=RESTORE)
    invalidator = Invalidator(settings.redis)
    try:
        yield CacheCleanup(
            partial(flush.delete_everything, settings.redis),
            partial(outbox_relay.deliver_pending, database, invalidator, older_than_s=0),
        )
    finally:
        invalidator.close()
        database.close()


@contextmanager
def open_live(settings: Settings) -> Iterator[Connection]:
    """The live database, for its owner."""
    with open_owner_connection(settings, RESTORE) as conn:
        yield conn
