"""The service's own errors, ordered by what the caller of a function can do about them.

HannunError
├── Transient             try again later; loops do so by themselves
│   ├── StoreUnavailable  PostgreSQL is unreachable, silent or restarting
│   │   ├── DiskFull       PostgreSQL has no room to write: nothing was written, and an operator must make room
│   │   ├── ConnectionLost the connection broke, and nothing was committed: a new connection may work at once
│   │   └── OutdatedCaches keys or months that the counter has cached no longer hold: drop them and try once more
│   ├── RedisUnavailable  Redis is unreachable or loading, at the start of a process
│   ├── KafkaUnavailable  no Kafka broker answers
│   ├── ServiceBusUnavailable  Service Bus does not answer
│   ├── IssuerUnavailable the token issuer's keys cannot be read; `retry_after_s` as below
│   └── Busy              one of the service's limits is reached; `retry_after_s` says when to try again
│       ├── TooManyConnections
│       └── NoRoomForFile the disk for temporary files is full
├── RowRefused            PostgreSQL rejects a row of the batch: find the row and set it aside
├── PartitionUnusable     too many messages of a partition are unusable: stop it until an operator decides
├── StaleBatch            a position has moved since the batch began, or has another owner: drop the batch
├── StaleWork             other processes have taken pieces of a round's work: drop their results
├── BadRequest            the HTTP caller's mistake; `code` and `field` go into the response (4xx)
├── Unauthenticated       no token, or an invalid one (401)
├── Forbidden             the caller lacks a role (403)
├── NotFound              nothing there that this caller may see (404)
└── OperatorError         a setting, a privilege or an external system is wrong; `hint` says how to correct it
    ├── SettingMissing    a setting that the command needs is not set
    └── KeysMissing       this process has no key ring, or it lacks a key: what needs it works again with the key (503)

An error says what was tried, what was found and, as its hint, what to do. An adapter translates its driver's errors;
no module above the adapters imports a driver. `web/problems.py` maps this tree to HTTP statuses, `cli` maps it to exit
codes.
"""

from collections.abc import Collection


class HannunError(Exception):
    """Base class of every error that Hannun itself raises."""


class LocalizedError(HannunError):
    """An error whose message the HTTP caller sees, in Korean or English.

    Args:
        template: an English sentence with the names of its values in braces. It is also the key of its translation
            in `web/korean.py`.
        values: what replaces the names in braces.
    """

    def __init__(self, template: str, **values: object) -> None:
        super().__init__(template.format(**values) if values else template)
        self.template = template
        self.values = values


class Transient(HannunError):
    """The same operation may succeed a moment later.

    Args:
        hint: what an operator can check, where it is more than the class knows.
    """

    hint = "try again in a moment"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class StoreUnavailable(Transient):
    """PostgreSQL is unreachable or silent, is starting or stopping, or closed the connection.

    Whether a commit took place may be unknown.
    """

    hint = "is PostgreSQL running? Its own log says why it refused or ended a connection; then try again"


class DiskFull(StoreUnavailable):
    """The disk of PostgreSQL is full. Nothing was written, and the same works again when there is room."""

    hint = "make room on the disk that PostgreSQL's log names, or enlarge it; never delete files of pg_wal by hand"


class ConnectionLost(StoreUnavailable):
    """The connection to PostgreSQL broke before anything was committed."""


class OutdatedCaches(StoreUnavailable):
    """Surrogate keys or months that the counter has cached are no longer those of the database. Nothing was written."""


class RedisUnavailable(Transient):
    """Redis is unreachable, is loading its data, or has too many clients."""


class KafkaUnavailable(Transient):
    """No Kafka broker answers."""

    hint = "does a broker run there, and does it answer? Then try again"


class ServiceBusUnavailable(Transient):
    """Service Bus does not answer, or has ended the connection."""

    hint = "can this machine reach the namespace (AMQP, port 5671)? Then try again"


class IssuerUnavailable(Transient):
    """The token issuer's public keys cannot be read."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Busy(LocalizedError, Transient):
    """A limit is reached. The request had no effect."""

    def __init__(self, template: str, *, retry_after_s: float, **values: object) -> None:
        super().__init__(template, **values)
        self.retry_after_s = retry_after_s


class TooManyConnections(Busy):
    """As many HTTP connections are open as there may be: in all, or of the caller's address."""


class NoRoomForFile(Busy):
    """The disk for temporary files is full, so that no file can be made."""

    hint = "make room in TMPDIR, or set it to another folder"


class RowRefused(HannunError):
    """PostgreSQL rejects a row. Nothing was written, and a retry of the same batch fails again."""


class PartitionUnusable(HannunError):
    """Too many messages of a partition are unusable. Nothing of the batch was written."""

    def __init__(self, reason: str, *, last: str, topic: str, partition: int) -> None:
        """`reason` fits a line of the operator's list; `last` is what is wrong with the last unusable message."""
        super().__init__(f"{topic}[{partition}]: {reason}; the last of them: {last}")
        self.reason = reason
        self.topic = topic
        self.partition = partition


class StaleBatch(HannunError):
    """Another owner has moved a position of this batch, or owns the position now. Nothing was written."""


class StaleWork(HannunError):
    """Other processes have taken pieces of a round's work, or they are done. Nothing was written.

    Args:
        tokens: the tokens of those pieces.
    """

    def __init__(self, tokens: Collection[object]) -> None:
        super().__init__(f"another process has taken {len(tokens)} of the pieces")
        self.tokens = tokens


class BadRequest(LocalizedError):
    """The request cannot be answered as it stands. `web/problems.py` defines each `code` and its status."""

    def __init__(self, template: str, *, code: str, field: str | None = None, **values: object) -> None:
        super().__init__(template, **values, **({} if field is None else {"field": field}))
        self.code = code
        self.field = field


class Unauthenticated(LocalizedError):
    """The caller is unknown."""


class Forbidden(LocalizedError):
    """The caller is known and lacks a role."""


class NotFound(HannunError):
    """There is nothing there, or nothing that this caller may see. Both cases get the same response."""


class OperatorError(HannunError):
    """A condition that only the operator can correct.

    Args:
        message: what was tried and what was found.
        hint: the command, setting or privilege that corrects it.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.args[0]}. Hint: {self.hint}"


class SettingMissing(OperatorError):
    """A setting that the command needs is not set.

    Args:
        hint_with_home: the hint where the command was given the folder of a running `hannun up`.
    """

    def __init__(self, message: str, *, hint: str, hint_with_home: str) -> None:
        super().__init__(message, hint=hint)
        self.hint_with_home = hint_with_home


class KeysMissing(OperatorError):
    """Data in the database needs a key that this process lacks. Nothing was written."""


def reason_of(error: Exception) -> str:
    """Why something failed, for a message that names the file or address itself: of an OSError without its number."""
    if isinstance(error, OSError) and error.errno and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def install_hint(extra: str) -> str:
    """The hint of an error where an optional part of Hannun is not installed."""
    return f"in a clone: make env; where hannun is installed: pip install 'hannun[{extra}]'"
