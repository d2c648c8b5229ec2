"""The settings of a command, from its environment."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hannun.settings import Settings


def read_settings(*, with_log: bool = False) -> "Settings":
    """The settings of this command. They are imported here, since `--help` needs none of them.

    Args:
        with_log: the command writes a log, which begins now.

    Raises:
        OperatorError: the value of a variable, or a file with a secret, cannot be used.
    """
    from hannun import settings as settings_

    settings = settings_.read()
    if with_log:
        from hannun import telemetry

        telemetry.configure(settings.log_level)
    return settings
