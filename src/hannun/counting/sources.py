"""What every source of messages has in common: Kafka and Service Bus have a worker each that keeps this contract.

    receive ──► count, in one transaction ──► acknowledge

- A message is acknowledged only after the transaction that counts it is committed. So a crash loses nothing.
- A message may be received again, at any time and by any process, and counts once: over Kafka a position moves in the
  transaction of the counts, and everywhere the ledgers make a repeat change nothing.
- A message that cannot be used is a dead letter, once, and holds nobody else up.
- While PostgreSQL or the source is away, the worker waits and goes on by itself. It ends only when told to stop.

`tests/sources/test_source_contract.py` runs the same tests over both.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Protocol


class SourceWorker(Protocol):
    """Receives, counts and acknowledges the messages of a part of a source."""

    def run(self, stop: threading.Event, *, count_max: int, wait_s: float) -> None:
        """Count until `stop` is set.

        Args:
            count_max: the largest batch.
            wait_s: how long it waits for more messages.

        Raises:
            Transient: the source's client has failed permanently; end the process.
        """


def run_workers(workers: Sequence[SourceWorker], stop: threading.Event, *, count_max: int, wait_s: float) -> None:
    """Run workers in a thread each; when one fails, all end.

    Raises:
        Transient: the source's client of one has failed permanently.
    """
    with ThreadPoolExecutor(len(workers), thread_name_prefix="worker") as threads:
        running = [threads.submit(worker.run, stop, count_max=count_max, wait_s=wait_s) for worker in workers]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()  # also where the wait itself is interrupted: leaving this block waits for the workers
    for worker in running:
        worker.result()
