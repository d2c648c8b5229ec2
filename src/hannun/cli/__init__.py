"""The command line. `main` imports the commands that are asked for; `application` has all of them.

Exit statuses: 0 success; 1 the answer is "no" (drift, for example); 2 the operator must change something, and the
message says what; 75 try again.
"""

import sys
from typing import NoReturn

from hannun.errors import HannunError, Transient
from hannun.imports import collect_less_often

PROCESSES = ("up", "serve", "ingest", "schedule")
"""The commands of `hannun.cli.processes`."""


def main() -> NoReturn:
    """Run a command; print our errors, and exit with the status that belongs to them."""
    collect_less_often()
    try:
        run_command()
    except Transient as error:
        _print(error)
        sys.exit(75)
    except HannunError as error:
        _print(error)
        sys.exit(2)
    except Exception as error:
        _exit_where_a_right_is_missing(error)
        raise
    sys.exit(0)


def _exit_where_a_right_is_missing(error: Exception) -> None:
    """Print the error of a missing right, which any command may meet, and end the process."""
    from hannun.processes.commands.database import missing_right_error

    missing = missing_right_error(error)
    if missing is not None:
        _print(missing)
        sys.exit(2)


def run_command() -> None:
    """Run the command that the arguments name."""
    if len(sys.argv) > 1 and sys.argv[1] in PROCESSES:
        from hannun.cli.processes import process_app

        process_app()()
    else:
        from hannun.cli.application import app

        app()


def _print(error: Exception) -> None:
    from hannun.cli.terminal import print_error

    print_error(error)
