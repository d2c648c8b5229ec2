"""How far each partition is counted: the only positions that count. Kafka's own are kept for its tools alone."""

from typing import NamedTuple

from hannun.errors import OperatorError
from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("positions")


class Claim(NamedTuple):
    """A partition that is ours: where to go on, and the epoch under which its position may be moved."""

    topic: str
    partition: int
    next_offset: int
    epoch: int


def claim(conn: Connection, owner: str, topic: str, topic_id: str, partition: int, first: int | None) -> Claim:
    """Take a partition over.

    Args:
        first: where to begin when it was never read; None where nobody has decided that.

    Raises:
        OperatorError: the topic was made anew, or nobody has decided where to begin.
    """
    place = {"topic": topic, "partition": partition, "topic_id": topic_id, "owner": owner}
    row = conn.execute(SQL["claim"], place).fetchone()
    if row is None:
        found = conn.execute(SQL["found"], place).fetchone()
        if found is not None:
            raise OperatorError(
                f"{topic}[{partition}] was counted up to {found[1]} in a topic of identity {found[0]}; "
                f"the topic of that name is now {topic_id}: it was made anew",
                hint="decide where to go on; nothing of it is read until then",
            )
        if first is None:
            raise OperatorError(
                f"{topic}[{partition}] was never read, and nobody has said where to begin",
                hint="set HANNUN_START_FROM=earliest to count all that the topic holds, or =latest for what comes",
            )
        conn.execute(SQL["begin"], place | {"next_offset": first})
        row = conn.execute(SQL["claim"], place).fetchone()
        assert row is not None
    return Claim(topic, partition, int(row[0]), int(row[1]))
