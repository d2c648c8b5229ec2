"""The database may be exchanged for another of its name while the service runs: `hannun replay swap` does that."""

import psycopg
from psycopg import sql
from world import SPRING, World, make_database

from hannun.domain.batch import Result


def test_numbers_that_another_database_gave_are_not_believed(world: World) -> None:
    """The events have the same numbers in both, the channels have not."""
    other = f"{world.name}_other"
    world.rows("INSERT INTO hannun.channels (key, name, channel_type) VALUES ('wait', 'Wait', 'TV')")
    make_database(world.postgres, other)
    world.counts(world.created(), world.registered("p1", channel="Radio"), world.registered("p2", channel="Wait"))
    with psycopg.connect(world.postgres.url(other), autocommit=True) as conn:
        conn.execute("INSERT INTO hannun.events (event_id) VALUES (%s)", [SPRING])
        conn.execute("INSERT INTO hannun.channels (key, name, channel_type) VALUES ('radio', 'Radio', 'SNS')")
    exchange(world, other)
    try:
        outcomes = world.counts_until_it_lands(world.created(), world.registered("p3", channel="Radio"))
        assert [outcome.result for outcome in outcomes] == [Result.COUNTED, Result.COUNTED]
        assert world.channels().keys() == {"Radio"}
        assert world.drift() == []
    finally:
        exchange(world, other)
        with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(other)))


def exchange(world: World, other: str) -> None:
    """Give the two databases each other's name."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    names = [(world.name, f"{world.name}_away"), (other, world.name), (f"{world.name}_away", other)]
    with psycopg.connect(world.postgres.superuser_url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY(%s)",
            [[world.name, other]],
        )
        for was, becomes in names:
            conn.execute(rename.format(sql.Identifier(was), sql.Identifier(becomes)))
