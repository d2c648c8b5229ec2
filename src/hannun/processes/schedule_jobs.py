"""The timed jobs of `schedule` alone: maintenance, partitions, backups, restore drills. `jobs.py` has the others."""

import socket
import threading
from collections.abc import Callable
from datetime import datetime

from hannun.backups.manifest import Kind as BackupKind
from hannun.domain.timetable import Timetable
from hannun.errors import OperatorError, Transient
from hannun.flows import audit_log, maintenance
from hannun.flows.backup.scheduled import ScheduledBackup
from hannun.flows.dead_letter_publishing import publish_dead_letters
from hannun.flows.packing import PackingRounds
from hannun.flows.partitions import months
from hannun.flows.restore.loading import Shown
from hannun.flows.restore.scheduled import ScheduledDrill
from hannun.flows.timeline_rollup import RollUpRounds
from hannun.kafka.publisher import Publisher
from hannun.processes.commands.backup import backup_context, backup_folder
from hannun.processes.commands.partitions import apply_plan
from hannun.processes.commands.restore import has_logical_backup, open_drill
from hannun.processes.jobs import on_database
from hannun.processes.refresh import owner_name
from hannun.processes.writing import Writing
from hannun.scheduler import Every, Job, Result
from hannun.settings import Settings
from hannun.store.database import Database
from hannun.store.due_work import DueWork
from hannun.telemetry import metrics, replace_series

BACKUP_EVERY_S = 60.0
"""How soon a backup begins when it is due, or when the process that made it has died."""


def maintenance_jobs(settings: Settings, writing: Writing) -> list[Job]:
    """The jobs of `schedule` alone.

    Raises:
        OperatorError: the topic for dead letters cannot be one.
    """
    months_ahead = settings.months_ahead
    roll_up, packing = RollUpRounds(), PackingRounds()
    jobs: list[tuple[str, float, Callable[[Database, datetime], object]]] = [
        ("roll-up-timelines", 20.0, lambda db, _: roll_up.run_once(db)),
        ("pack-participants", 60.0, lambda db, _: packing.run_once(db)),
        ("attribute-untyped-participants", 20.0, lambda db, _: maintenance.attribute_untyped_participants(db)),
        ("log-uncreated-events", 300.0, lambda db, _: maintenance.log_uncreated_events(db)),
        ("log-newest-audit-entry", 3_600.0, lambda db, _: audit_log.log_newest(db)),
        ("invalidate-changed-months", 2.0, lambda db, _: months.invalidate_changed_months(db.transaction)),
        (
            "create-months-ahead",
            3_600.0,
            lambda db, now: len(months.create_months_ahead(db, now.date(), ahead=months_ahead)),
        ),
    ]
    if settings.dead_letter_topic:
        publisher = _dead_letter_publisher(settings)
        jobs.append(("publish-dead-letters", 5.0, lambda db, _: publish_dead_letters(db, publisher)))
    on_databases = [on_database(name, every_s, writing.database(), work) for name, every_s, work in jobs]
    return on_databases + ([apply_partition_plan_hourly(settings)] if applies_partition_plan(settings) else [])


def backup_jobs(settings: Settings, writing: Writing) -> list[Job]:
    """The backups and drills at set times, where there is a folder for them.

    Raises:
        OperatorError: a time cannot be used.
    """
    replace_series(metrics.backup_scheduled, {(kind,): 1 for kind in settings.scheduled_backups})
    if not settings.backup_folder:
        return []
    lock = threading.Lock()
    made = [_backup_job(settings, writing, kind, at, lock) for kind, at in settings.backup_timetables.items()]
    at = settings.drill_timetable
    return made if at is None else [*made, _drill_job(settings, writing, at)]


def _backup_job(settings: Settings, writing: Writing, kind: BackupKind, at: Timetable, lock: threading.Lock) -> Job:
    folder, database = backup_folder(settings), writing.database(f"-backup-{kind}")
    name = f"backup-{kind}"
    scheduled = ScheduledBackup(
        kind,
        DueWork(database, name, at, owner_name()),
        lambda: backup_context(settings, folder, database, f"schedule@{socket.gethostname()}"),
        settings.redis,
        recipient=settings.backup_recipient or None,
        daily=settings.backup_daily_kept,
        weekly=settings.backup_weekly_kept,
        one_at_a_time=lock,
    )
    return Job(name, Every(BACKUP_EVERY_S), lambda now: Result(scheduled.run_once(now)))


def _drill_job(settings: Settings, writing: Writing, at: Timetable) -> Job:
    def drill() -> None:
        with open_drill(settings, None, None) as due:
            due.run(Shown())

    scheduled = ScheduledDrill(
        DueWork(writing.database("-drill"), "restore-drill", at, owner_name()),
        lambda: has_logical_backup(settings),
        drill,
    )
    return Job("restore-drill", Every(BACKUP_EVERY_S), lambda now: Result(scheduled.run_once(now)))


def applies_partition_plan(settings: Settings) -> bool:
    """Whether `schedule` detaches, archives and drops old months by itself: it may, and is told how many to keep."""
    return settings.months_kept is not None and bool(settings.secret("owner_database_url"))


def apply_partition_plan_hourly(settings: Settings) -> Job:
    """Detach the months that are not kept, archive and drop their tables: what `hannun partitions` does."""

    def apply(now: datetime) -> Result:
        try:
            changes = apply_plan(settings, now.date(), by=f"schedule@{socket.gethostname()}", dry_run=False)
        except OperatorError as error:  # a full archive must not end what else this process does
            raise Transient(error.args[0], hint=error.hint) from error
        return Result(len(changes.created) + len(changes.detached) + len(changes.archived))

    return Job("apply-partition-plan", Every(3_600.0), apply)


def _dead_letter_publisher(settings: Settings) -> Publisher:
    """The publisher of dead letters. While Kafka is away, they wait in their table.

    Raises:
        OperatorError: the topic holds messages, so that dead letters would be consumed as messages.
    """
    topic = settings.dead_letter_topic
    if topic in settings.topics:
        raise OperatorError(
            f"HANNUN_DEAD_LETTER_TOPIC is {topic}, a topic of messages: each dead letter would become another one",
            hint="name a topic that holds nothing else",
        )
    return Publisher(settings.kafka, topic)
