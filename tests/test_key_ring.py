"""The key ring: what it seals only the same purpose, context and key open; its file may change while it is used."""

import base64
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun import key_ring
from hannun.errors import HannunError, OperatorError
from hannun.key_ring import CannotOpen, KeyRing, open_key_ring
from hannun.secret_file import BYTES_MAX


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.toml"
    key_ring.add_key(file, "2026-11")
    return file


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    file = tmp_path_factory.mktemp("ring") / "keys.toml"
    key_ring.add_key(file, "2026-11")
    return open_key_ring(file)


@given(context=st.binary(max_size=80), plain=st.binary(max_size=200))
def test_a_sealed_value_opens_to_the_same_bytes(ring: KeyRing, context: bytes, plain: bytes) -> None:
    sealed = ring.seal("amounts", context, plain)
    assert ring.open("amounts", context, sealed) == plain
    assert key_ring.key_id_of(sealed) == "2026-11"
    assert ring.seal("amounts", context, plain) != sealed, "equal values would be recognized"


@given(place=st.integers(0), bit=st.integers(0, 7))
def test_no_bit_of_a_sealed_value_can_be_changed(ring: KeyRing, place: int, bit: int) -> None:
    sealed = bytearray(ring.seal("amounts", b"row 1", b"1000.00"))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(HannunError):
        ring.open("amounts", b"row 1", bytes(sealed))


@given(length=st.integers(0, 60))
def test_a_shortened_value_is_refused(ring: KeyRing, length: int) -> None:
    with pytest.raises(CannotOpen):
        ring.open("amounts", b"", ring.seal("amounts", b"", b"1000000000000000000000000000000.00")[:length])


@pytest.mark.parametrize(("purpose", "context"), [("amounts", b"row 2"), ("totals", b"row 1"), ("amounts", b"")])
def test_a_value_opens_only_for_its_purpose_and_its_row(ring: KeyRing, purpose: str, context: bytes) -> None:
    with pytest.raises(CannotOpen, match="changed or moved"):
        ring.open(purpose, context, ring.seal("amounts", b"row 1", b"1000.00"))


def test_a_digest_depends_on_key_purpose_context_and_value(file: Path) -> None:
    key_ring.add_key(file, "2026-12")
    ring = open_key_ring(file)
    digests = [
        digest
        for purpose, context, value in [("a", b"c", b"v"), ("b", b"c", b"v"), ("a", b"cv", b""), ("a", b"", b"cv")]
        for _, digest in ring.digest(purpose, context, value)
    ]
    assert {len(digest) for digest in digests} == {32}
    assert len(set(digests)) == 8
    assert ring.digest("a", b"c", b"v") == open_key_ring(file).digest("a", b"c", b"v")
    assert [key_id for key_id, _ in ring.digest("a", b"c", b"v")] == ring.key_ids == ["2026-11", "2026-12"]


def test_a_changed_file_is_read_within_five_seconds_and_the_older_key_still_opens(file: Path) -> None:
    now_s = 0.0
    ring = open_key_ring(file, now=lambda: now_s)
    sealed = ring.seal("amounts", b"", b"1")
    key_ring.add_key(file, "2026-12")
    key_ring.activate(file, "2026-12")
    now_s = key_ring.CHECK_EVERY_S
    assert ring.active == "2026-12"
    assert key_ring.key_id_of(ring.seal("amounts", b"", b"1")) == "2026-12"
    assert ring.open("amounts", b"", sealed) == b"1"


def test_a_value_of_an_unknown_key_makes_the_ring_read_its_file_at_once(file: Path) -> None:
    ring = open_key_ring(file, now=lambda: 0.0)
    key_ring.add_key(file, "2026-12")
    key_ring.activate(file, "2026-12")
    assert ring.open("amounts", b"", open_key_ring(file).seal("amounts", b"", b"1")) == b"1"


def test_a_missing_key_is_named(file: Path, tmp_path: Path) -> None:
    key_ring.add_key(tmp_path / "other.toml", "2020-01")
    sealed = open_key_ring(tmp_path / "other.toml").seal("amounts", b"", b"1")
    with pytest.raises(OperatorError, match=r"key 2020-01.*holds 2026-11.*put the key 2020-01 back"):
        open_key_ring(file).open("amounts", b"", sealed)


