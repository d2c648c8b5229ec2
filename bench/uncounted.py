"""`hannun`, with a counter of requests that does nothing: what it costs to count them is the difference.

python -m bench.uncounted serve ...
"""

from typing import Self

from hannun.cli import main
from hannun.telemetry import metrics


class _Nothing:
    def labels(self, *_: object) -> Self:
        return self

    def inc(self) -> None:
        pass


if __name__ == "__main__":
    metrics.requests = _Nothing()
    main()
