"""What `hannun privacy` needs."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from hannun.backups import encryption
from hannun.cache.key_scan import KeyScan
from hannun.counting import outbox_relay
from hannun.domain.audit_chain import event_object
from hannun.domain.ids import canonical_id
from hannun.errors import OperatorError
from hannun.flows import forgetting, personal_data
from hannun.flows.forgetting import Person
from hannun.flows.personal_data import Exposure, Findings, Search
from hannun.key_ring import KeyRing, open_key_ring
from hannun.pg_programs import programs
from hannun.pg_programs.run import run
from hannun.processes.amounts import optional_key_ring
from hannun.processes.commands.backup import backup_folder, program_folders
from hannun.processes.commands.database import open_connection
from hannun.processes.commands.replay import shadow_of
from hannun.processes.writing import open_writing
from hannun.settings import Settings
from hannun.store import forgotten, outbox
from hannun.store.forgotten import ForgottenCounts
from hannun.store.shadow import Shadow

APPLICATION = "hannun-privacy"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten in the live database.

    `cached`: Redis has not acknowledged yet that all answers are deleted. `kept_in` are databases that swaps have left.
    """

    counts: ForgottenCounts
    in_shadow: bool
    cached: bool
    kept_in: list[str]


def preview(settings: Settings, person: Person, *, even_if_unknown: bool) -> ForgottenCounts:
    """What `forget` would change in the live database. Nothing is changed. Raises as `forget`."""
    ring = open_key_ring(settings.needed("key_ring_file"))
    with open_connection(settings, APPLICATION) as conn:
        conn.rollback()  # ends the transaction of the version check
        return forgetting.preview(conn, ring, person, even_if_unknown=even_if_unknown)


def forget(settings: Settings, person: Person, by: str, reason: str, *, even_if_unknown: bool) -> Forgotten:
    """Forget a person in the live database, in Redis, and in the shadow of a replay where there is one.

    Raises:
        NobodyFound: nothing names the id, and `even_if_unknown` is not set. Nothing was stored.
        OperatorError: no key ring is set, or there is no such event.
        Transient: PostgreSQL or Redis cannot be reached now; the same command finishes it.
    """
    ring = open_key_ring(settings.needed("key_ring_file"))
    with open_writing(settings, APPLICATION) as writing:
        with open_connection(settings, APPLICATION) as conn:
            conn.rollback()  # ends the transaction of the version check
            counts = forgetting.forget(conn, ring, person, by, reason, even_if_unknown=even_if_unknown)
        database = writing.database()
        outbox_relay.deliver_pending(database, writing.invalidator, older_than_s=0)
        with database.transaction() as conn:
            cached = bool(outbox.pending(conn, 0))
        shadow = shadow_of(settings)
        kept_in = [name for name in (shadow.before, f"{shadow.live}_before_restore") if shadow.exists(name)]
        return Forgotten(counts, _forget_in_shadow(shadow, ring, person), cached, kept_in)


def _forget_in_shadow(shadow: Shadow, ring: KeyRing, person: Person) -> bool:
    """Forget a person in the shadow of a replay, after the live database: one that is created later copies what is
    forgotten there. Returns whether there is a shadow."""
    if shadow.find(shadow.name) is None:
        return False
    shadow.check_complete()
    with shadow.as_owner(shadow.name) as conn:
        forgetting.forget_in(conn, ring, person)
    return True


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What `hannun privacy audit` searches besides the tables and Redis, and for how long.

    Args:
        id_: an id that is looked for too.
        identity: the file that opens an encrypted backup.
    """

    seconds_max: float
    id_: str | None = None
    logs: Sequence[Path] = ()
    backup: str | None = None
    identity: Path | None = None


def search(settings: Settings, options: SearchOptions, by: str, on_step: Callable[[str], object]) -> Findings:
    """Search tables, Redis, logs and a backup for personal data.

    Raises:
        OperatorError: a file cannot be read, or the backup is none that can be searched.
        Transient: PostgreSQL or Redis cannot be reached now.
    """
    ring = optional_key_ring(settings)
    with open_connection(settings, APPLICATION) as conn:
        conn.rollback()  # ends the transaction of the version check
        personal_data.record_search(conn, by, "everything that is kept")
        known = forgotten.load(conn, ring)
        conn.rollback()
        patterns = personal_data.patterns_for(conn, options.id_)
        conn.rollback()
        search_ = Search(patterns, known, options.seconds_max)
        search_.search_tables(conn, on_step)
        search_.search_forgotten(conn, on_step)
        if options.id_ is not None:
            personal_data.search_ledger_for(conn, options.id_, search_.findings)
    on_step("Redis")
    scan = KeyScan(settings.redis)
    try:
        search_.search_cache(scan.entries())
    finally:
        scan.close()
    for path in options.logs:
        on_step(str(path))
        _search_log(search_, path)
    if options.backup is not None:
        on_step(options.backup)
        _search_backup(settings, search_, options.backup, options.identity)
    return search_.findings


def _search_log(search_: Search, path: Path) -> None:
    try:
        with path.open("rb") as file:
            search_.search_log(str(path), file)
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}", hint="give the path of a log file") from error


def _search_backup(settings: Settings, search_: Search, name: str, identity: Path | None) -> None:
    """Search the dump of a logical backup, as PostgreSQL's program writes it."""
    folder = backup_folder(settings)
    manifest = folder.find(name)
    dumps = [file for file in manifest.files if ".dump" in file.name]
    if len(dumps) != 1:
        raise OperatorError(
            f"{name} is no logical backup, and only these can be searched",
            hint="restore it into another database, and search that one",
        )
    identities = None if identity is None else encryption.read_identities(identity)
    major = int(manifest.program_version.split(".")[0].split()[0])
    found = programs.newer_or_equal(program_folders(settings), major, "reading this dump")
    with (
        folder.reading(),
        tempfile.TemporaryDirectory(prefix="hannun-privacy-") as scratch,
        encryption.opened(folder.file_path(manifest, dumps[0]), identities, Path(scratch)) as plain,
    ):
        run([found.path("pg_restore"), "--file=-", plain], consume=partial(search_.search_dump, name))


def exposure(settings: Settings, event_id: str, since: datetime, by: str) -> Exposure:
    """Whose data a breach of an event could have touched, and who saw it since then (UTC, without a zone).

    Raises:
        OperatorError: there is no such event.
        StoreUnavailable: PostgreSQL cannot be reached now.
    """
    event_id = canonical_id(event_id)
    with open_connection(settings, APPLICATION) as conn:
        found = personal_data.exposure(conn, event_id, since)
        personal_data.record_search(conn, by, f"who has seen {event_object(event_id)}")
    return found


def list_people(settings: Settings, event_id: str, path: Path, by: str) -> int:
    """Write whose data an event holds into a new file. Returns how many people there are.

    Raises:
        OperatorError: there is no such event, or the file exists or cannot be written.
        StoreUnavailable: PostgreSQL cannot be reached now.
    """
    with open_connection(settings, APPLICATION) as conn:
        conn.rollback()  # ends the transaction of the version check
        return personal_data.list_people(conn, canonical_id(event_id), path, by)
