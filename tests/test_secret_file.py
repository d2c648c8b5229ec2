"""A secret in a file: read again when it changes; what cannot be used changes nothing."""

from functools import partial
from pathlib import Path

import pytest

from hannun.errors import OperatorError
from hannun.secret_file import BYTES_MAX, CHECK_EVERY_S, SecretFile, one_text
from hannun.settings import SECRETS, read, secret_in, variable_of
from hannun.tokens import signing_secrets


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("first\n")
    return path


def replace(path: Path, text: str) -> None:
    """As an operator, or a container platform, replaces a secret."""
    new = path.with_name("new")
    new.write_text(text)
    new.rename(path)


def test_a_changed_file_is_read_within_a_second(path: Path) -> None:
    clock = Clock()
    file = SecretFile(path, "X_FILE", partial(one_text, "X_FILE"), clock)
    kept = file.current()
    replace(path, "second")
    assert file.current() is kept, "the file is not looked at for each request"
    clock.now_s += CHECK_EVERY_S
    assert file.current() == ("second",)
    clock.now_s += CHECK_EVERY_S
    assert file.current() is file.current(), "it is parsed once"


def test_a_file_that_is_changed_in_place_or_by_a_link_is_read_again(path: Path) -> None:
    file = SecretFile(path, "X_FILE", partial(one_text, "X_FILE"))
    path.write_text("longer than before")
    assert file.read_if_changed() == ("longer than before",)
    other = path.with_name("other")
    other.write_text("behind a link")
    path.unlink()
    path.symlink_to(other)
    assert file.read_if_changed() == ("behind a link",)


def test_a_content_that_cannot_be_used_leaves_the_last_good_one(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = SecretFile(path, "X_FILE", partial(one_text, "X_FILE"))
    for bad in (b"", b"\n \n", b"two\nlines", b"\xff\xfe", b"x" * (BYTES_MAX + 1)):
        path.write_bytes(bad)
        assert file.read_if_changed() == ("first",)
    path.unlink()
    assert file.read_if_changed() == ("first",)
    path.write_text("second")
    assert file.read_if_changed() == ("second",)
    assert "two" not in capsys.readouterr().err


def test_a_content_that_cannot_be_used_is_logged_once_however_often_it_is_read(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = SecretFile(path, "X_FILE", partial(one_text, "X_FILE"))
    for content, lines in (("", 1), ("usable", 0), ("", 1)):
        path.write_text(content)
        for _ in range(5):
            file.read_if_changed()
        assert capsys.readouterr().err.count("cannot be used") == lines


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o604, True), (0o602, True)])
def test_a_file_that_any_user_may_read_or_change_is_used_with_a_warning(
    path: Path, capsys: pytest.CaptureFixture[str], mode: int, warned: bool
) -> None:
    path.chmod(mode)
    file = SecretFile(path, "X_FILE", partial(one_text, "X_FILE"))
    assert file.read_if_changed() == ("first",)
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("any user of this machine")) == ("", int(warned)), "once for each content"


def test_the_secrets_of_tokens_are_checked_line_by_line(path: Path) -> None:
    path.write_text(f"{'n' * 32}\n\n{'o' * 40}\n")
    assert SecretFile(path, "X_FILE", partial(signing_secrets, "X_FILE")).current() == ("n" * 32, "o" * 40)
    for bad in ("n" * 32 + "\nshort", "-----BEGIN PUBLIC KEY-----" + "x" * 32):
        path.write_text(bad)
        with pytest.raises(OperatorError) as caught:
            SecretFile(path, "X_FILE", partial(signing_secrets, "X_FILE"))
        assert "short" not in str(caught.value).replace("too short", "")


@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_stands_in_a_file_or_in_its_variable_and_never_in_both(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in SECRETS:
        monkeypatch.delenv(variable_of(each), raising=False)
    path.write_text("s" * 32)
    monkeypatch.setenv(variable_of(f"{name}_file"), str(path))
    settings = read()
    assert settings.secret(name) == "s" * 32
    assert "s" * 32 not in repr(settings)
    monkeypatch.setenv(variable_of(name), "t" * 32)
    with pytest.raises(OperatorError, match=f"{variable_of(name)} and {variable_of(name)}_FILE are both set"):
        read()
    monkeypatch.delenv(variable_of(name))
    path.unlink()
    with pytest.raises(OperatorError, match=f"cannot read {variable_of(name)}_FILE .*No such file") as caught:
        read()
    assert "can read" in caught.value.hint


def test_a_secret_that_only_a_command_reads_stands_in_a_file_too(path: Path) -> None:
    variable = "HANNUN_ANALYTICS_BACKUP_PASSWORD"
    assert secret_in({}, variable) is None
    assert secret_in({variable: "x"}, variable) == "x"
    assert secret_in({f"{variable}_FILE": str(path)}, variable) == "first"
    with pytest.raises(OperatorError, match="both set"):
        secret_in({variable: "x", f"{variable}_FILE": str(path)}, variable)
