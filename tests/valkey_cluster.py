"""A real cluster of three Valkey servers, without replicas. No tool of a cluster is needed."""

import itertools
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis
from polling import wait_for
from redis.crc import key_slot

from hannun.cache import RedisAddress
from hannun.cache.cluster import Node, topology_of
from hannun.embedded import ValkeyServer
from hannun.embedded.ports import find_free_port

HOST = "127.0.0.1"
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
"""After so long without an answer a node is failing for the others."""


class ValkeyCluster:
    """The nodes of a cluster, in the order of their slots."""

    def __init__(self, nodes: list[ValkeyServer], password: str) -> None:
        self.nodes = nodes
        self.password = password
        self.clients = [
            redis.Redis("127.0.0.1", node.port, password=password, protocol=3, socket_timeout=5) for node in nodes
        ]
        self.address = RedisAddress(nodes[0].host, nodes[0].port, password, cluster=True)

    def join(self) -> None:
        """Make the servers one cluster, each with a third of the slots."""
        size = SLOTS // len(self.nodes) + 1
        for number, client in enumerate(self.clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            last = min(SLOTS, (number + 1) * size) - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * size, last)
        for other in self.nodes[1:]:
            bus = redis.Redis("127.0.0.1", other.port, password=self.password).config_get("cluster-port")
            self.clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus["cluster-port"])
        wait_for("the nodes to be a cluster", lambda: all(map(self._is_whole, self.clients)))

    def _is_whole(self, client: redis.Redis) -> bool:
        info = client.execute_command("CLUSTER INFO")
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(self.nodes)

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def owner_of(self, key: str) -> int:
        """The number of the node that has a key's slot, as the living nodes say."""
        for client in self.clients:
            with suppress(redis.ConnectionError):
                owners = topology_of(client.execute_command("CLUSTER SHARDS"), Node(HOST, 0)).owners
                owner = owners[key_slot(key.encode())]
                return next(number for number, node in enumerate(self.nodes) if owner == (HOST, node.port))
        raise AssertionError("no node answers")

    def a_key(self, number: int, key: Callable[[str], str]) -> str:
        """An id whose key is on this node."""
        ids = (str(uuid.UUID(int=n)) for n in itertools.count(1))
        return next(id_ for id_ in ids if self.owner_of(key(id_)) == number)

    def begin_move(self, key: str, to: int) -> None:
        """Let the slot of a key be on its way to another node. No key moves yet."""
        slot, from_ = key_slot(key.encode()), self.owner_of(key)
        self.clients[to].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(from_))
        self.clients[from_].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(to))

    def move_keys(self, key: str, to: int) -> None:
        """Move all keys of the slot that is on its way."""
        slot, from_ = key_slot(key.encode()), self.owner_of(key)
        found = self.clients[from_].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1_000)
        if found:
            port = self.nodes[to].port
            self.clients[from_].execute_command(
                "MIGRATE", HOST, port, "", 0, 5_000, "AUTH", self.password, "KEYS", *found
            )

    def end_move(self, key: str, to: int) -> None:
        """Give the slot to the other node, and wait until all nodes say so."""
        slot = key_slot(key.encode())
        for number in (to, *(n for n in range(len(self.nodes)) if n != to)):
            self.clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", self._id(to))
        wait_for("the slot to be moved", lambda: self.owner_of(key) == to)

    def move(self, key: str, to: int) -> None:
        """Move the slot of a key, with its keys."""
        self.begin_move(key, to)
        self.move_keys(key, to)
        self.end_move(key, to)

    def _id(self, number: int) -> str:
        return str(self.clients[number].execute_command("CLUSTER", "MYID").decode())


@contextmanager
def valkey_cluster(home: Path, nodes: int = 3) -> Iterator[ValkeyCluster]:
    """A cluster in a folder, running until the block ends."""
    password = secrets.token_hex(12)
    with ExitStack() as stack:
        servers = []
        for number in range(nodes):
            folder = home / f"node-{number}"
            folder.mkdir(parents=True)
            (folder / "valkey.password").write_text(password)
            settings = {
                "cluster-enabled": "yes",
                "cluster-port": str(find_free_port()),
                "cluster-node-timeout": str(NODE_TIMEOUT_MS),
                "cluster-require-full-coverage": "no",
                "primaryauth": password,
            }
            servers.append(stack.enter_context(ValkeyServer(folder, settings=settings)))
        cluster = ValkeyCluster(servers, password)
        stack.callback(cluster.close)
        cluster.join()
        yield cluster
