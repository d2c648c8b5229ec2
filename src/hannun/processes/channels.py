"""The channels of a process: their table, their declarations, and access to their APIs."""

from collections.abc import Callable, Mapping
from pathlib import Path

from hannun.channels import access, declaration
from hannun.channels.access import Access
from hannun.channels.declaration import Declaration
from hannun.domain.budgets import Budget
from hannun.domain.channels import ChannelTable, NewChannel, extended, load_table
from hannun.domain.terms import Bilingual
from hannun.errors import OperatorError, reason_of
from hannun.flows.channel_status import OperatedChannel
from hannun.secret_file import SecretFile
from hannun.settings import Settings


def channel_table(settings: Settings) -> ChannelTable:
    """The table of channels: the operator's file, or the one that ships; and what the operator's declarations add.

    Raises:
        OperatorError: the file, or a declaration, cannot be used.
    """
    table = _known_channels(settings)
    if not settings.channel_declarations:
        return table
    declared = declaration.in_folder(settings.channel_declarations).values()
    try:
        return extended(table, map(_new_channel, declared))
    except ValueError as error:
        raise OperatorError(
            f"the declarations in {settings.channel_declarations} cannot be used: {error}",
            hint="docs/channels.md explains name, type, title and aliases of a declaration",
        ) from error


def channel_declarations(settings: Settings) -> dict[str, Declaration]:
    """The declaration of each channel, by its key.

    Raises:
        OperatorError: one cannot be used.
    """
    return declaration.load_all(settings.channel_declarations)


def channel_access(settings: Settings, declarations: Mapping[str, Declaration]) -> dict[str, Access]:
    """Access to the API of each channel that is set up, by its key.

    Raises:
        OperatorError: the access file cannot be used.
    """
    return access.load(settings.channel_access_file, declarations, private_addresses=settings.channel_private_addresses)


def present_access(settings: Settings, declarations: Mapping[str, Declaration]) -> Callable[[str, Access], Access]:
    """Returns the access of a channel as the file says at that moment; what was given, where it has no entry any more.

    Raises:
        OperatorError: the access file cannot be used.
    """
    path = settings.channel_access_file
    if not path:
        return lambda _, known: known
    private = settings.channel_private_addresses
    file = SecretFile(
        Path(path),
        "HANNUN_CHANNEL_ACCESS_FILE",
        lambda content: access.parse(path, content, declarations, private_addresses=private),
    )
    return lambda key, known: file.current().get(key, known)


def budgets_of(declaration: Declaration) -> list[Budget]:
    """The budgets of a channel's API."""
    return [
        Budget(
            name=each.name,
            scope=f"{declaration.key}/{each.scope}",
            units=each.units,
            window_s=each.window_s,
            day_zone=each.day_zone,
            units_per_call=each.units_per_call,
        )
        for each in declaration.budget
    ]


def operated_channels(settings: Settings) -> list[OperatedChannel]:
    """Every known or declared channel, in the order of their names.

    Raises:
        OperatorError: a declaration, or the access file, cannot be used.
    """
    declarations = channel_declarations(settings)
    access = channel_access(settings, declarations)
    channels = []
    for channel in sorted(channel_table(settings).known, key=lambda each: each.name):
        declared = declarations.get(channel.key)
        has_api = declared is not None and declared.request is not None
        budgets = budgets_of(declared) if declared is not None else []
        channels.append(OperatedChannel(channel, has_api, channel.key in access, budgets))
    return channels


def _new_channel(declared: Declaration) -> NewChannel:
    title = None if declared.title is None else Bilingual(declared.title.ko, declared.title.en)
    return NewChannel(declared.name, declared.type, declared.aliases, title)


def _known_channels(settings: Settings) -> ChannelTable:
    if not settings.channels_file:
        return load_table()
    try:
        return load_table(Path(settings.channels_file).read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"HANNUN_CHANNELS_FILE {settings.channels_file} cannot be used: {reason_of(error)}",
            hint="see src/hannun/domain/channels.toml for its form",
        ) from error
