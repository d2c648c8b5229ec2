"""Load a logical backup into a database of its own, and prove that it holds what the manifest says.

hashes ─► create the database ─► pg_restore ─► what a dump leaves out ─► compare with the manifest ─► migrate, analyse
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from msgspec.structs import astuple

from hannun.backups import encryption
from hannun.backups.folder import BackupFolder
from hannun.backups.manifest import BackupFile, Manifest
from hannun.domain.channels import ChannelTable
from hannun.domain.restores import format_sum
from hannun.errors import OperatorError
from hannun.pg_programs import programs
from hannun.pg_programs.programs import Programs
from hannun.pg_programs.run import LINES_KEPT, ProgramFailed, RunProgress, connection_arguments, run
from hannun.store import database_facts, restore_target
from hannun.store.database import Connection
from hannun.store.database_facts import Counted, RoleFacts, ServerVersion
from hannun.store.restore_target import RestoreTarget, Stage
from hannun.store.version import newest_version

JOBS_MAX: Final = 4
_KEYS_OF_AMOUNTS: Final = "hannun.amount_keys"
"""The table with the keys of encrypted amounts. It is empty where amounts are plain, and missing in an older schema."""
NAMES_SHOWN = 5
"""How many objects that were left out are named."""
_LIST_ENTRY = re.compile(r"^\d+; \d+ \d+ (?:EXTENSION - |COMMENT - EXTENSION )(?P<extension>.+?) *$")


@dataclass(frozen=True, slots=True)
class Shown:
    """How a restore shows what it does.

    Args:
        step: called with the name of each step, before it.
        progress: called with how far a step is, a few times a second.
        check: called as often; what it raises ends the restore.
    """

    step: Callable[[str], None] = lambda _: None
    progress: Callable[[str], None] = lambda _: None
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class BackupSource:
    """Where a backup is read from.

    Args:
        identities: what opens encrypted files; None where none was given.
        program_folders: where PostgreSQL's programs are looked for.
        scratch: files in plain are written here, where the backup is encrypted.
    """

    folder: BackupFolder
    identities: list[Any] | None
    program_folders: Sequence[Path]
    scratch: Path | None = None


@dataclass(slots=True)
class Loaded:
    """What was loaded: what could not be set, roles that are new and have no password, and the seconds of each step."""

    left_out: list[str] = field(default_factory=list)
    new_roles: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def holds_encrypted_amounts(manifest: Manifest) -> bool:
    """Whether a logical backup holds amounts that are encrypted with the key ring."""
    return manifest.snapshot_counts.get(_KEYS_OF_AMOUNTS, 0) > 0


def check_versions(manifest: Manifest, server: ServerVersion, source: BackupSource) -> Programs:
    """The programs with which a backup is restored into a server.

    Raises:
        OperatorError: the backup is newer than this Hannun or the server, or no programs fit.
    """
    if manifest.kind != "logical":
        raise OperatorError(
            f"{manifest.name} is no logical backup", hint="a physical one becomes a folder of data: --folder FOLDER"
        )
    if manifest.schema_version > newest_version():
        raise OperatorError(
            f"{manifest.name} holds a schema of version {manifest.schema_version}; this Hannun knows versions up to "
            f"{newest_version()}",
            hint="restore it with the Hannun that made it, or a newer one",
        )
    made_on = major_of(manifest.server_version)
    if made_on > server.major:
        raise OperatorError(
            f"{manifest.name} is of PostgreSQL {manifest.server_version}, and this server is {server.text}",
            hint="restore it into a server that is not older than the one it came from",
        )
    # An archive is read only by programs that are as new as the one that wrote it.
    needed = max(server.major, major_of(manifest.program_version))
    return programs.newer_or_equal(source.program_folders, needed, f"a restore of {manifest.name}")


def load(
    target: RestoreTarget, manifest: Manifest, source: BackupSource, channels: ChannelTable, shown: Shown
) -> Loaded:
    """Load a logical backup into its target, which is created anew, and check it.

    Raises:
        OperatorError: the backup is damaged, the target holds something else than the manifest says, or a version or
            a privilege does not fit.
        StoreUnavailable: PostgreSQL went away. The same restore begins anew.
    """
    loaded = Loaded()
    encryption.check_opens(manifest.name, manifest.encrypted, source.identities)
    with target.as_server_owner() as server:
        found = check_versions(manifest, database_facts.server_version(server), source)
        with _timed(loaded, "check"):
            shown.step(f"checking the files of {manifest.name}")
            source.folder.check_files(manifest, lambda _: shown.check())
        _create(target, server, manifest, loaded, shown)
    with _timed(loaded, "load"), _dump_in_plain(manifest, source) as dump:
        _run_pg_restore(target, found, dump, loaded, shown)
    with target.as_owner(target.name) as conn, _timed(loaded, "compare"):
        shown.step("comparing it with the manifest")
        check_contents(manifest, database_facts.counted(conn))
        loaded.left_out += missing_properties(manifest, conn)
    with _timed(loaded, "analyse"):
        _complete(target, manifest, channels, shown)
    target.set_stage(manifest.name, Stage.CHECKED)
    return loaded


def check_contents(manifest: Manifest, counted: Counted) -> None:
    """Compare what a database holds with a manifest.

    Raises:
        OperatorError: something differs.
    """
    found = [
        *_differences("rows of {}", manifest.snapshot_counts, counted.counts),
        *_differences("{}", _shown(manifest.sums), _shown(counted.sums)),
        *_differences("the position of {}", _positions(manifest.positions), _positions(counted.positions)),
        *_differences("{}", {"identity": manifest.identity_hash}, {"identity": counted.identity_hash}),
    ]
    if found:
        more = f", and {len(found) - 5} more" if len(found) > 5 else ""
        raise OperatorError(
            f"the restored database differs from the manifest of {manifest.name}: {'; '.join(found[:5])}{more}",
            hint="nothing was replaced; use another backup: `hannun backup list` shows them",
        )


def missing_properties(manifest: Manifest, conn: Connection) -> Iterator[str]:
    """What a manifest says of settings and roles, and the restored database and its server do not have.

    A role that the server had before the restore keeps its own attributes: nothing here changes it.
    """
    of_database = [
        setting
        for setting in manifest.database_settings
        if not setting.lower().startswith("timezone=")  # always UTC
    ]
    for setting in _missing(of_database, database_facts.database_facts(conn).settings):
        yield f"the setting {setting} of the database"
    here = {role.name: role for role in database_facts.roles(conn, [role.name for role in manifest.roles])}
    for role in manifest.roles:
        name, found = role.name, here[role.name]
        for attribute in _missing(role.attributes, found.attributes):
            yield f"an attribute of the role {name}: ALTER ROLE {name} {attribute}, as a superuser"
        for setting in _missing(role.settings, found.settings):
            yield f"the setting {setting} of the role {name} in all databases"
        for setting in _missing(role.database_settings, found.database_settings):
            yield f"the setting {setting} of the role {name} in this database"
        for group in _missing(role.memberships, found.memberships):
            yield f"a membership of the role {name}: GRANT {group} TO {name}, as a superuser"


def _missing(expected: Sequence[str], found: Sequence[str]) -> list[str]:
    return sorted(set(expected) - set(found))


def _differences(what: str, expected: Mapping[str, object], found: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"{what.format(name)}: {_figure(found.get(name))} instead of {_figure(expected.get(name))}"


def _shown(sums: Mapping[str, str]) -> dict[str, str]:
    return {name: format_sum(value) for name, value in sums.items()}


def _figure(value: object) -> str:
    return f"{value:,}" if type(value) is int else str(value)


def _positions(positions: Sequence[Any]) -> dict[str, object]:
    return {f"{at.topic}[{at.partition}]": (at.topic_id, at.next_offset, at.leader_epoch) for at in positions}


def _create(target: RestoreTarget, server: Connection, manifest: Manifest, loaded: Loaded, shown: Shown) -> None:
    """Create the database with what a dump leaves out: roles, owner, privileges on the database, settings."""
    shown.step(f"creating the database {target.name}")
    live = target.live_facts()
    properties = manifest.database_properties
    owner = live.owner if live is not None else properties.owner if properties is not None else ""
    for role in manifest.roles:
        if restore_target.create_missing_role(server, RoleFacts(*astuple(role))):
            loaded.new_roles.append(role.name)
    if not_ours := restore_target.roles_not_ours(server, [owner]):
        raise OperatorError(
            f"{server.info.user} may not act as {not_ours[0]}, who owns the database",
            hint="HANNUN_OWNER_DATABASE_URL names that role, or a superuser",
        )
    target.create(manifest.name)
    if owner and owner != server.info.user:
        restore_target.give_to(server, target.name, owner)
    if live is None and properties is not None:
        restore_target.grant(server, target.name, properties.privileges)
    settings: list[tuple[str, str | None]] = [(setting, None) for setting in manifest.database_settings]
    settings += [(setting, role.name) for role in manifest.roles for setting in role.database_settings]
    # Last, because in another time zone DEFAULT now() writes local time.
    for setting, role_name in [*settings, ("TimeZone=UTC", None)]:
        restore_target.apply_setting(server, target.name, setting, role_name)


def dump_of(manifest: Manifest) -> BackupFile:
    """The dump among the files of a logical backup.

    Raises:
        OperatorError: there is none.
    """
    for file in manifest.files:
        if file.name.removesuffix(encryption.SUFFIX).endswith(".dump"):
            return file
    raise OperatorError(f"{manifest.name} holds no dump", hint="use another backup: `hannun backup list` shows them")


@contextmanager
def _dump_in_plain(manifest: Manifest, source: BackupSource) -> Iterator[Path]:
    path = source.folder.file_path(manifest, dump_of(manifest))
    with (
        TemporaryDirectory(prefix="hannun-restore-", dir=source.scratch) as scratch,
        encryption.opened(path, source.identities, Path(scratch)) as plain,
    ):
        yield plain


def _run_pg_restore(target: RestoreTarget, found: Programs, dump: Path, loaded: Loaded, shown: Shown) -> None:
    program = found.path("pg_restore")
    begun = time.monotonic()

    def show(progress: RunProgress) -> None:
        shown.progress(f"{time.monotonic() - begun:.0f} s, {progress.line.removeprefix('pg_restore: ')}")

    parameters = database_facts.client_parameters(target.owner_url_of(target.name))
    arguments, environment = connection_arguments(parameters | {"application_name": "hannun-restore"})
    jobs = min(JOBS_MAX, os.cpu_count() or 1)
    with TemporaryDirectory(prefix="hannun-restore-") as scratch, target.as_server_owner() as server:
        entries = _entries_to_restore(program, dump, server, loaded, Path(scratch))
        shown.step(f"restoring with {jobs} {'jobs' if jobs > 1 else 'job'}")
        command: list[str | Path] = [program, f"--jobs={jobs}", f"--use-list={entries}", *arguments, dump]
        if found.major > database_facts.server_version(server).major:
            _run_newer_than_server(command, environment, shown)
            return
        verbose = [*command[:1], "--exit-on-error", "--verbose", *command[1:]]
        run(verbose, environment=environment, on_progress=show, check=shown.check)


def _run_newer_than_server(command: Sequence[str | Path], environment: Mapping[str, str], shown: Shown) -> None:
    """Run a pg_restore that is newer than the server: it sets parameters that the server does not know, and goes on.

    Raises:
        ProgramFailed: anything else went wrong.
    """
    try:
        # Only errors are written, so silence says nothing.
        run(command, environment=environment, check=shown.check, silence_s=math.inf)
    except ProgramFailed as error:
        errors = [line for line in error.lines if "error:" in line]
        known = all("unrecognized configuration parameter" in line for line in errors)
        # Fewer lines than are kept: no error was cut off.
        if not (errors and known and len(error.lines) < LINES_KEPT):
            raise


def _entries_to_restore(program: Path, dump: Path, server: Connection, loaded: Loaded, scratch: Path) -> Path:
    """A file with the entries of the archive, without what this role may not create: extensions, and others' objects.

    Raises:
        OperatorError: the archive is damaged.
    """
    listed = scratch / "all.list"
    run([program, "--list", f"--file={listed}", dump])
    lines = listed.read_text("utf-8").splitlines()
    extensions = {match["extension"] for line in lines if (match := _LIST_ENTRY.match(line))}
    missing = set(restore_target.extensions_to_leave_out(server, extensions))
    loaded.left_out += [
        f"the extension {name}: CREATE EXTENSION {name}, as a superuser in this database; Hannun counts without it"
        for name in sorted(missing)
    ]
    others = restore_target.owners_to_leave_out(server)
    kept: list[str] = []
    left_out: dict[str, list[str]] = {}
    for line in lines:
        if (match := _LIST_ENTRY.match(line)) and match["extension"] in missing:
            continue
        # The last word of an entry is its owner.
        if not line.startswith(";") and (owner := next((each for each in others if line.endswith(f" {each}")), None)):
            left_out.setdefault(owner, []).append(line.removesuffix(f" {owner}").split(" ", 3)[-1])
            continue
        kept.append(line)
    loaded.left_out += [
        f"what {owner} owns ({_shortened(objects)}): create it as a superuser; Hannun works without it, because "
        "the owner of the database owns all that Hannun needs"
        for owner, objects in sorted(left_out.items())
    ]
    entries = scratch / "kept.list"
    entries.write_text("\n".join(kept) + "\n", "utf-8")
    return entries


def _shortened(names: Sequence[str]) -> str:
    """The names, or the first and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join([*names[:NAMES_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _complete(target: RestoreTarget, manifest: Manifest, channels: ChannelTable, shown: Shown) -> None:
    """Bring an older schema to the newest version, and gather statistics."""
    if manifest.schema_version < newest_version():
        shown.step(f"migrating the schema from version {manifest.schema_version} to {newest_version()}")
        from hannun.store.migrate import migrate  # no other part of a running service migrates

        migrate(target.owner_url_of(target.name), channels, {})
    shown.step("gathering statistics")
    with target.as_owner(target.name) as conn:
        restore_target.analyze(conn)


@contextmanager
def _timed(loaded: Loaded, step: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    loaded.seconds[step] = round(time.monotonic() - begun, 1)


def major_of(version: str) -> int:
    """The major version in the text of a version: 18 of `18.6`."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0
