"""What a program of a peer reports to `bench.peers`: that it has begun, and that everything is counted."""

import sys


class Progress:
    """Reports the first message that is processed, and the end. The arguments of the command line are attributes."""

    def __init__(self) -> None:
        self.bootstrap, self.topic, self.home, self.database_url = sys.argv[1:5]
        self.messages = int(sys.argv[5])
        self.variant = sys.argv[6]
        self._begun = False

    def begin(self) -> None:
        """Report the first message. Calls after the first do nothing."""
        if not self._begun:
            self._begun = True
            print("first", flush=True)

    def end(self, counted: int) -> None:
        """Report that so many messages are counted, and wait until the CPU time is read."""
        print(f"counted {counted}", flush=True)
        sys.stdin.read()
