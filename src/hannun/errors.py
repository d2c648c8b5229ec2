"""Our errors, by what the caller can do.

HannunError
├── Transient             try later; loops do so by themselves
│   ├── StoreUnavailable  PostgreSQL is away or restarting
│   ├── StreamUnavailable Kafka is away
│   ├── IssuerUnavailable the keys of the tokens' issuer cannot be had; `retry_after_s` as below
│   └── Busy              a limit of ours is reached; `retry_after_s` says when to come back
├── Refused               PostgreSQL cannot hold a row of the batch: find it, and set it aside
├── Unusable              too much of a partition cannot be used: stop it, and let an operator look
├── StaleBatch            a position is no longer where the batch began, or no longer ours: drop the batch
├── BadQuestion           the asker's mistake; `code` and `field` go into the answer (4xx)
├── Unauthenticated       no token, or one that does not hold (401)
├── Forbidden             a role is missing (403)
├── NotFound              nothing there that this asker may see (404)
└── OperatorError         a setting, a right or a neighbour is wrong; `hint` says what mends it

An error says what was tried, what was found, and (as its hint) what to do. A driver's errors are
translated once, at the neighbour; above it nobody imports the driver. `web/problems.py` turns this
tree into HTTP statuses, `cli` into exit codes.
"""


class HannunError(Exception):
    """Anything that Hannun itself raises."""


class LocalizedError(HannunError):
    """An error of which whoever asks is told, in their language.

    Args:
        said: an English sentence, with the names of its facts in braces. It is also what its translation is found by
            (`web/korean.py`).
        facts: what stands in its place.
    """

    def __init__(self, said: str, **facts: object) -> None:
        super().__init__(said.format(**facts) if facts else said)
        self.said = said
        self.facts = facts


class Transient(HannunError):
    """It may work a moment later, unchanged."""


class StoreUnavailable(Transient):
    """PostgreSQL cannot be reached, is starting, stopping, or ended our connection."""


class KafkaUnavailable(Transient):
    """No Kafka broker answers."""


class IssuerUnavailable(Transient):
    """The issuer's published keys cannot be had."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Busy(LocalizedError, Transient):
    """A limit is reached; nothing was taken."""

    def __init__(self, said: str, *, retry_after_s: float, **facts: object) -> None:
        super().__init__(said, **facts)
        self.retry_after_s = retry_after_s


class RowRefused(HannunError):
    """PostgreSQL refuses what we wanted to write. Nothing was written; the same again will be refused again."""


class PartitionUnusable(HannunError):
    """Too many messages of a partition cannot be used. Nothing of the batch was written."""

    def __init__(self, message: str, *, topic: str, partition: int) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition


class StaleBatch(HannunError):
    """Another owner has moved a position of this batch, or holds it now. Nothing was written."""


class BadRequest(LocalizedError):
    """The question cannot be answered as asked. What each `code` means, and its status, stands in `web/problems.py`."""

    def __init__(self, said: str, *, code: str, field: str | None = None, **facts: object) -> None:
        super().__init__(said, **facts, **({} if field is None else {"field": field}))
        self.code = code
        self.field = field


class Unauthenticated(LocalizedError):
    """Who asks is not known."""


class Forbidden(LocalizedError):
    """Who asks is known, and lacks a role."""


class NotFound(HannunError):
    """There is nothing there, or nothing that this asker may see: one answer for both."""


class OperatorError(HannunError):
    """Something that only the operator can mend.

    Args:
        message: what was tried and what was found.
        hint: the command, setting or right that mends it.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.args[0]}. Hint: {self.hint}"
