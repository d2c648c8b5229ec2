"""What makes the imports of a command cheaper. Imports nothing of ours: it is the first module that a command uses."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

COLLECTED_AFTER = (50_000, 20, 100)
"""When Python's garbage collector runs in a process of ours. Its own thresholds (700, 10, 10) let it run hundreds of
times during the imports of `serve`, each time over what was imported before: a seventh of the start."""


def collect_less_often() -> None:
    """Collect garbage as rarely as in a process that serves. Call it before the imports of a command."""
    gc.set_threshold(*COLLECTED_AFTER)


@contextmanager
def as_if_missing(module: str) -> Iterator[None]:
    """Let imports in the block find that a module is not installed.

    It is for an optional dependency that a library imports wherever it is installed, and that we do not use with it.
    Nothing changes for a library that is imported already.
    """
    installed = sys.modules.get(module)
    sys.modules[module] = None  # type: ignore[assignment]  # as the documentation of `import` describes it
    try:
        yield
    finally:
        if installed is None:
            del sys.modules[module]
        else:
            sys.modules[module] = installed


@contextmanager
def models_built_when_used() -> Iterator[None]:
    """Let pydantic build the validators of models that are declared in the block when one of them is first used."""
    from pydantic import BaseModel

    before = BaseModel.model_config
    BaseModel.model_config = {**before, "defer_build": True}
    try:
        yield
    finally:
        BaseModel.model_config = before
