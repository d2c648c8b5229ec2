"""A running counter drops its caches when the database is restored, or another one takes its place."""

from collections.abc import Iterator

import psycopg
import pytest
from world import SPRING, World, make_database

from hannun.embedded import PostgresServer

OTHER = "5b0c2f64-0000-4000-8000-00000000000b"


def channels_of_the_ledger(world: World) -> dict[str, int]:
    rows = world.rows(
        "SELECT c.name, count(*) AS participants FROM hannun.arrivals a JOIN hannun.channels c USING (channel_no) "
        "GROUP BY c.name"
    )
    return {row.name: row.participants for row in rows}


def empty_database(world: World) -> None:
    """Empty the database as before the first message: keys are assigned from 1 again."""
    world.rows("TRUNCATE hannun.events, hannun.participants, hannun.sales, public.event_stats RESTART IDENTITY CASCADE")
    world.rows("TRUNCATE public.channel_stats, public.timeline_data, hannun.untyped_participants")
    world.rows("DELETE FROM hannun.channels WHERE channel_type IS NULL")
    (next_no,) = world.rows("SELECT max(channel_no) + 1 AS no FROM hannun.channels")
    world.rows(f"ALTER TABLE hannun.channels ALTER COLUMN channel_no RESTART WITH {next_no.no}")


@pytest.fixture
def with_other_database(world: World, postgres: PostgresServer) -> Iterator[World]:
    """Another database of the same schema, which can take the place of the test's own."""
    name = f"{world.name}_b"
    make_database(postgres, name)
    yield world
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def swap_databases(world: World, postgres: PostgresServer) -> None:
    """Give the other database the name of the first, and end all connections, as a restore does."""
    first, second = world.name, f"{world.name}_b"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        for name in (first, second):
            conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
        for before, after in ((first, f"{first}_c"), (second, first), (f"{first}_c", second)):
            conn.execute(f"ALTER DATABASE {before} RENAME TO {after}")


def test_channels_with_other_keys_on_the_same_connection_are_noticed(world: World) -> None:
    world.count(world.created(), world.registered("p1", channel="Radio"), world.registered("p2", channel="Poster"))
    empty_database(world)
    world.another_counter().count([world.created(), world.registered("p3", channel="Radio")])
    world.another_counter().count([world.registered("p4", channel="Poster")])
    world.count_with_retries(world.registered("p1", channel="Radio"), world.registered("p2", channel="Poster"))
    world.count(world.registered("p5", channel="Radio"))
    assert channels_of_the_ledger(world) == {"Radio": 3, "Poster": 2}
    assert world.drift() == []


def test_a_batch_that_was_prepared_with_outdated_keys_is_counted_under_the_right_ones(world: World) -> None:
    world.count(world.created(), world.registered("p1", channel="Radio"), world.registered("p2", channel="Poster"))
    prepared = world.counter.prepare([world.registered("p1", channel="Radio"), world.registered("p2", channel="Radio")])
    empty_database(world)
    world.another_counter().count([world.created(), world.registered("p3", channel="Radio")])
    world.another_counter().count([world.registered("p4", channel="Poster")])
    world.counter.write(prepared)
    assert channels_of_the_ledger(world) == {"Radio": 3, "Poster": 1}
    assert world.drift() == []


def test_counting_is_right_after_another_database_takes_the_place_of_the_first(
    with_other_database: World, postgres: PostgresServer
) -> None:
    world = with_other_database
    world.count(world.created(), world.registered("p1", channel="Radio"), world.registered("p2", channel="Poster"))
    swap_databases(world, postgres)
    world.another_counter().count([world.created(), world.registered("p3", channel="Poster")])
    messages = [
        world.registered("p1", channel="Radio"),
        world.registered("p2", channel="Poster"),
        world.created(OTHER),
        world.registered("p1", OTHER, channel="Radio"),
    ]
    world.count_with_retries(*messages)
    assert channels_of_the_ledger(world) == {"Radio": 2, "Poster": 2}
    assert world.drift() == []
    # Ids that are not UUIDs are hashed with a key that belongs to the database.
    again = world.another_database()
    with again.transaction() as conn:
        world.use_decoder_for(conn)
    world.restart()
    assert [outcome.result for outcome in world.count(*messages)] == ["repeated"] * 4


def test_caches_are_cleared_when_the_search_for_a_refused_message_is_interrupted(
    with_other_database: World, postgres: PostgresServer
) -> None:
    world = with_other_database
    world.rows("ALTER TABLE hannun.sales ADD CONSTRAINT no_such_amount CHECK (amount <> 666)")
    world.count(world.created(), world.registered("p1", channel="Radio"))
    swap_databases(world, postgres)
    world.rows("ALTER TABLE hannun.sales ADD CONSTRAINT no_such_amount CHECK (amount <> 666)")
    world.another_counter().count([world.created(), world.registered("p2", channel="Poster")])
    world.count_with_retries(world.created(), world.sold(666), world.registered("p1", channel="Radio"))
    assert channels_of_the_ledger(world) == {"Radio": 1, "Poster": 1}
    assert [dead_letter.reason for dead_letter in world.dead_letters()] == ["refused-by-the-database"]
    assert world.drift() == []


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ("ALTER TABLE hannun.channels ADD CONSTRAINT not_this CHECK (name <> 'Radio')", "channel"),
        (f"ALTER TABLE hannun.events ADD CONSTRAINT not_this CHECK (event_id <> '{OTHER}')", "event"),
    ],
)
def test_a_name_that_postgresql_refuses_becomes_a_dead_letter_and_the_others_are_counted(
    world: World, rule: str, refused: str
) -> None:
    world.rows(rule)
    messages = [world.created(), *(world.registered(f"p{number}") for number in range(5))]
    bad = world.registered("p9", channel="Radio") if refused == "channel" else world.registered("p9", OTHER)
    outcomes = world.count(*messages[:3], bad, *messages[3:])
    assert [outcome.reason for outcome in outcomes] == [None] * 3 + ["refused-by-the-database"] + [None] * 3
    assert world.event_stats(SPRING).total_participants == 5
    assert [dead_letter.detail for dead_letter in world.dead_letters()] == ["CheckViolation of not_this"]
    assert world.drift() == []
