"""The settings in force: each value, and where it comes from. Secrets are masked."""

import os
import shlex
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pydantic import SecretStr

from hannun.secret_file import others_may_read
from hannun.settings import SECRETS, Settings, variable_of
from hannun.store.connections import masked_url
from hannun.store.roles import ROLES
from hannun.telemetry import log

MASK = "***"
_SECRETS_OF_COMMANDS = ["HANNUN_ADMIN_TOKEN", *(f"HANNUN_{role.upper()}_PASSWORD" for role in ROLES)]
_FILES_OF_COMMANDS = [f"{name}_FILE" for name in _SECRETS_OF_COMMANDS]
ONLY_COMMANDS_READ = {"HANNUN_API", *_SECRETS_OF_COMMANDS, *_FILES_OF_COMMANDS}
"""Variables that are no settings of the processes."""


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """A setting.

    Args:
        value: what is in force, as text; of a secret, what may be shown.
        file: where a secret was read from.
    """

    variable: str
    value: str
    source: Literal["default", "environment", "file", "home"]
    file: str = ""


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable that looks like one of ours and is none; `meant` is the setting that it resembles, or ""."""

    variable: str
    meant: str


def settings_in_force(settings: Settings, of_home: Collection[str] = ()) -> list[SettingInForce]:
    """Every setting, in the order of the class.

    Args:
        of_home: the variables of the environment that come from the `hannun up` of `--home`.
    """
    return [_in_force(settings, name, of_home) for name in type(settings).model_fields]


def _in_force(settings: Settings, name: str, of_home: Collection[str]) -> SettingInForce:
    variable = variable_of(name)
    file = getattr(settings, f"{name}_file", "") if name in SECRETS else ""
    if file:
        return SettingInForce(variable, _masked(name, settings.secrets_source(name)()), "file", file)
    value = getattr(settings, name)
    text = _masked(name, (value.get_secret_value(),)) if isinstance(value, SecretStr) else _text_of(value)
    if name not in settings.model_fields_set or (not text and value == Settings.model_fields[name].default):
        return SettingInForce(variable, text, "default")
    return SettingInForce(variable, text, "home" if variable in of_home else "environment")


def _masked(name: str, secrets: tuple[str, ...]) -> str:
    if not any(secrets):
        return ""
    if name.endswith("database_url"):
        return masked_url(secrets[0])
    return MASK if len(secrets) == 1 else f"{MASK} ({len(secrets)} secrets)"


def _text_of(value: object) -> str:
    """The value as one writes it into the environment."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class ExposedFile:
    """A file with a secret that any user of the machine may read or change."""

    variable: str
    path: str
    mode: str

    @property
    def command(self) -> str:
        """What mends it."""
        return f"chmod o= {shlex.quote(self.path)}"


def exposed_files(settings: Settings, environment: Mapping[str, str]) -> Iterator[ExposedFile]:
    """The files with secrets that any user of this machine may read or change, as far as they can be found."""
    names = [*(f"{name}_file" for name in SECRETS), "key_ring_file", "drill_identity_file", "channel_access_file"]
    files = {variable_of(name): getattr(settings, name) for name in names}
    files |= {variable: environment.get(variable, "") for variable in _FILES_OF_COMMANDS}
    for variable, path in files.items():
        with suppress(OSError):
            if path and others_may_read(mode := os.stat(path).st_mode):
                yield ExposedFile(variable, path, f"{stat.S_IMODE(mode):04o}")


def unknown_variables(variables: Iterable[str]) -> list[UnknownVariable]:
    """The variables with our prefix that nothing reads: a misspelled setting has its default, and nobody notices."""
    known = {variable_of(name) for name in Settings.model_fields} | ONLY_COMMANDS_READ
    # Settings are found in capitals and in small letters.
    unknown = sorted(name for name in variables if name.upper().startswith("HANNUN_") and name.upper() not in known)
    return [UnknownVariable(name, next(iter(get_close_matches(name.upper(), known, 1, 0.8)), "")) for name in unknown]


def warn_of_unknown_variables(variables: Iterable[str]) -> None:
    """Write a warning into the log for each variable with our prefix that nothing reads."""
    for unknown in unknown_variables(variables):
        log.warning("an environment variable is no setting", variable=unknown.variable, meant=unknown.meant or None)
