"""What Redis reports about itself: memory, look-ups, evictions, and its slow log. It reads only."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import redis

from hannun import deadlines
from hannun.cache import keys
from hannun.cache.address import RedisAddress
from hannun.cache.cluster import ClusterMap, NodeClients, Topology
from hannun.cache.failures import translated
from hannun.domain.lookups import LookupCounts
from hannun.errors import RedisUnavailable, reason_of

COMMAND_CHARACTERS_MAX = 60
LOOKUPS_RECORDED = 90
"""One a minute, for the last hour and a half."""
CONSISTENCY_KEPT_S = 300
"""A share that nobody has renewed for so long is not shown: no `schedule` compares."""


class ServerStatistics(NamedTuple):
    """Figures of the server since it started. `max_bytes` is 0 where it has no limit."""

    used_bytes: int
    max_bytes: int
    keys: int
    clients: int
    commands_a_second: int
    hits: int
    misses: int
    evicted_keys: int
    expired_keys: int
    evicts: bool = True

    @property
    def hit_ratio(self) -> float | None:
        """The share of key look-ups that found a key; None before the first."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None


class SlowCommand(NamedTuple):
    """An entry of the slow log. Of the command only its name and the number of its arguments are kept."""

    age_s: float
    microseconds: int
    command: str


class ServerInspector:
    """Reads figures of a Redis server on a connection of its own. For one thread."""

    def __init__(self, address: RedisAddress) -> None:
        self._client = redis.Redis.from_pool(
            redis.ConnectionPool(connection_class=address.connection, **address.options())
        )
        self._timeout_s = address.timeout_s

    def close(self) -> None:
        self._client.close()

    def check(self) -> None:
        """Ping the server. Raises as `translated`."""
        where = self._client.connection_pool.connection_kwargs
        with translated(where["host"], where["port"]), deadlines.within(self._timeout_s):
            self._client.ping()

    def clock(self) -> datetime:
        """The server's clock.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        seconds, microseconds = self._execute("TIME")
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    def statistics(self) -> ServerStatistics:
        """The figures now.

        Raises:
            RedisUnavailable: Redis does not answer, or refuses INFO.
        """
        info = self._execute("INFO")
        keys = sum(int(value["keys"]) for name, value in info.items() if name.startswith("db") and "keys" in value)
        return ServerStatistics(
            used_bytes=int(info.get("used_memory", 0)),
            max_bytes=int(info.get("maxmemory", 0)),
            keys=keys,
            clients=int(info.get("connected_clients", 0)),
            commands_a_second=int(info.get("instantaneous_ops_per_sec", 0)),
            hits=int(info.get("keyspace_hits", 0)),
            misses=int(info.get("keyspace_misses", 0)),
            evicted_keys=int(info.get("evicted_keys", 0)),
            expired_keys=int(info.get("expired_keys", 0)),
            evicts=info.get("maxmemory_policy") != "noeviction",
        )

    def count_lookups(self) -> LookupCounts:
        """What the server has counted of look-ups since it started. Raises as `statistics`."""
        info = self._execute("INFO", "everything")
        return LookupCounts(
            at_s=time.time(),
            run=str(info.get("run_id", "")),
            hits=int(info.get("keyspace_hits", 0)),
            misses=int(info.get("keyspace_misses", 0)),
            evicted=int(info.get("evicted_keys", 0)),
            expired=int(info.get("expired_keys", 0)),
            invalidations=int(info.get("cmdstat_del", {}).get("calls", 0)),
        )

    def started_at_s(self) -> float:
        """When the server started, in seconds since 1970. Raises as `statistics`."""
        return time.time() - float(self._execute("INFO", "server").get("uptime_in_seconds", 0))

    def record_lookups(self) -> None:
        """Add the counts of now to those that `recorded_lookups` returns. Raises as `statistics`."""
        self._execute("LPUSH", keys.LOOKUPS, msgspec.json.encode(self.count_lookups()))
        self._execute("LTRIM", keys.LOOKUPS, 0, LOOKUPS_RECORDED - 1)

    def recorded_lookups(self) -> list[LookupCounts]:
        """The recorded counts, newest first. Raises as `statistics`."""
        recorded = self._execute("LRANGE", keys.LOOKUPS, 0, LOOKUPS_RECORDED - 1)
        return [counts for counts in map(_decoded, recorded) if counts is not None]

    def record_consistency(self, shares: Mapping[float, float]) -> None:
        """Store what `recorded_consistency` returns. Raises as `statistics`."""
        self._execute("SET", keys.CONSISTENCY, msgspec.json.encode(shares), "EX", CONSISTENCY_KEPT_S)

    def recorded_consistency(self) -> Mapping[float, float]:
        """The share of cached answers that equal the database, by the seconds after an invalidation, as a `schedule`
        has compared them; empty where none does. Raises as `statistics`.
        """
        recorded = self._execute("GET", keys.CONSISTENCY)
        try:
            return {} if recorded is None else msgspec.json.decode(recorded, type=dict[float, float], strict=False)
        except msgspec.DecodeError:  # another version has written it otherwise
            return {}

    def slow_commands(self, limit: int) -> Sequence[SlowCommand]:
        """The newest entries of the slow log, newest first.

        Raises:
            RedisUnavailable: Redis does not answer, or refuses SLOWLOG, as managed servers may.
        """
        now = time.time()
        return [
            SlowCommand(max(now - entry["start_time"], 0.0), int(entry["duration"]), _command_shape(entry["command"]))
            for entry in self._execute("SLOWLOG GET", limit)
        ]

    def _execute(self, *command: Any) -> Any:
        try:
            with deadlines.within(self._timeout_s):
                return self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (redis.RedisError, OSError) as error:
            raise RedisUnavailable(
                f"Redis does not answer {command[0]}: {reason_of(error)}",
                hint="is it running, and may this login use the command?",
            ) from error


class ClusterInspector(ServerInspector):
    """Reads figures of all nodes of a Redis Cluster: sums, and of a clock or a start those of the newest."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        self._nodes = NodeClients(ClusterMap(address), ServerInspector)

    def close(self) -> None:
        self._nodes.close()
        super().close()

    def check(self) -> None:
        for node in self._all():
            node.check()

    def clock(self) -> datetime:
        return self._all()[0].clock()

    def statistics(self) -> ServerStatistics:
        found = [node.statistics() for node in self._all()]
        sums: dict[str, Any] = {name: sum(getattr(each, name) for each in found) for name in ServerStatistics._fields}
        return ServerStatistics(**sums | {"evicts": all(each.evicts for each in found)})

    def count_lookups(self) -> LookupCounts:
        found = [node.count_lookups() for node in self._all()]
        counts = [sum(figures) for figures in zip(*(each[2:] for each in found), strict=True)]
        return LookupCounts(time.time(), " ".join(sorted(each.run for each in found)), *counts)

    def started_at_s(self) -> float:
        return max(node.started_at_s() for node in self._all())

    def slow_commands(self, limit: int) -> Sequence[SlowCommand]:
        found = [slow for node in self._all() for slow in node.slow_commands(limit)]
        return sorted(found, key=lambda slow: slow.age_s)[:limit]

    def _all(self) -> list[ServerInspector]:
        return [self._nodes.of(node) for node in self._topology().masters]

    def _execute(self, *command: Any) -> Any:
        """The reply of the node that owns the command's key."""
        owner = self._topology().owner(command[1])
        if owner is None:
            raise RedisUnavailable(f"no node of the Redis Cluster has the slot of {command[1]}")
        return self._nodes.of(owner)._execute(*command)

    def _topology(self) -> Topology:
        found = self._nodes.map.topology()
        return found if found.masters else self._nodes.map.needed()


def _decoded(recorded: bytes) -> LookupCounts | None:
    """Counts as they were recorded; None where another version has written them otherwise."""
    try:
        return msgspec.json.decode(recorded, type=LookupCounts)
    except msgspec.DecodeError:
        return None


def _command_shape(command: bytes | str) -> str:
    """The name of a command and how many arguments it had: arguments hold keys and answers."""
    words = (command.decode("utf-8", "replace") if isinstance(command, bytes) else command).split(" ")
    shown = words[0][:COMMAND_CHARACTERS_MAX]
    return f"{shown} with {len(words) - 1} arguments" if len(words) > 1 else shown
