"""TCP ports of the loopback interface."""

import socket

HOST = "127.0.0.1"


def find_free_port() -> int:
    """A port on which no process listens at this moment."""
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
