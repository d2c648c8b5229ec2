"""`hannun restore`: a backup becomes the live database, a drill proves it, or a restore by other means is finished."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hannun import settings as settings_
from hannun.cli.terminal import HomeOption, operator, print_folded, with_home
from hannun.errors import OperatorError, RedisUnavailable

if TYPE_CHECKING:
    from hannun.domain.restores import RestoredPosition


def restore(
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="something else has restored the live database: prepare it for consumers and cache"
        ),
    ] = False,
    home: HomeOption = None,
) -> None:
    """Restore a backup."""
    if finish:
        _finish()
        return
    raise OperatorError(
        "nothing to restore is named", hint="--finish prepares a database that something else has restored"
    )


def _finish() -> None:
    from hannun.flows.restore.finish import finish
    from hannun.processes.commands.restore import open_cache_cleanup, open_live

    settings = settings_.read()
    with open_cache_cleanup(settings) as cleanup, open_live(settings) as conn:
        finished = finish(conn, operator(), cleanup.delete_cached, cleanup.deliver_pending)
    print_folded("the restored database is prepared: its events have new versions")
    _print_positions(finished.positions)
    _print_cached(finished.cached_keys)


def _print_positions(positions: Sequence["RestoredPosition"]) -> None:
    for position in positions:
        again = f", {position.to_read_again:,} messages are read again" if position.to_read_again else ""
        place = f"{position.topic}[{position.partition}]"
        print_folded(f"{place} resumes at offset {position.next_offset}{again}", indent="  ")
    if not positions:
        print_folded("no partition of Kafka had been read", indent="  ")


def _print_cached(cached_keys: int | None) -> None:
    """Print what became of the cache, and what to do next.

    Raises:
        RedisUnavailable: the cached answers could not be deleted.
    """
    if cached_keys is None:
        raise RedisUnavailable(
            "Redis did not answer, so it may still hold answers of the database before",
            hint=f"when it answers: {with_home('hannun restore --finish')}",
        )
    print_folded(f"{cached_keys:,} keys were deleted in Redis")
    print_folded(with_home("to check every figure: hannun reconcile"))
