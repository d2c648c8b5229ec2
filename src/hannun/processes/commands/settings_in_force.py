"""The settings in force: each value, and where it comes from. Secrets are masked."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pydantic import SecretStr

from hannun.settings import SECRETS, Settings, variable_of
from hannun.store.connections import masked_url
from hannun.store.roles import ROLES
from hannun.telemetry import log

MASK = "***"
_PASSWORDS = [f"HANNUN_{role.upper()}_PASSWORD" for role in ROLES]
ONLY_COMMANDS_READ = {"HANNUN_API", "HANNUN_ADMIN_TOKEN", *_PASSWORDS, *(f"{name}_FILE" for name in _PASSWORDS)}
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
    source: Literal["default", "environment", "file"]
    file: str = ""


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable that looks like one of ours and is none; `meant` is the setting that it resembles, or ""."""

    variable: str
    meant: str


def settings_in_force(settings: Settings) -> list[SettingInForce]:
    """Every setting, in the order of the class."""
    return [_in_force(settings, name) for name in type(settings).model_fields]


def _in_force(settings: Settings, name: str) -> SettingInForce:
    variable = variable_of(name)
    file = getattr(settings, f"{name}_file", "") if name in SECRETS else ""
    if file:
        return SettingInForce(variable, _masked(name, settings.secrets_source(name)()), "file", file)
    value = getattr(settings, name)
    text = _masked(name, (value.get_secret_value(),)) if isinstance(value, SecretStr) else _text_of(value)
    return SettingInForce(variable, text, "environment" if name in settings.model_fields_set else "default")


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
