"""The addresses and tokens of a running `hannun up`: its `endpoints.json`, and the settings of its processes."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hannun.embedded import ValkeyServer
from hannun.embedded.private_files import write_private_file
from hannun.errors import OperatorError, reason_of
from hannun.processes.embedded_servers import JWT_SECRET, OWNER, load_secrets
from hannun.settings import SECRETS, variable_of

_NO_SECRET_FILES = dict.fromkeys(map(variable_of, (f"{name}_file" for name in SECRETS)), "")
"""The embedded servers have passwords of their own, whatever files the environment names."""
_NO_KAFKA_LOGIN = {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT", "KAFKA_SASL_USERNAME": "", "KAFKA_SASL_PASSWORD": ""}
"""The embedded broker wants no login, whatever the environment says of another one."""
_PAGE_USER = "page-user.json"
_PATHS = (
    "HANNUN_CHANNELS_FILE",
    "HANNUN_CHANNEL_ACCESS_FILE",
    "HANNUN_CHANNEL_DECLARATIONS",
    "HANNUN_BACKUP_FOLDER",
    "HANNUN_KEY_RING_FILE",
    "HANNUN_POSTGRES_PROGRAMS",
)
_VALUES = ("HANNUN_CHANNEL_PRIVATE_ADDRESSES", "HANNUN_REFRESH_AT", "HANNUN_BACKUP_RECIPIENT")
_BACKUP_ROLE = "analytics_backup"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The fields of `endpoints.json`. `settings` are those of the processes that commands need too."""

    api: str
    database_url: str
    redis_url: str
    kafka_bootstrap: str | None
    admin_token: str
    settings: dict[str, str] = field(default_factory=dict)


def endpoints_path(home: Path) -> Path:
    """The file of a home."""
    return home / "endpoints.json"


def write_endpoints(home: Path, endpoints: Endpoints) -> None:
    """Write the file under another name and rename it, readable by its owner alone: it holds secrets."""
    write_private_file(endpoints_path(home), json.dumps(asdict(endpoints), indent=2) + "\n")


def shared_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of an environment that commands need as its processes have them: what is measured, where and when.

    Paths are absolute, since a command may run in another folder.
    """
    paths = {name: str(Path(environment[name]).resolve()) for name in _PATHS if environment.get(name)}
    return paths | {name: environment[name] for name in _VALUES if environment.get(name)}


def read_endpoints(home: Path) -> Endpoints:
    """The addresses of the `hannun up` that runs on this home.

    Raises:
        OperatorError: none runs there, or its file cannot be read.
    """
    path = endpoints_path(home)
    try:
        return Endpoints(**json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise OperatorError(
            f"no `hannun up` runs on {home}: there is no {path.name}", hint="--home names the folder that it was given"
        ) from error
    except (OSError, TypeError, ValueError) as error:
        raise OperatorError(
            f"cannot read {path}: {reason_of(error)}", hint="`hannun up` writes it anew when it starts"
        ) from error


def backups_of(home: Path) -> Path:
    """The folder into which commands with `--home` make backups, where HANNUN_BACKUP_FOLDER of `hannun up` names
    none."""
    return home.resolve() / "backups"


def command_environment(home: Path) -> dict[str, str]:
    """The settings of a command that works on the servers of the `hannun up` that runs on this home.

    Raises:
        OperatorError: none runs there.
    """
    endpoints = read_endpoints(home)
    known = load_secrets(home)
    redis = urlsplit(endpoints.redis_url)
    return (
        _NO_SECRET_FILES
        | _NO_KAFKA_LOGIN
        | {
            "DATABASE_URL": endpoints.database_url,
            "HANNUN_OWNER_DATABASE_URL": _url_of(endpoints, OWNER, known),
            "HANNUN_BACKUP_DATABASE_URL": _url_of(endpoints, _BACKUP_ROLE, known),
            "HANNUN_BACKUP_FOLDER": str(backups_of(home)),
            "REDIS_HOST": redis.hostname or "",
            "REDIS_PORT": str(redis.port),
            "REDIS_PASSWORD": redis.password or "",
            "REDIS_DATABASE": "0",
            "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka_bootstrap or "",
            "HANNUN_JWT_SECRET": known[JWT_SECRET],
            "HANNUN_API": endpoints.api,
        }
        | {name: value for name, value in endpoints.settings.items() if name in (*_PATHS, *_VALUES)}
    )


def _url_of(endpoints: Endpoints, role: str, passwords: Mapping[str, str]) -> str:
    """The database's address for another role."""
    database = urlsplit(endpoints.database_url)
    return database._replace(netloc=f"{role}:{passwords[role]}@{database.hostname}:{database.port}").geturl()


@dataclass(frozen=True, slots=True)
class PageUser:
    """The user whom the link of a home's `hannun up` signs in."""

    user_id: str
    roles: list[str]


def write_page_user(home: Path, user: PageUser) -> None:
    """Keep in the home whom new sign-in codes are for."""
    write_private_file(home / _PAGE_USER, json.dumps(asdict(user)) + "\n")


def read_page_user(home: Path) -> PageUser:
    """The user whom the `hannun up` of this home signs in.

    Raises:
        OperatorError: none has run there.
    """
    try:
        return PageUser(**json.loads((home / _PAGE_USER).read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise OperatorError(
            f"cannot read {home / _PAGE_USER}: {reason_of(error)}",
            hint="`hannun up` writes it; or name the user with --user",
        ) from error


def child_environment(endpoints: Endpoints, valkey: ValkeyServer, known: Mapping[str, str]) -> dict[str, str]:
    """The environment of the child processes: that of this one, and over it the settings of the embedded servers.

    Args:
        known: the passwords and the signing key of the home.
    """
    return {
        **os.environ,
        **_NO_SECRET_FILES,
        **_NO_KAFKA_LOGIN,
        "DATABASE_URL": endpoints.database_url,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(valkey.port),
        "REDIS_PASSWORD": valkey.password,
        "REDIS_DATABASE": "0",
        "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka_bootstrap or "",
        "HANNUN_BACKUP_DATABASE_URL": _url_of(endpoints, _BACKUP_ROLE, known),
        "HANNUN_JWT_SECRET": known[JWT_SECRET],
        "HANNUN_JWT_ISSUER": "",  # the tokens that `hannun up` signs name no issuer and no audience
        "HANNUN_JWT_AUDIENCE": "",
        "HANNUN_JWT_ROLES_CLAIM": "roles",  # and their roles in the default form
        "HANNUN_JWT_ROLE_PREFIX": "",
        "HANNUN_JWT_ROLE_MAPPING": "",
        "HANNUN_START_FROM": "earliest",
        "HANNUN_API": endpoints.api,
        "HANNUN_ADMIN_TOKEN": endpoints.admin_token,
    }
