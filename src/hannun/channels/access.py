"""Access: the address and the credentials of each channel, from the operator's TOML file.

    [Instagram]
    address = "https://graph.instagram.com"
    token = "..."

Credentials appear in no log line, repr, error or metric.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from hannun.channels.declaration import Declaration
from hannun.domain.channels import folded
from hannun.errors import OperatorError, reason_of

BYTES_MAX = 262_144
VALUE_LENGTH_MAX = 8_192

_FORM = 'an entry is [NAME] with address = "https://..." and the credentials that docs/channels.md lists'


@dataclass(frozen=True, slots=True)
class Access:
    """Where a channel's API is, and what identifies us there."""

    address: str
    """`https://host[:port][/path]`, without a slash at its end."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    token_address: str = ""
    """Of the OAuth2 token; "" is `address`."""

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc


def load(path: str, declarations: Mapping[str, Declaration], *, private_addresses: bool = False) -> dict[str, Access]:
    """The access of each channel that has an entry, by the key of the channel.

    Args:
        path: of the file; "" is no file, so no channel has an entry.
        private_addresses: allow http. The addresses themselves are checked when a name is looked up.

    Raises:
        OperatorError: the file cannot be read, or an entry cannot be used.
    """
    if not path:
        return {}
    return parse(path, _read(path), declarations, private_addresses=private_addresses)


def parse(
    path: str, content: bytes, declarations: Mapping[str, Declaration], *, private_addresses: bool = False
) -> dict[str, Access]:
    """As `load`, of a file whose content is read already."""
    return {
        declaration.key: _access(f"{path}: [{name}]", entry, declaration, private_addresses)
        for name, entry in _entries(path, content).items()
        if (declaration := _declared(path, name, declarations)) is not None
    }


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(BYTES_MAX + 1)
    except OSError as error:
        reason = reason_of(error)
        raise OperatorError(f"HANNUN_CHANNEL_ACCESS_FILE {path} cannot be read: {reason}", hint=_FORM) from error


def _entries(path: str, content: bytes) -> dict[str, object]:
    if len(content) > BYTES_MAX:
        raise OperatorError(f"HANNUN_CHANNEL_ACCESS_FILE {path} has more than {BYTES_MAX} bytes", hint=_FORM)
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        where = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        raise OperatorError(f"HANNUN_CHANNEL_ACCESS_FILE {path} is not TOML{where}", hint=_FORM) from None


def _declared(path: str, name: str, declarations: Mapping[str, Declaration]) -> Declaration:
    declaration = declarations.get(folded(name))
    if declaration is None:
        known = ", ".join(sorted(declaration.name for declaration in declarations.values()))
        raise OperatorError(f"{path}: [{name[:60]}]: found this name, expected one of {known}", hint=_FORM)
    return declaration


def _access(where: str, entry: object, declaration: Declaration, private_addresses: bool) -> Access:
    if not isinstance(entry, dict):
        raise OperatorError(f"{where}: found {type(entry).__name__}, expected a table", hint=_FORM)
    optional = {"token_address"} if "client_id" in declaration.credentials else set()
    expected = {"address", *declaration.credentials}
    if missing := sorted(expected - entry.keys()):
        raise OperatorError(f"{where}: expected the key {missing[0]}, found none", hint=_FORM)
    if more := sorted(entry.keys() - expected - optional):
        names = ", ".join(sorted(expected | optional))
        raise OperatorError(f"{where}: found the key {more[0][:60]}, expected {names}", hint=_FORM)
    for key, value in entry.items():
        if not isinstance(value, str) or not 0 < len(value) <= VALUE_LENGTH_MAX or not _printable(value):
            raise OperatorError(f"{where}: {key}: expected a text of printable ASCII characters", hint=_FORM)
    for key in ("address", *(optional & entry.keys())):
        check_address(f"{where}: {key}", entry[key], private_addresses)
    credentials = {name: entry[name] for name in declaration.credentials}
    return Access(entry["address"].rstrip("/"), credentials, entry.get("token_address", "").rstrip("/"))


def check_address(where: str, address: str, private_addresses: bool) -> None:
    """Check that an address may be called.

    Raises:
        OperatorError: it is no URL of a server, or not https.
    """
    parts = _split(address)
    if parts is None:
        raise OperatorError(f"{where}: expected an address such as https://api.example.com/v1", hint=_FORM)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise OperatorError(f"{where}: expected an address without user, query and fragment", hint=_FORM)
    if parts.scheme != "https" and not private_addresses:
        raise OperatorError(
            f"{where}: found {parts.scheme}, expected https: credentials would be sent unencrypted",
            hint="HANNUN_CHANNEL_PRIVATE_ADDRESSES=true allows http, for development",
        )


def _split(address: str) -> SplitResult | None:
    """The parts of a URL of a server; None where it is none."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not set(address) & set(" \\")
    return parts if usable else None


def _printable(value: str) -> bool:
    return value.isascii() and value.isprintable()
