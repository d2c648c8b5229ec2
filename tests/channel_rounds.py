"""Rounds of the refresh over simulated channels: the parts of `hannun schedule`, the sandbox over HTTP, real servers.

PostgreSQL's clock decides what is due, blocked or over. A test does not wait for it: `Rounds.pass_time` moves what is
stored into the past, and the clock of the sandbox forward.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from psycopg.types.json import Jsonb
from world import Row, World

from hannun.channels import declaration
from hannun.domain.breaker import Policy, State
from hannun.domain.channels import folded
from hannun.flows.refresh.refresh import Refresh
from hannun.processes.refresh import open_refresh
from hannun.processes.writing import open_writing
from hannun.sandbox.channels.access import access_toml
from hannun.sandbox.channels.control_client import ControlClient
from hannun.sandbox.channels.numbers import Sources
from hannun.sandbox.channels.server import Sandbox, listen, serving_in_thread
from hannun.sandbox.channels.shape import load_all
from hannun.sandbox.platform import Platform
from hannun.settings import Settings

CHANNELS = ["GenieTV", "Instagram", "KakaoChannel", "NaverBlog", "RingoBiz", "WooriTV"]
PERIOD_S = 300.0
FOUNDED = datetime(2026, 5, 13, 3, 20, tzinfo=UTC)
PATIENT = "[limits]\nconnect_s = 20.0\nread_s = 20.0\ncall_s = 60.0\nattempts = 2\n"
HASTY = "[limits]\nconnect_s = 5.0\nread_s = 0.3\ncall_s = 0.6\nattempts = 1\n"
"""For channels that a test makes hang: a real call would wait for 5 to 15 s."""
FAR = timedelta(days=100_000)
_SHIPPED = Path(declaration.__file__).parent / "declarations"
_TIMES = {
    "rounds": ("due_at", "began_at", "heartbeat_at", "deadline_at", "ended_at"),
    "round_work": ("due_at", "heartbeat_at", "done_at"),
    "channel_budgets": ("window_starts_at", "free_at", "blocked_until"),
    "channel_measurements": ("measured_at", "polled_at"),
}


def declare(folder: Path, channel: str, limits: str) -> None:
    """Write the declaration of a channel that ships, with these limits of a call."""
    folder.mkdir(exist_ok=True)
    shipped = (_SHIPPED / f"{channel}.toml").read_text("utf-8")
    one_attempt = "[limits]\nattempts = 1\n"
    if one_attempt in shipped:
        shipped, limits = shipped.replace(one_attempt, ""), limits.replace("attempts = 2", "attempts = 1")
    assert "[limits]" not in shipped
    (folder / f"{channel}.toml").write_text(f"{shipped}\n{limits}", "utf-8")


class Rounds:
    """Rounds over the channels of a sandbox.

    Args:
        folder: for the access file and the declarations.
        shapes: a folder with further shapes of the sandbox, whose channels are set up too.
    """

    def __init__(self, world: World, folder: Path, address: str, shapes: Path | None = None, **settings: Any) -> None:
        self.world = world
        self.address = address
        self.control = ControlClient(address)
        self.declarations = folder / "declarations"
        for channel in CHANNELS:
            declare(self.declarations, channel, PATIENT)
        access = folder / "access.toml"
        access.write_text(access_toml(load_all(shapes), address), "utf-8")
        access.chmod(0o600)
        self.environment = {
            "DATABASE_URL": world.url,
            "REDIS_HOST": world.redis.host,
            "REDIS_PORT": str(world.redis.port),
            "REDIS_PASSWORD": world.redis.password,
            "HANNUN_CHANNEL_ACCESS_FILE": str(access),
            "HANNUN_CHANNEL_DECLARATIONS": str(self.declarations),
            "HANNUN_CHANNEL_PRIVATE_ADDRESSES": "true",
        }
        self._settings = settings

    def make_hasty(self, *channels: str) -> None:
        """Let calls to these channels time out soon, in rounds that are opened from now on."""
        for channel in channels:
            declare(self.declarations, channel, HASTY)

    def make_patient(self, *channels: str) -> None:
        for channel in channels:
            declare(self.declarations, channel, PATIENT)

    def distribute(self, *events: str, channels: Sequence[str] = tuple(CHANNELS)) -> None:
        """Create events that the channels have distributed, and activate them."""
        for event in events:
            self.world.count(
                self.world.created(event),
                self.world.status_changed("ACTIVE", "2026-11-02T08:00:00+09:00", event),
                *(self.world.distributed(event, channelName=channel) for channel in channels),
            )

    # -- time

    def pass_time(self, seconds: float = PERIOD_S) -> None:
        """Let so much time pass for PostgreSQL and the sandbox. What was counted keeps its minutes."""
        moved = timedelta(seconds=seconds)
        for table, columns in _TIMES.items():
            for column in columns:
                self._move(table, column, moved)
        for breaker in self.world.rows("SELECT channel, details FROM hannun.channel_breakers"):
            state = _earlier(msgspec.convert(breaker.details, State), seconds)
            self.world.rows(
                "UPDATE hannun.channel_breakers SET details = %s, since = since - %s WHERE channel = %s",
                Jsonb(msgspec.to_builtins(state)),
                moved,
                breaker.channel,
            )
        self.control.set_clock({"moveS": seconds})

    def make_due(self) -> None:
        """Make the next round due at once, as if the newest one had been an hour ago."""
        for table in ("rounds", "round_work"):
            self._move(table, "due_at", timedelta(hours=1))

    def _move(self, table: str, column: str, moved: timedelta) -> None:
        """Move a time into the past. In two steps: two rows must not have the same key in between."""
        for step in (moved + FAR, -FAR):
            self.world.rows(f"UPDATE hannun.{table} SET {column} = {column} - %s", step)

    # -- rounds

    @asynccontextmanager
    async def opened(self, **settings: Any) -> AsyncIterator[Refresh]:
        """The refresh as `hannun schedule` opens it."""
        names = {"DATABASE_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"}
        given = {
            name if name in names else name.removeprefix("HANNUN_").lower(): value
            for name, value in self.environment.items()
        }
        async with AsyncExitStack() as stack:
            chosen = Settings(**{"pool_wait_s": 5.0, **given, **self._settings, **settings})
            writing = stack.enter_context(open_writing(chosen, "hannun-test-schedule"))
            refresh: Refresh = await stack.enter_async_context(open_refresh(chosen, writing))
            refresh.check_interval_s = 0.05
            yield refresh

    def run(self, deadline_s: float = 60.0) -> dict[str, Counter[str]]:
        """Do the round that is due. Returns the counts of each channel, by its name."""

        async def run() -> None:
            async with self.opened() as refresh, asyncio.timeout(deadline_s):
                await refresh.run_once()

        asyncio.run(run())
        return self.counts()

    def next(self, deadline_s: float = 60.0) -> dict[str, Counter[str]]:
        """Let a period pass, and do the next round."""
        self.pass_time()
        return self.run(deadline_s)

    def newest(self) -> Row:
        """The newest round."""
        return self.world.rows("SELECT * FROM hannun.rounds ORDER BY due_at DESC LIMIT 1")[0]

    def counts(self) -> dict[str, Counter[str]]:
        """The counts of the newest round, by channel."""
        counts: dict[str, Counter[str]] = {}
        for piece in self.world.rows(
            "SELECT channel, result FROM hannun.round_work WHERE due_at = (SELECT max(due_at) FROM hannun.rounds) "
            "AND channel IS NOT NULL"
        ):
            counts.setdefault(piece.channel, Counter()).update(piece.result or {})
        names = {folded(name): name for name in CHANNELS}
        return {names.get(channel, channel): of_channel for channel, of_channel in counts.items()}

    # -- what is measured

    def totals(self, *, without: Collection[str] = ()) -> dict[tuple[str, str], dict[str, Any]]:
        """What is measured, by event and channel: the counts with a value, `measured_at` and `refused_reason`."""
        rows = self.world.rows(
            "SELECT e.event_id, c.name, m.* FROM hannun.channel_measurements m JOIN hannun.events e USING (event_no) "
            "JOIN hannun.channels c USING (channel_no)"
        )
        return {
            (row.event_id, row.name): {k: v for k, v in row.columns.items() if v is not None}
            for row in rows
            if row.name not in without
        }

    def calls(self, channel: str) -> int:
        """How many calls the sandbox has counted."""
        return int(self.control.state()["channels"][channel]["calls"])


def _earlier(state: State, seconds: float) -> State:
    """The breaker as it is when so much time has passed."""
    policy = Policy()
    slices = round(seconds / (policy.window_s / policy.slices))
    return replace(
        state,
        since_s=state.since_s - seconds,
        window=tuple(replace(each, number=each.number - slices) for each in state.window),
        trials=replace(state.trials, admitted_at_s=state.trials.admitted_at_s - seconds),
    )


@contextmanager
def open_rounds(world: World, folder: Path, shapes: Path | None = None, **settings: Any) -> Iterator[Rounds]:
    """Rounds over a sandbox that serves all channels over HTTP."""
    sandbox = Sandbox.of(load_all(shapes), Sources(Platform(7, FOUNDED)))
    with serving_in_thread(sandbox, listen(0)) as address:
        yield Rounds(world, folder, address, shapes, **settings)
