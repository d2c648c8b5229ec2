"""Runs `hannun` with a request counter that does nothing. The difference to `hannun serve` is the cost of counting.

python -m bench.serve_without_metrics serve ...
"""

from typing import Self

from hannun.cli import main
from hannun.telemetry import metrics


class _NoCounter:
    def labels(self, *_: object) -> Self:
        return self

    def inc(self) -> None:
        pass


if __name__ == "__main__":
    metrics.requests = _NoCounter()
    main()
