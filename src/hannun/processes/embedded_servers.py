"""The servers of `hannun up` (PostgreSQL, Valkey, Kafka), their passwords, and the database of the service in them."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from hannun.domain.channels import ChannelTable
from hannun.embedded import KafkaServer, PostgresServer, ValkeyServer
from hannun.embedded.private_files import write_private_file
from hannun.errors import OperatorError, reason_of
from hannun.store.database import connected
from hannun.store.migrate import migrate
from hannun.store.roles import ROLES, grant_server_rights, set_password

DATABASE = "analytics_db"
OWNER = "hannun_owner"
SERVICE_ROLE = "analytics_readwrite"
JWT_SECRET = "jwt_secret"  # noqa: S105  its name in `secrets.json`
PARTITIONS_PER_TOPIC = 4


@dataclass(frozen=True, slots=True)
class Servers:
    """The running servers; `kafka` is None where it was not wanted."""

    postgres: PostgresServer
    valkey: ValkeyServer
    kafka: KafkaServer | None

    def restart_ended(self, progress: Callable[[str], None]) -> None:
        """Start the servers again that have ended."""
        for server in filter(None, (self.postgres, self.valkey, self.kafka)):
            if not server.running:
                progress(f"{server.name} has died; starting it again")
                server.start()


def start_servers(
    home: Path, stack: ExitStack, progress: Callable[[str], None], *, with_kafka: bool, topics: Sequence[str]
) -> Servers:
    """Start the servers at the same time, and create the topics. `stack` stops them."""
    servers = Servers(
        PostgresServer(home / "postgres"),
        ValkeyServer(home / "valkey"),
        KafkaServer(home / "kafka", progress=progress) if with_kafka else None,
    )
    wanted = list(filter(None, (servers.postgres, servers.valkey, servers.kafka)))
    for server in wanted:
        stack.callback(server.stop)
    progress("starting " + ", ".join(("PostgreSQL", "Valkey", "Kafka")[: len(wanted)]))
    with ThreadPoolExecutor(len(wanted)) as pool:
        for started in [pool.submit(server.start) for server in wanted]:
            started.result()
    if servers.kafka is not None:
        servers.kafka.create_topics(dict.fromkeys(topics, PARTITIONS_PER_TOPIC))
    return servers


def load_secrets(home: Path) -> dict[str, str]:
    """The passwords of the roles and the signing key of a home: created once, in a file that only its owner reads.

    Raises:
        OperatorError: the file is there, and cannot be read.
    """
    path = home / "secrets.json"
    try:
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise OperatorError(
            f"cannot read the passwords of this home in {path}: {reason_of(error)}",
            hint="put a copy of the file back; or remove it: up makes new ones, and all sessions and tokens end",
        ) from error
    missing = {JWT_SECRET, OWNER, *ROLES} - known.keys()
    if missing:
        known |= {name: secrets.token_urlsafe(36) for name in missing}
        write_private_file(path, json.dumps(known))
    return known


def migrate_database(postgres: PostgresServer, passwords: Mapping[str, str], channels: ChannelTable) -> str:
    """Create the database and its owner where they are missing, and migrate it. Returns the URL for the service."""
    with connected(postgres.superuser_url, application="hannun-up") as conn:
        conn.autocommit = True
        if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(OWNER)))
        conn.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(OWNER)))
        set_password(conn, OWNER, passwords[OWNER])
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))
    _create_statement_statistics(postgres)
    migrate(postgres.url(DATABASE, OWNER, passwords[OWNER]), channels, {role: passwords[role] for role in ROLES})
    with connected(postgres.superuser_url, application="hannun-up") as conn:
        grant_server_rights(conn)
    return postgres.url(DATABASE, SERVICE_ROLE, passwords[SERVICE_ROLE])


def _create_statement_statistics(postgres: PostgresServer) -> None:
    """Let `hannun watch` and the doctor see the slowest queries, where the server has loaded the library.

    The extension is in a schema of its own: it belongs to the superuser, and the migration grants rights on all tables
    of its own schemas.
    """
    url = make_conninfo(postgres.superuser_url, dbname=DATABASE)
    with connected(url, application="hannun-up") as conn:
        if conn.execute("SELECT current_setting('pg_stat_statements.max', true)").fetchone() == (None,):
            return
        conn.execute("CREATE SCHEMA IF NOT EXISTS statement_statistics")
        conn.execute("GRANT USAGE ON SCHEMA statement_statistics TO PUBLIC")
        conn.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA statement_statistics")
