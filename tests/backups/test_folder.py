"""The folder of backups: what is whole is found, and what is not is refused with what is wrong."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hannun.backups import manifest as manifests
from hannun.backups.encryption import new_identity
from hannun.backups.folder import BackupFolder
from hannun.backups.manifest import BackupFile, Kind, Manifest, Position
from hannun.cli.application import app
from hannun.errors import OperatorError, Transient

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> BackupFolder:
    (tmp_path / "backups").mkdir()
    return BackupFolder(tmp_path / "backups")


def make(folder: BackupFolder, kind: Kind = "logical", at: datetime = NOON, parent: str | None = None) -> Manifest:
    """A complete backup of one file."""
    name = folder.begin(kind, at)
    (folder.path_of(name) / "data").write_bytes(b"all of it" * 1_000)
    files = folder.describe(name, ["data"])
    manifest = Manifest(
        kind=kind, name=name, started_at=at, ended_at=at, hannun_version="1", files=files, parent=parent,
        positions=[Position("topic", 0, "id", 7)], snapshot_counts={"hannun.events": 3},
    )  # fmt: skip
    folder.finish(manifest)
    return folder.read(name)


def of_redis(*files: BackupFile) -> Manifest:
    return Manifest(
        kind="redis", name="redis/20261127T120000Z", started_at=NOON, ended_at=NOON, hannun_version="1",
        files=list(files),
    )  # fmt: skip


def test_a_finished_backup_is_found_by_its_name_with_and_without_its_kind(folder: BackupFolder) -> None:
    manifest = make(folder)
    assert manifest.name == "logical/20261127T120000Z"
    for name in (manifest.name, "20261127T120000Z", "logical/20261127T120000Z/"):
        assert folder.find(name) == manifest
    folder.check_files(manifest)
    assert folder.newest("logical") == manifest
    assert manifest.files[0].sha256 == hashlib.sha256(b"all of it" * 1_000).hexdigest()


def test_a_missing_folder_is_never_created_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """A disk that is not mounted: backups would fill the disk below, and `list` would show none."""
    (tmp_path / "file").touch()
    for path, found in ((tmp_path / "missing", "does not exist"), (tmp_path / "file", "is no folder")):
        folder = BackupFolder(path)
        for use in (folder.check, folder.contents, lambda folder=folder: folder.find("20261127T120000Z")):
            with pytest.raises(OperatorError, match=f"{path}, which {found}"):
                use()
    assert not (tmp_path / "missing").exists()


def test_the_list_shows_a_backup_with_a_truncated_or_missing_file_as_damaged(folder: BackupFolder) -> None:
    whole, truncated, gone = (make(folder, at=NOON + timedelta(hours=hour)) for hour in range(3))
    (folder.path_of(truncated.name) / "data").write_bytes(b"half")
    (folder.path_of(gone.name) / "data").unlink()
    shown = CliRunner().invoke(app, ["backup", "list"], env={"HANNUN_BACKUP_FOLDER": str(folder.path)})
    assert shown.exit_code == 0
    first, second, third = shown.output.splitlines()
    assert first.startswith(whole.name) and "cannot be used" not in first
    assert second == f"{truncated.name:<26} cannot be used: data has 4 bytes instead of 9,000"
    assert third == f"{gone.name:<26} cannot be used: data is missing"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "logical", "physical/2026", "20261127T120000Z;x"])
def test_what_is_no_name_of_a_backup_is_refused(folder: BackupFolder, name: str) -> None:
    with pytest.raises(OperatorError, match="no name of a backup"):
        folder.find(name)


def test_a_backup_without_a_manifest_is_unfinished_and_never_taken_for_a_good_one(folder: BackupFolder) -> None:
    name = folder.begin("logical", NOON)
    (folder.path_of(name) / "data").write_bytes(b"half")
    contents = folder.contents()
    assert contents.backups == []
    assert [(found.name, found.finished) for found in contents.unusable] == [(name, False)]
    with pytest.raises(OperatorError, match="unfinished"):
        folder.find(name)
    with pytest.raises(OperatorError, match="no complete logical backup"):
        folder.newest("logical")


def test_a_second_identity_replaces_none(tmp_path: Path) -> None:
    new_identity(tmp_path / "identity.txt")
    with pytest.raises(OperatorError) as refused:
        new_identity(tmp_path / "identity.txt")
    assert refused.value.args[0].endswith("identity.txt: the file exists already")


def damage(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (damage(lambda data: data[:-1]), "has 8,999 bytes instead of 9,000"),
        (damage(lambda data: data + b"x"), "has 9,001 bytes"),
        (damage(lambda data: data[:500] + b"X" + data[501:]), "SHA-256 differs"),
        (Path.unlink, "is missing"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(
    folder: BackupFolder, harm: Callable[[Path], object], found: str
) -> None:
    manifest = make(folder)
    harm(folder.path_of(manifest.name) / "data")
    with pytest.raises(OperatorError, match=found):
        folder.check_files(manifest)


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_no_changed_byte_of_a_manifest_passes(place: float, byte: int) -> None:
    whole = Manifest(
        kind="logical", name="logical/20261127T120000Z", started_at=NOON, ended_at=NOON, hannun_version="1",
        files=[BackupFile("data", 1, "0" * 64)],
    )  # fmt: skip
    text = manifests.encode(whole)
    at = int(place * len(text))
    changed = text[:at] + bytes([byte]) + text[at + 1 :]
    try:
        found = manifests.decode(changed, "it")
    except OperatorError:
        return
    assert msgspec.structs.replace(found, checksum="") == whole, "only white space may differ"


@given(length=st.integers(0, 400))
def test_a_truncated_manifest_is_refused(length: int) -> None:
    whole = Manifest(
        kind="redis", name="redis/20261127T120000Z", started_at=NOON, ended_at=NOON, hannun_version="1", files=[]
    )
    with pytest.raises(OperatorError, match="damaged"):
        manifests.decode(manifests.encode(whole)[:length], "it")


@pytest.mark.parametrize(
    "name", ["../../secret.dump", "/etc/passwd", "..", "", ".hidden", "a/b", "manifest.json", "a\nb"]
)
def test_a_manifest_that_leads_out_of_its_folder_is_refused(name: str) -> None:
    with pytest.raises(OperatorError, match="is no name of a file of a backup"):
        manifests.decode(manifests.encode(of_redis(BackupFile(name, 1, "0" * 64))), "it")


def test_a_backup_that_builds_on_what_lies_outside_is_refused(folder: BackupFolder) -> None:
    with pytest.raises(OperatorError, match="builds on .*, which cannot be used: .* no name of a backup"):
        folder.chain(make(folder, "physical", parent="../elsewhere"))


@pytest.mark.parametrize("files", [[], [BackupFile("a.rdb", 1, "0" * 64), BackupFile("b.rdb", 1, "0" * 64)]])
def test_a_snapshot_of_redis_is_one_file(files: list[BackupFile]) -> None:
    with pytest.raises(OperatorError, match=f"a snapshot of Redis is one file, and it names {len(files)}"):
        manifests.decode(manifests.encode(of_redis(*files)), "it")


def test_a_manifest_of_a_newer_format_says_so(folder: BackupFolder) -> None:
    with pytest.raises(OperatorError, match="format 2.*newer one"):
        manifests.decode(b'{"format": 2}', "it")


def test_a_manifest_that_was_copied_to_another_backup_is_refused(folder: BackupFolder) -> None:
    text = (folder.path_of(make(folder).name) / manifests.FILE_NAME).read_bytes()
    other = folder.begin("logical", NOON + timedelta(days=1))
    (folder.path_of(other) / manifests.FILE_NAME).write_bytes(text)
    with pytest.raises(OperatorError, match="it is the manifest of logical/20261127T120000Z"):
        folder.find(other)


def test_an_incremental_backup_needs_all_on_which_it_builds(folder: BackupFolder) -> None:
    full = make(folder, "physical")
    first = make(folder, "physical", NOON + timedelta(days=1), parent=full.name)
    second = make(folder, "physical", NOON + timedelta(days=2), parent=first.name)
    assert folder.chain(second) == [full, first, second]
    folder.discard(first.name)
    with pytest.raises(OperatorError, match=f"{second.name} builds on {first.name}, which cannot be used"):
        folder.chain(second)


def test_one_process_makes_backups_and_none_is_removed_while_it_is_read(folder: BackupFolder) -> None:
    with folder.making(), pytest.raises(Transient, match="another backup is being made.*by pid"), folder.making():
        pass
    with folder.reading(), folder.reading(), pytest.raises(Transient, match="verified or restored"), folder.removing():
        pass
    with folder.removing(), pytest.raises(Transient, match="being pruned"), folder.reading():
        pass
    with folder.making(), folder.removing():
        pass