def test_a_file_that_becomes_unusable_leaves_the_last_good_keys(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now_s = 0.0
    ring = open_key_ring(file, now=lambda: now_s)
    sealed, good = ring.seal("amounts", b"", b"1"), file.read_text()
    for broken in ("", "active = ", None):
        file.write_text(broken) if broken is not None else file.unlink()
        for _ in range(3):
            now_s += key_ring.CHECK_EVERY_S
            assert ring.open("amounts", b"", sealed) == b"1"
            assert ring.trouble is not None
        logged = capsys.readouterr().err
        assert logged.count("a changed secret file cannot be used; what it held before stays in use") == 1
        assert str(ring.trouble.args[0]) in logged
    file.touch(0o600)
    file.write_text(good)
    now_s += key_ring.CHECK_EVERY_S
    assert ring.active == "2026-11"
    assert ring.trouble is None
    assert "a secret file can be used again" in capsys.readouterr().err


GOOD = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no keys"),
        ("keys = 1", "no keys"),
        (f'[keys]\na = "{GOOD}"', "`active` names none"),
        (f'active = "b"\n[keys]\na = "{GOOD}"', "`active` names none"),
        (f'active = ["a"]\n[keys]\na = "{GOOD}"', "`active` names none"),
        (f'active = "a"\nmore = 1\n[keys]\na = "{GOOD}"', "expected only"),
        (f'active = "a"\n[keys]\na = "{GOOD}"\n"한" = "{GOOD}"', "key id"),
        ('active = "a"\n[keys]\na = "c2hvcnQ="', "not the base64 of 32"),
        (f'active = "a"\n[keys]\na = "{base64.b64encode(bytes(32)).decode()}"', "random"),
        ('active = "a"\n[keys]\na = 5', "not the base64 of 32"),
        (f'active = "a"\n[keys]\na = "{GOOD}" "', "not TOML"),
        ("#" * (BYTES_MAX + 1), "more than"),
    ],
)
def test_a_file_of_another_form_is_refused_without_quoting_a_key(tmp_path: Path, text: str, found: str) -> None:
    file = tmp_path / "keys.toml"
    file.touch(0o600)
    file.write_text(text)
    with pytest.raises(OperatorError, match=found) as refused:
        open_key_ring(file)
    assert GOOD not in str(refused.value)


@pytest.mark.parametrize(
    ("mode", "allowed"), [(0o600, True), (0o640, True), (0o440, True), (0o644, False), (0o660, False)]
)
def test_a_file_that_others_may_read_or_write_is_refused(file: Path, mode: int, allowed: bool) -> None:
    file.chmod(mode)
    if allowed:
        assert open_key_ring(file).active == "2026-11"
    else:
        with pytest.raises(OperatorError, match="chmod 600"):
            open_key_ring(file)


def test_a_ring_shows_no_key(file: Path) -> None:
    keys = key_ring.read_keys(file)
    assert all(key.hex() not in repr(keys) and repr(key) not in repr(keys) for key in keys.by_id.values())
    assert list(open_key_ring(file).fingerprints()) == ["2026-11"]


def test_the_file_is_written_for_its_owner_alone_and_an_added_key_is_not_active(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    before = key_ring.read_keys(file).by_id["2026-11"]
    key_ring.add_key(file, "2026-12")
    keys = key_ring.read_keys(file)
    assert keys.active == "2026-11"
    assert keys.by_id["2026-11"] == before != keys.by_id["2026-12"]
    with pytest.raises(OperatorError, match="has a key 2026-12 already"):
        key_ring.add_key(file, "2026-12")
    with pytest.raises(OperatorError, match="has no key"):
        key_ring.activate(file, "2027-01")


def test_operators_who_change_a_ring_at_the_same_time_lose_no_key(file: Path) -> None:
    names = [f"{letter}-{number}" for letter in "abcd" for number in range(8)]
    all_began = threading.Barrier(4)

    def add(mine: list[str]) -> None:
        all_began.wait(timeout=30)
        for name in mine:
            key_ring.add_key(file, name)
            key_ring.activate(file, name)

    threads = [threading.Thread(target=add, args=[names[at::4]]) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert key_ring.read_keys(file).by_id.keys() == {"2026-11", *names}


def test_a_change_of_a_ring_that_another_process_locks_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "CHANGE_S_MAX", 0.0)
    with key_ring._changing(file), pytest.raises(OperatorError, match="another process locks"):
        key_ring.activate(file, "2026-11")


def test_threads_may_share_a_ring_whose_file_changes(file: Path) -> None:
    ring = open_key_ring(file, now=lambda: 1e9)
    ring._check_at_s = 0.0  # every call looks at the file
    opened: list[bytes] = []

    def use() -> None:
        opened.extend(ring.open("amounts", b"", ring.seal("amounts", b"", b"1")) for _ in range(200))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        key_ring.add_key(file, f"key-{number}")
        key_ring.activate(file, f"key-{number}")
    for thread in threads:
        thread.join()
    assert opened == [b"1"] * 800
