"""TCP ports of the loopback interface."""

import socket

HOST = "127.0.0.1"


def find_free_port(*, excluding: int | None = None) -> int:
    """A port on which no process listens at this moment, other than `excluding`, which a caller is about to use."""
    while (port := _ephemeral_port()) == excluding:
        pass
    return port


def _ephemeral_port() -> int:
    """A port of the system's choice. Each call chooses anew, and may choose the same port twice."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        # The servers set this option too: connections in TIME_WAIT do not keep them from binding.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
