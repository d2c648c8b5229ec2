"""What a home holds of its channel sandbox: the address, and the access file with which Hannun calls it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hannun.errors import OperatorError
from hannun.sandbox.channels.shape import Shape

_ADDRESS_FILE = "channel-sandbox.json"


def access_toml(shapes: Mapping[str, Shape], address: str) -> str:
    """The text of an access file (HANNUN_CHANNEL_ACCESS_FILE) for all channels of the sandbox at this address."""
    lines = [f"# The channel sandbox at {address}. It is simulated, and so are these credentials."]
    for name, shape in shapes.items():
        lines += ["", f"[{name}]", f'address = "{address}/{name}"']
        # A JSON string is a TOML string too, as long as it has no control character.
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in shape.credentials.items()]
    return "\n".join(lines) + "\n"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and replace the one that is there.

    Raises:
        OperatorError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        new.touch(0o600)
        new.write_text(text, "utf-8")
        new.replace(path)
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}", hint="name another file or folder") from error


def write_address(home: Path, address: str) -> None:
    """Keep the address of the sandbox in its home, for the commands that control it."""
    write_private(home / _ADDRESS_FILE, json.dumps({"address": address}) + "\n")


def read_address(home: Path) -> str:
    """The address of the sandbox that was last started on this home.

    Raises:
        OperatorError: none was.
    """
    path = home / _ADDRESS_FILE
    try:
        return str(json.loads(path.read_text("utf-8"))["address"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise OperatorError(
            f"no channel sandbox was started on {home}: {path.name} cannot be read",
            hint="--home names the folder of `hannun up --demo` or of `hannun sandbox serve`; or give --at ADDRESS",
        ) from error


def last_port(home: Path) -> int:
    """The port of the sandbox that was last started on this home; 0, which is any free one, where none was."""
    try:
        return int(read_address(home).rpartition(":")[2])
    except (OperatorError, ValueError):
        return 0
