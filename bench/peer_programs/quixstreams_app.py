"""Quix Streams: an application that reads JSON, with its defaults (at least once).

variant "counts": a stateful step by key, in RocksDB with a changelog topic
variant "ledger": its own PostgreSQL sink, which leaves out rows that are there
"""

from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from progress import Progress
from quixstreams import Application, State
from quixstreams.sinks.community.postgresql import PostgreSQLSink


def main() -> None:
    progress = Progress()
    app = Application(
        broker_address=progress.bootstrap,
        consumer_group=f"{progress.topic}-quixstreams-{progress.variant}",
        auto_offset_reset="earliest",
        state_dir=f"{progress.home}/state",
        loglevel="WARNING",
    )
    registrations = app.topic(progress.topic, value_deserializer="json", key_deserializer="str")
    stream = app.dataframe(registrations)
    counts: dict[str, int] = {}

    def row(value: dict[str, Any]) -> dict[str, Any]:
        progress.begin()
        return {
            "event_id": value["eventId"],
            "participant_id": value["participantId"],
            "registered_at": value["registeredAt"],
            "channel": value.get("channelName"),
        }

    def count(value: dict[str, Any], state: State) -> None:
        progress.begin()
        participants = state.get("participants", 0) + 1
        state.set("participants", participants)
        counts[value["eventId"]] = participants

    if progress.variant == "ledger":
        url = urlsplit(progress.database_url)
        sink = PostgreSQLSink(
            host=url.hostname or "",
            port=url.port or 0,
            dbname=url.path[1:],
            user=unquote(url.username or ""),
            password=unquote(url.password or ""),
            table_name="ledger",
            schema_auto_update=False,
            primary_key_columns=["event_id", "participant_id"],
            on_conflict_do_nothing=True,
            include_metadata=False,
        )
        stream.apply(row).sink(sink)
    else:
        stream.update(count, stateful=True)
    app.run(count=progress.messages)
    if progress.variant == "ledger":
        with psycopg.connect(progress.database_url) as conn:
            found = conn.execute("SELECT count(*) FROM ledger").fetchone()
        progress.end(0 if found is None else found[0])
    else:
        progress.end(sum(counts.values()))


if __name__ == "__main__":
    main()
