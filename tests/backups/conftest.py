"""Backups of real servers into a folder of the test's own."""

from dataclasses import replace
from pathlib import Path

import pytest
from backup_clock import every_second
from world import World

from hannun.backups.folder import BackupFolder
from hannun.embedded import PostgresServer
from hannun.embedded.postgres_wheel import installed_binaries
from hannun.flows.backup.context import BackupContext


@pytest.fixture
def context(world: World, tmp_path: Path) -> BackupContext:
    """Backups by the owner of the test's database."""
    (tmp_path / "backups").mkdir()
    folder = BackupFolder(tmp_path / "backups")
    return BackupContext(folder, world.database, world.owner_url, list(installed_binaries()), "0.test", every_second())


@pytest.fixture
def as_superuser(context: BackupContext, world: World, postgres: PostgresServer) -> BackupContext:
    """Backups by a role that may replicate."""
    return replace(context, url=postgres.url(world.name))
