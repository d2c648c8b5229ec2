"""How SIGTERM and Ctrl-C stop a process."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPED_TWICE_STATUS = 130


@contextmanager
def stop_on_signal(on_stop: Callable[[], object] = lambda: None) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set. The second signal ends the process at once, with status 130.

    The signal handler only writes into a pipe, and a thread sets the event: an event has a lock, and a handler that
    sets it while the same thread is inside `wait` would wait for itself for ever.

    Args:
        on_stop: called in that thread after the event is set.
    """
    stop = threading.Event()
    read, write = os.pipe()
    os.set_blocking(write, False)

    def listen() -> None:
        while os.read(read, 1) == b"!":
            if stop.is_set():
                os._exit(STOPPED_TWICE_STATUS)
            stop.set()
            on_stop()

    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: os.write(write, b"!")) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(write, b".")
        listener.join()
        os.close(read)
        os.close(write)
