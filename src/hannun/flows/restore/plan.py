"""What a restore will do, said before it does it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from hannun.backups import encryption
from hannun.backups.manifest import Manifest
from hannun.domain.positions import KnownPosition, Partition, PartitionLog, WaitForOperator, resume_or_stop
from hannun.domain.restores import format_duration, format_sum
from hannun.errors import KafkaUnavailable, OperatorError
from hannun.flows.restore.loading import BackupSource, check_versions, holds_encrypted_amounts
from hannun.store import amount_state, database_facts, database_swap, operation_runs, restore_target
from hannun.store.database import Connection
from hannun.store.restore_target import LiveFacts, RestoreTarget, Stage
from hannun.store.version import check_version

ReadLogs = Callable[[Collection[Partition], Mapping[Partition, KnownPosition]], Mapping[Partition, PartitionLog]]
"""The logs of partitions at the broker, which says of known positions whether they were truncated."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """A restore that may begin.

    Args:
        replaces: whether it takes the place of the live database.
        live: owner and size of the live database; None where there is none.
        stage: how far an earlier, interrupted restore of the same backup has come.
        seconds: how long it may take, by the newest drill or restore; None where there was none.
        programs: the version of PostgreSQL's programs, and `server` that of the server.
        stops: partitions that will wait for an operator, with the reason.
        live_seals: whether the live database encrypts amounts; False where nothing is read of it.
    """

    manifest: Manifest
    target: str
    live_name: str
    before: str
    replaces: bool
    live: LiveFacts | None
    reads_live: bool
    stage: Stage | None
    seconds: float | None
    programs: str
    server: str
    stops: list[str]
    live_seals: bool = False

    def lines(self) -> Iterator[str]:
        """The plan in sentences."""
        manifest = self.manifest
        made = f"{manifest.started_at:%Y-%m-%d %H:%M:%S} UTC"
        sums = {name: format_sum(manifest.sums.get(name)) for name in ("participants", "events")}
        yield (
            f"{manifest.name} of {manifest.database}, from {made}: {sums['participants']} participants of "
            f"{sums['events']} events, {manifest.size_bytes / 1e6:,.1f} MB"
        )
        yield (
            f"versions: schema {manifest.schema_version}, made on PostgreSQL {manifest.server_version}; this server is "
            f"{self.server}, the programs are {self.programs}"
        )
        if self.stage is Stage.CHECKED:
            yield f"{self.target} already holds it, complete and checked: the restore goes on from there"
        else:
            yield f"restore it into the new database {self.target}, and compare every table with the manifest"
        if holds_encrypted_amounts(manifest):
            yield "its amounts are encrypted: every process needs the keys of that time in its key ring"
        if self.replaces:
            yield from self._replacement()
        yield f"expected: {self._duration()}"

    def _replacement(self) -> Iterator[str]:
        if self.live is None:
            yield f"there is no database {self.live_name}: {self.target} gets its name"
        else:
            yield f"rename {self.live_name} to {self.before}, which is kept, and {self.target} to {self.live_name}"
        if self.live is not None and not self.reads_live:
            yield (
                "nothing is read of the live database: revoked links and ended sessions are those of the backup, and "
                "nobody has compared whose backup it is"
            )
        if self.live_seals and not holds_encrypted_amounts(self.manifest):
            yield (
                "its amounts are plain, and those of the live database are encrypted: afterwards run "
                "`hannun amounts encrypt`"
            )
        yield "consumers resume at the positions of the backup; every cached answer is deleted"
        yield f"messages that came over HTTP after {self.manifest.started_at:%H:%M:%S} are in no log: send them again"
        yield from self.stops

    def _duration(self) -> str:
        if self.seconds is None:
            return "unknown: no restore or drill has been measured yet (hannun restore --drill)"
        return f"about {format_duration(self.seconds)}, by the newest drill or restore"


def plan(
    target: RestoreTarget,
    manifest: Manifest,
    source: BackupSource,
    read_logs: ReadLogs | None,
    *,
    replaces: bool,
    reads_live: bool,
) -> RestorePlan:
    """Check whether a backup can be restored, as far as that can be known before.

    Args:
        read_logs: None where Kafka is not set up.
        replaces: whether the backup takes the place of the live database.
        reads_live: whether what was decided since is copied from the live database.

    Raises:
        OperatorError: it cannot, and why.
        Transient: another restore runs.
    """
    encryption.check_opens(manifest.name, manifest.encrypted, source.identities)
    with target.as_server_owner() as server:
        version = database_facts.server_version(server)
        programs = check_versions(manifest, version, source)
    live = target.live_facts()
    seconds, live_seals = None, False
    if replaces and live is not None:
        _check_before(target)
        with target.as_server_owner() as server:
            restore_target.lock(server, target.live)  # one that runs may have closed it, for its last step
            database_swap.reopen_live(target)
        if reads_live:
            with target.as_owner(target.live) as conn:
                check_identity(conn, manifest)
                seconds = expected_seconds(conn, manifest)
                live_seals = amount_state.seals_now(conn)
    return RestorePlan(
        manifest,
        target.name,
        target.live,
        target.before,
        replaces,
        live,
        reads_live,
        target.stage_of(manifest.name),
        seconds,
        programs.version,
        version.text,
        _stops(manifest, read_logs) if replaces else [],
        live_seals,
    )


def _check_before(target: RestoreTarget) -> None:
    if target.find(target.before) is not None:
        raise OperatorError(
            f"cannot restore: {target.before} still exists, which the last restore has kept",
            hint="`hannun restore --drop-replaced` drops it",
        )


def check_identity(live: Connection, manifest: Manifest) -> None:
    """Check that a backup is one of this installation.

    Raises:
        OperatorError: it is not, or the live database cannot be read.
    """
    try:
        check_version(live)
    except OperatorError as error:
        raise OperatorError(
            f"cannot read what was decided since the backup from {live.info.dbname}: {error.args[0]}",
            hint="`hannun migrate` first; or --ignore-live, which reads nothing of it",
        ) from error
    if database_facts.identity_hash(live) != manifest.identity_hash:
        raise OperatorError(
            f"{manifest.name} is a backup of another installation: the identity of {live.info.dbname} differs",
            hint="restore it beside this one: --into DATABASE",
        )


def expected_seconds(live: Connection, manifest: Manifest) -> float | None:
    """How long a restore takes, by the newest drill or restore and the sizes of both backups."""
    runs = operation_runs.newest_successes(live)
    measured = [runs[kind] for kind in ("drill", "restore") if kind in runs and runs[kind].size_bytes]
    if not measured:
        return None
    newest = min(measured, key=lambda run: run.age_s)
    assert newest.size_bytes is not None
    return newest.seconds * manifest.size_bytes / newest.size_bytes


def _stops(manifest: Manifest, read_logs: ReadLogs | None) -> list[str]:
    """Partitions whose log no longer holds what comes after the backup: they will wait for an operator."""
    known = {
        (at.topic, at.partition): KnownPosition(at.topic_id, at.next_offset, at.leader_epoch)
        for at in manifest.positions
    }
    if read_logs is None or not known:
        return []
    try:
        logs = read_logs(known.keys(), known)
    except KafkaUnavailable:
        return ["Kafka does not answer, so nobody knows whether it still holds what came after the backup"]
    decided = {
        partition: resume_or_stop(partition, log, known[partition], "", added=False) for partition, log in logs.items()
    }
    return [
        "{}[{}] will wait for an operator: {}".format(*partition, at.reason)
        for partition, at in sorted(decided.items())
        if isinstance(at, WaitForOperator)
    ]
