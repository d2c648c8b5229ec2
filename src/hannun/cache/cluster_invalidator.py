"""Deletes answers from a Redis Cluster: every command has one key, and goes to the node that owns it.

    changes ─► keys by node ─► each node at the same time: DEL lease, DEL answer, ... ─► acknowledged by all?
                                  └► MOVED, ASK: once more, at the node that the reply names

The lease goes first: once it is gone, nothing that was read before the commit is filled, and what is read after it is
as true as the commit. So answer and lease need not share a command.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import redis

from hannun import deadlines
from hannun.cache import keys
from hannun.cache.address import RedisAddress
from hannun.cache.cluster import WRITERS_REFRESH_S, ClusterMap, Node, NodeClients, by_owner, is_routable
from hannun.cache.invalidator import Invalidator, Sender, add_announcements
from hannun.domain.batch import ChangedEvent
from hannun.errors import RedisUnavailable
from hannun.telemetry import metrics

NODES_AT_ONCE: Final = 16


class ClusterInvalidator(Invalidator):
    """Deletes the answers that a commit made false from the nodes that hold them. A node that is away delays only
    itself: what it has not acknowledged stays pending, and the others are up to date."""

    def __init__(self, address: RedisAddress) -> None:
        self._map = ClusterMap(address)
        self._senders = NodeClients(self._map, Sender)
        self._threads = ThreadPoolExecutor(NODES_AT_ONCE, thread_name_prefix="invalidate")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._senders.close()

    def check(self) -> None:
        if away := self._away():
            raise away[0]

    def check_usable(self) -> None:
        away = self._away()
        if len(away) == len(self._map.known.masters):
            raise away[0]

    def _away(self) -> list[RedisUnavailable]:
        """Why nodes do not answer. Raises OperatorError where one refuses deletions."""
        topology = self._map.needed()
        found = []
        for node in topology.masters:
            write_check = topology.write_check(node)
            try:
                self._senders.of(node).check(write_check or keys.WRITE_CHECK)
            except RedisUnavailable as error:
                found.append(error)
        return found

    def invalidate(self, events: Sequence[ChangedEvent], *, ignore_cooldown: bool = False) -> bool:
        """As `Invalidator.invalidate`; a cooldown is of one node."""
        topology = self._map.topology(WRITERS_REFRESH_S)
        invalidated = [key for event in events for key in keys.invalidated_by(event) if is_routable(key)]
        both = (each for key in invalidated for each in (keys.lease(key), key))
        sends = [partial(self._delete, node, some, ignore_cooldown) for node, some in by_owner(topology, both).items()]
        acknowledged = all([*self._threads.map(partial(_run_within, deadlines.remaining_s()), sends)])
        # After the deletions, as on one server: who hears of the change must not find the answer of before.
        announced = self._announce(topology.announcer, events, ignore_cooldown)
        metrics.invalidations.labels("paid" if acknowledged and announced else "owed").inc(len(events))
        return acknowledged and announced

    def _delete(self, node: Node | None, some: Sequence[str], ignore_cooldown: bool) -> bool:
        if node is None:
            return False
        replies = self._send(node, partial(_delete_each, some), ignore_cooldown)
        if replies is None:
            return False
        elsewhere = [
            (key, reply)
            for key, reply in zip(some, replies, strict=True)
            if isinstance(reply, redis.exceptions.AskError)
        ]
        if elsewhere:
            self._map.topology(0.0)
        return all(self._delete_elsewhere(key, reply) for key, reply in elsewhere)

    def _delete_elsewhere(self, key: str, reply: redis.exceptions.AskError) -> bool:
        """Delete a key at the node to which another one has sent us: it owns the slot, or will in a moment."""

        def add(pipe: redis.client.Pipeline) -> None:
            pipe.execute_command("ASKING")  # type: ignore[no-untyped-call]
            pipe.delete(key)

        replies = self._send(Node(reply.host, int(reply.port)), add, ignore_cooldown=True)
        return replies is not None and not any(isinstance(reply, Exception) for reply in replies)

    def _announce(self, node: Node | None, events: Sequence[ChangedEvent], ignore_cooldown: bool) -> bool:
        if node is None:
            return False
        if self._send(node, partial(add_announcements, events), ignore_cooldown) is not None:
            return True
        self._map.topology(0.0)  # another node announces from now on, if this one is away for long
        return False

    def _send(
        self, node: Node, add: Callable[[redis.client.Pipeline], object], ignore_cooldown: bool
    ) -> Sequence[object] | None:
        sender = self._senders.of(node)
        return sender.send(add) if sender.may_send(ignore_cooldown=ignore_cooldown) else None


def _delete_each(some: Sequence[str], pipe: redis.client.Pipeline) -> None:
    for key in some:
        pipe.delete(key)


def _run_within(left_s: float, send: Callable[[], bool]) -> bool:
    with deadlines.within(left_s):
        return send()
