"""Which node of a Redis Cluster owns a key, and which one announces. Synchronous; safe to share by threads.

    CLUSTER SHARDS of any node that answers ─► the owner of each of the 16,384 slots
                                          └──► the announcing node: of those that are online, the one with the lowest id

Writers publish at the announcing node, and readers subscribe at it. So what is published before a reader's ping has
arrived before its answer, as with a single server; the cluster passes messages on to its other nodes some time later.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import redis
from redis.crc import key_slot

from hannun import deadlines
from hannun.cache import keys
from hannun.cache.address import RedisAddress
from hannun.errors import RedisUnavailable

SLOTS: Final = 16_384
REFRESH_S: Final = 1.0
"""How old a topology may be where a reader uses it."""
WRITERS_REFRESH_S: Final = 5.0
"""The same where a writer uses it: a node that a key has left says so by itself."""
READ_S_MAX: Final = 1.0
"""How long one node may take to tell it."""


class Node(NamedTuple):
    """A master of the cluster."""

    host: str
    port: int


class Topology(NamedTuple):
    """The owner of each slot, None where no master has it; and the masters that own slots, with their ids."""

    owners: Sequence[Node | None]
    masters: Mapping[Node, str]
    announcer: Node | None

    def owner(self, key: str) -> Node | None:
        return self.owners[key_slot(key.encode())]

    def write_check(self, node: Node) -> str | None:
        """A key that nobody ever sets, in a slot of this node; None where it owns none."""
        tried = (f"{keys.WRITE_CHECK}:{number}" for number in range(SLOTS))
        return next((key for key in tried if self.owner(key) == node), None)


NOTHING_KNOWN: Final = Topology((None,) * SLOTS, {}, None)


def is_routable(key: str) -> bool:
    """Whether an answer and its lease share a slot. With a brace in an id, the braces around the lease's key do not
    say so; such an answer is not cached."""
    return "{" not in key and "}" not in key


def topology_of(shards: Iterable[Any], asked: Node) -> Topology:
    """The reply to CLUSTER SHARDS of this node."""
    owners: list[Node | None] = [None] * SLOTS
    masters: dict[Node, str] = {}
    online: dict[str, Node] = {}
    for shard in map(_fields, shards):
        for found in map(_fields, shard[b"nodes"]):
            ranges = shard[b"slots"]
            if found[b"role"] != b"master" or not ranges:
                continue
            host = found.get(b"endpoint") or found.get(b"ip") or b""
            port = int(found.get(b"tls-port") or found[b"port"])
            node = Node(asked.host if host in (b"", b"?") else host.decode(), port)
            masters[node] = found[b"id"].decode()
            if found[b"health"] == b"online":
                online[masters[node]] = node
            for first, last in zip(ranges[::2], ranges[1::2], strict=True):
                owners[int(first) : int(last) + 1] = [node] * (int(last) - int(first) + 1)
    return Topology(owners, masters, online[min(online)] if online else None)


def _fields(reply: Any) -> dict[bytes, Any]:
    """A map of RESP3, which RESP2 sends as a list."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


class ClusterMap:
    """The topology as it was read last. `address` names any node."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._topology = NOTHING_KNOWN
        self._read_at = -REFRESH_S
        self._answered = Node(address.host, address.port)

    @property
    def known(self) -> Topology:
        """The topology, however old it is."""
        return self._topology

    def address_of(self, node: Node) -> RedisAddress:
        """Where a node is, as a server of its own."""
        return replace(self._address, host=node.host, port=node.port, cluster=False)

    def topology(self, age_s_max: float = REFRESH_S) -> Topology:
        """The topology, read again where it is older than so many seconds; the old one where no node answers."""
        with self._lock:
            if time.monotonic() - self._read_at > age_s_max:
                self._read()
                self._read_at = time.monotonic()
            return self._topology

    def needed(self) -> Topology:
        """The same as it is now.

        Raises:
            RedisUnavailable: no node has told it yet.
        """
        found = self.topology(0.0)
        if not found.masters:
            raise RedisUnavailable(
                f"no node of a Redis Cluster answers at {self._address.host}:{self._address.port}",
                hint="do REDIS_HOST and REDIS_PORT name a node, and does it run with cluster-enabled yes?",
            )
        return found

    def _read(self) -> None:
        seed = Node(self._address.host, self._address.port)
        for node in dict.fromkeys([self._answered, *self._topology.masters, seed]):
            with suppress(redis.RedisError, OSError), deadlines.within(READ_S_MAX):
                self._topology = topology_of(self._shards(node), node)
                self._answered = node
                return

    def _shards(self, node: Node) -> Any:
        address = self.address_of(node)
        options = address.options() | {"socket_timeout": min(address.timeout_s, READ_S_MAX)}
        del options["max_connections"]
        connection = address.connection(**options)
        try:
            connection.send_command("CLUSTER", "SHARDS")  # type: ignore[no-untyped-call]
            return connection.read_response()
        finally:
            connection.disconnect()  # type: ignore[no-untyped-call]


class _Closes(Protocol):
    def close(self) -> object: ...


C = TypeVar("C", bound=_Closes)


class NodeClients(Generic[C]):
    """A client for each node, made when it is needed. Safe to share by threads."""

    def __init__(self, map_: ClusterMap, new_client: Callable[[RedisAddress], C]) -> None:
        self.map = map_
        self._new_client = new_client
        self._clients: dict[Node, C] = {}
        self._lock = threading.Lock()

    def of(self, node: Node) -> C:
        with self._lock:
            if node not in self._clients:
                self._clients[node] = self._new_client(self.map.address_of(node))
            return self._clients[node]

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()


def by_owner(topology: Topology, keys_: Iterable[str]) -> Mapping[Node | None, list[str]]:
    """Keys by the node that owns them, in their order; those of None have no owner."""
    found: dict[Node | None, list[str]] = defaultdict(list)
    for key in keys_:
        found[topology.owner(key)].append(key)
    return found


def servers_of(address: RedisAddress) -> list[RedisAddress]:
    """The servers that hold keys: the masters of a cluster, or the one server.

    Raises:
        RedisUnavailable: no node of the cluster answers.
    """
    if not address.cluster:
        return [address]
    map_ = ClusterMap(address)
    return [map_.address_of(node) for node in map_.needed().masters]
