"""One service for all tests of the contract, on a database of its own, with the messages of the examples."""

import json
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from served import Site, open_site
from world import World

from hannun.embedded import PostgresServer, ValkeyServer

EXAMPLES = Path(__file__).parents[2] / "src/hannun/web/examples.json"
NOW = "2026-11-23T03:00:00+00:00"
NO_LIMITS = dict.fromkeys(
    ("requests_a_minute", "refreshes_a_minute", "sign_ins_a_minute", "stranger_requests_a_minute"), 0
)


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    return dict(json.loads(EXAMPLES.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def site(postgres: PostgresServer, valkey: ValkeyServer, examples: dict[str, Any]) -> Iterator[Site]:
    """The service after the example of POST /messages was sent, with its clock in 2026."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests OWNER hannun_owner")
        with World(postgres, valkey, name) as world, open_site(world, **NO_LIMITS) as site:
            site.set_now(NOW)
            site.services.share_links._now = lambda: datetime.fromisoformat(NOW)
            answer = site.service.post("/api/v1/messages", json=examples["sendMessages"]["body"])
            assert answer.json()["deadLettered"] == 0, answer.text
            yield site
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
