"""What `hannun channels check` and `try` call a channel with."""

from collections.abc import Iterator
from contextlib import contextmanager

from hannun.counting.channel_limits import SharedBudgets
from hannun.domain.channels import Channel
from hannun.errors import OperatorError
from hannun.flows.channel_trials import ChannelTrials
from hannun.processes.channels import budgets_of, channel_access, channel_declarations
from hannun.processes.commands.database import open_database
from hannun.settings import Settings
from hannun.store.refresh_status import newest_event


def has_api(settings: Settings, channel: Channel) -> bool:
    """Whether the channel has a declaration with an API.

    Raises:
        OperatorError: a declaration cannot be used.
    """
    declaration = channel_declarations(settings).get(channel.key)
    return declaration is not None and declaration.request is not None


@contextmanager
def open_trials(settings: Settings, application: str, channel: Channel) -> Iterator[tuple[ChannelTrials, str | None]]:
    """Trials of a channel, and the id of an ACTIVE event that it has distributed; None where there is none.

    Raises:
        OperatorError: it has no API, is not set up, or a file cannot be used.
        StoreUnavailable: PostgreSQL is away: no budget can be taken.
    """
    declarations = channel_declarations(settings)
    access = channel_access(settings, declarations).get(channel.key)
    if not has_api(settings, channel):
        raise OperatorError(
            f"{channel.name} has no API that could be called",
            hint=f"import its totals: hannun channels import {channel.name} FILE",
        )
    if access is None:
        declared = ", ".join(["address", *declarations[channel.key].credentials])
        path = settings.channel_access_file or "a file that HANNUN_CHANNEL_ACCESS_FILE names"
        raise OperatorError(
            f"{channel.name} is not set up: the access file has no entry for it",
            hint=f"add [{channel.name}] with {declared} to {path}",
        )
    declaration = declarations[channel.key]
    period_s = settings.refresh_timetable.period.total_seconds()
    with open_database(settings, application) as database:
        budgets = SharedBudgets(database, {channel.key: budgets_of(declaration)}, period_s)
        event_id = database.run(lambda conn: newest_event(conn, channel.key))
        yield (
            ChannelTrials(declaration, access, budgets, private_addresses=settings.channel_private_addresses),
            event_id,
        )
