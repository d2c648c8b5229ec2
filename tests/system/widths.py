"""Whether what a command prints fits a terminal of 80 columns."""

import re

from outside import CompletedCommand

WIDTH = 80
_PASTED = re.compile(r"\s*(hannun|mkdir|chmod|[A-Z]+ (FUNCTION|SELECT|ON|INDEX|TABLE)) ?")
"""A command or a statement that can be pasted, which is never folded."""


def assert_fits(ran: CompletedCommand, command: str) -> None:
    """Assert that nothing is cut, and each line fits the terminal, or is one word or something to be pasted."""
    for line in (ran.out + ran.err).splitlines():
        alone = len(line.split()) == 1 or _PASTED.match(line) is not None
        assert len(line) <= WIDTH or alone, f"hannun {command}: {line}"
        assert "…" not in line, f"hannun {command}: {line}"
    assert "Traceback" not in ran.err
