"""What the periodic refresh of `schedule` opens: clients of the channels, breakers, budgets, the counter, the cache."""

import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from hannun.cache import opening
from hannun.channels.client import ChannelClient
from hannun.channels.declaration import Declaration
from hannun.counting.channel_limits import SharedBreakers, SharedBudgets
from hannun.domain.refresh_status import JOB
from hannun.flows.refresh.planning import Planner, PolledChannel
from hannun.flows.refresh.polling import ChannelPoller
from hannun.flows.refresh.refresh import Refresh
from hannun.flows.refresh.rounds import RoundKeeper
from hannun.flows.report.rebuild import Rebuilder
from hannun.processes.amounts import amounts
from hannun.processes.channels import budgets_of, channel_access, channel_declarations, channel_table, present_access
from hannun.processes.writing import Writing
from hannun.settings import Settings
from hannun.store.database import ReadPool

SETTLED_NEXT_DAY_S = 32 * 3_600
"""Numbers that are final at a time of the next morning are so by then, whenever the event has ended."""


@asynccontextmanager
async def open_refresh(settings: Settings, writing: Writing) -> AsyncIterator[Refresh]:
    """The refresh of this process, with everything that it uses open until the block ends.

    Raises:
        OperatorError: a declaration, the access file or the timetable cannot be used.
    """
    timetable = settings.refresh_timetable
    period_s = timetable.period.total_seconds()
    declarations = channel_declarations(settings)
    access = channel_access(settings, declarations)
    present = present_access(settings, declarations)
    polled = {key: declarations[key] for key in access if declarations[key].request is not None}
    budgets = {key: budgets_of(declaration) for key, declaration in polled.items()}
    async with AsyncExitStack() as stack:
        breakers = SharedBreakers(
            writing.database("-breakers"), {key: declaration.name for key, declaration in polled.items()}
        )
        shared_budgets = SharedBudgets(writing.database("-budgets"), budgets, period_s)
        stack.callback(breakers.flush)
        pollers: dict[str, ChannelPoller] = {}
        tls = ssl.create_default_context()
        for key, declaration in polled.items():
            client = await stack.enter_async_context(
                ChannelClient(
                    declaration,
                    access[key],
                    present_access=partial(present, key),
                    calls_at_once=settings.channel_calls_at_once,
                    private_addresses=settings.channel_private_addresses,
                    tls=tls,
                )
            )
            assert declaration.request is not None
            pollers[key] = ChannelPoller(
                key,
                client,
                breakers,
                shared_budgets,
                batch=declaration.request.batch,
                calls_at_once=settings.channel_calls_at_once,
            )
        planned = {key: PolledChannel(settle_s(polled[key]), budgets[key], pollers[key].batch) for key in polled}
        planner = Planner(planned, timetable.period)
        keeper = RoundKeeper(writing.database("-rounds"), JOB, timetable, planner, owner=owner_name())
        relay = stack.enter_context(writing.relaying())
        counter = writing.measurement_counter("-measurements", relay)
        rebuilder = await stack.enter_async_context(_open_rebuilder(settings))
        yield Refresh(keeper, pollers, counter, rebuilder.rebuild, relay.wait_until_delivered, breakers.flush)


@asynccontextmanager
async def _open_rebuilder(settings: Settings) -> AsyncIterator[Rebuilder]:
    limits = replace(settings.pool, size_max=2, size_min=1)
    reader = ReadPool(
        settings.database_source, limits, application="hannun-schedule-rebuild", amounts=amounts(settings)
    )
    cache = opening.answer_cache(settings.redis, lifetime_s=settings.answer_lifetime_s)
    await reader.open()
    await cache.open()
    try:
        yield Rebuilder(reader, cache, lambda: datetime.now(UTC), channel_table(settings), settings.stale_after)
    finally:
        await cache.close()
        await reader.close()


def owner_name() -> str:
    """A name that no other process has, and that says to an operator where this one runs."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def settle_s(declaration: Declaration) -> int:
    """How long a channel's numbers still change after an event's end, in seconds."""
    if declaration.lag is None:
        return 0
    return SETTLED_NEXT_DAY_S if declaration.lag.hours is None else round(declaration.lag.hours * 3_600)
