"""`amounts`: counting registrations and sales with encrypted amounts, compared with plain ones.

Two databases count the same batches in turns, so that other load on the machine affects both alike.
"""

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from statistics import median

from bench.counting import BATCH_MESSAGES, WARM_UP_BATCHES, InProcessIngestion, WorkTime, interpreter_settings_of_ingest
from bench.figures import Figure
from bench.messages import AT, Message, batches, registrations
from bench.servers import Servers
from hannun import key_ring
from hannun.domain.facts import Kind
from hannun.flows import amounts as flow
from hannun.store.amount_sweep import Operation
from hannun.store.amounts import WITHOUT_KEYS, Amounts
from hannun.store.database import Database, PoolLimits

EVENTS = 100
SALES_EVERY = 10
"""Every so many messages one is a sale. The sales of the simulated platform are one in twelve."""


def run(servers: Servers, *, quick: bool) -> list[Figure]:
    """All figures of `amounts`."""
    turns = 4 if quick else 20
    with interpreter_settings_of_ingest(), ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        plain = _ingestion(servers, stack, "bench_plain", WITHOUT_KEYS)
        encrypting = _ingestion(servers, stack, "bench_encrypted", _amounts(Path(folder)))
        times = [WorkTime(plain.backend_pid), WorkTime(encrypting.backend_pid)]
        load = batches(_with_sales(BATCH_MESSAGES * (turns + WARM_UP_BATCHES)), BATCH_MESSAGES)
        for warm_up in islice(load, WARM_UP_BATCHES):
            plain.count([warm_up])
            encrypting.count([warm_up])
        ratios = []
        for turn, batch in enumerate(load):
            order = list(zip((plain, encrypting), times, strict=True))
            before = [time.elapsed_s for time in times]
            for ingestion, time in order if turn % 2 else reversed(order):
                with time.measure(len(batch)):
                    ingestion.count([batch])
            took = [time.elapsed_s - earlier for time, earlier in zip(times, before, strict=True)]
            ratios.append(took[1] / took[0])
    without, with_keys = times
    samples = f"{without.messages:,} messages each, one in {SALES_EVERY} a sale"
    return [
        Figure("amounts", "rate, plain amounts", without.rate, "messages/s", samples),
        Figure("amounts", "rate, encrypted amounts", with_keys.rate, "messages/s", samples),
        Figure("amounts", "  CPU more, this process", with_keys.own_cpu_us - without.own_cpu_us, "us/message", samples),
        Figure(
            "amounts",
            "  CPU more, PostgreSQL",
            with_keys.backend_cpu_us - without.backend_cpu_us,
            "us/message",
            samples,
        ),
        Figure("amounts", "cost", (median(ratios) - 1) * 100, "% (target: below 5)", f"median of {turns} turns"),
        Figure("amounts", "cost, CPU time of both", (_cpu(with_keys) / _cpu(without) - 1) * 100, "%", samples),
    ]


def _cpu(time: WorkTime) -> float:
    """CPU time of this process and of PostgreSQL, in microseconds a message."""
    return time.own_cpu_us + time.backend_cpu_us


def _ingestion(servers: Servers, stack: ExitStack, name: str, amounts: Amounts) -> InProcessIngestion:
    database = servers.create_database(name)
    stack.callback(servers.drop_database, database)
    if amounts is not WITHOUT_KEYS:
        owner = Database(database.owner_url, PoolLimits(), application="bench", amounts=amounts)
        flow.convert(owner, Operation.ENCRYPT, "bench", lambda _: None)
        owner.close()
    ingestion = InProcessIngestion(database, stack, amounts)
    ingestion.create_events(1, EVENTS)
    return ingestion


def _amounts(folder: Path) -> Amounts:
    key_ring.add_key(folder / "keys.toml", "bench")
    return Amounts(key_ring.open_key_ring(folder / "keys.toml"))


def _with_sales(count: int) -> Iterator[Message]:
    """Registrations, every tenth replaced by a sale of the same event."""
    rng = random.Random(1)
    sold_at = AT.isoformat()
    for number, (kind, key, value) in enumerate(registrations(1, events=EVENTS, count=count)):
        if number % SALES_EVERY:
            yield kind, key, value
        else:
            sale = {
                "eventId": key.decode(),
                "saleId": f"sale-{number}",
                "amount": rng.randrange(1, 10**6),
                "soldAt": sold_at,
            }
            yield Kind.SALES_RECORDED, key, json.dumps(sale).encode()
