"""Asks whether the process of this container is alive. Status 0: it answers; 1: it does not.

A container runs one of serve, ingest and schedule; which one, its open port tells. Uses the standard library only.
"""

import os
import sys
import urllib.request

TIMEOUT_S = 2.0
PORTS = {"HANNUN_PORT": "8080", "HANNUN_METRICS_PORT": "9101", "HANNUN_SCHEDULE_METRICS_PORT": "9102"}


def is_alive(port: str) -> bool:
    """Whether a process on this port answers its liveness probe."""
    address = f"http://127.0.0.1:{port}/health/live"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:
            return bool(response.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if any(is_alive(os.environ.get(name, default)) for name, default in PORTS.items()) else 1)
