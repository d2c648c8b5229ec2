"""When the participants of events were committed, as PostgreSQL itself has stored it (`track_commit_timestamp`)."""

from collections import defaultdict
from collections.abc import Sequence

import psycopg

from bench.servers import BenchDatabase

_COMMIT_TIMES = """
SELECT e.event_id, extract(epoch FROM pg_xact_commit_timestamp(p.xmin))::float8 AS committed
  FROM hannun.participants p JOIN hannun.events e USING (event_no) WHERE e.event_id = ANY(%s) ORDER BY 2
"""


def commit_times(database: BenchDatabase, event_ids: Sequence[str]) -> dict[str, list[float]]:
    """For each event the commit times of its participants, in seconds since 1970, in order.

    The n-th committed participant of an event is in the first answer with n or more participants.
    """
    times: defaultdict[str, list[float]] = defaultdict(list)
    with psycopg.connect(database.url) as conn:
        for event_id, committed in conn.execute(_COMMIT_TIMES, [list(event_ids)]):
            times[event_id].append(committed)
    return times
