"""The table of channels of a process."""

from pathlib import Path

from hannun.domain.channels import ChannelTable, load_table
from hannun.errors import OperatorError
from hannun.settings import Settings


def channel_table(settings: Settings) -> ChannelTable:
    """The table of channels: the operator's file, or the one that ships.

    Raises:
        OperatorError: the file cannot be used.
    """
    if not settings.channels_file:
        return load_table()
    try:
        return load_table(Path(settings.channels_file).read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"HANNUN_CHANNELS_FILE {settings.channels_file} cannot be used: {error}",
            hint="see src/hannun/domain/channels.toml for its form",
        ) from error
