"""A snapshot of Redis over its protocol: whole, or an error, however the bytes arrive."""

import socket
import threading
from collections.abc import Sequence

import pytest
from cache_readers import plain_client
from hypothesis import given, settings
from hypothesis import strategies as st
from world import World

from hannun.cache import RedisAddress
from hannun.cache.rdb_stream import RdbReader, open_rdb
from hannun.errors import OperatorError, RedisUnavailable

MARK = b"m" * 39 + b"!"


class Peer:
    """A socket from which the reader receives these pieces, then the end of the connection."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The data in pieces, cut at these places."""
    ends = sorted({min(place, len(data)) for place in places})
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def read_all(pieces: Sequence[bytes]) -> bytes:
    reader = RdbReader(Peer(pieces))  # type: ignore[arg-type]
    reader.begin()
    found = b""
    while chunk := reader.read(7):
        found += chunk
    assert reader.read(7) == b"", "the end stays the end"
    assert reader.size_bytes == len(found)
    return found


snapshots = st.binary(min_size=1, max_size=300)
places = st.lists(st.integers(0, 400), max_size=12)


@given(snapshot=snapshots, where=places, idle=st.integers(0, 3))
def test_a_snapshot_arrives_whole_however_its_bytes_are_cut(snapshot: bytes, where: list[int], idle: int) -> None:
    before = b"\n" * idle
    assert read_all(cut(before + b"$%d\r\n%s" % (len(snapshot), snapshot), where)) == snapshot
    assert read_all(cut(before + b"$EOF:%s\r\n%s%s" % (MARK, snapshot, MARK), where)) == snapshot


@given(snapshot=snapshots, where=places, short=st.integers(1, 300))
@settings(max_examples=60)
def test_a_snapshot_that_is_cut_off_is_an_error(snapshot: bytes, where: list[int], short: int) -> None:
    for sent in (b"$%d\r\n%s" % (len(snapshot), snapshot), b"$EOF:%s\r\n%s%s" % (MARK, snapshot, MARK)):
        with pytest.raises(RedisUnavailable, match="before the end"):
            read_all(cut(sent[:-short], where))


def test_a_server_that_gives_no_snapshot_says_so_and_what_to_do(world: World) -> None:
    with plain_client(world) as client:
        client.execute_command("ACL", "SETUSER", "default", "-sync", "-psync")
        try:
            with pytest.raises(OperatorError, match="gives no snapshot: .*") as refused, open_rdb(world.redis):
                pass
            assert "managed" in refused.value.hint
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+sync", "+psync")


def test_a_wrong_password_and_an_absent_server_are_told_apart(world: World) -> None:
    wrong = RedisAddress(world.redis.host, world.redis.port, "wrong")
    with pytest.raises(OperatorError, match="refuses the password"), open_rdb(wrong):
        pass
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = RedisAddress("127.0.0.1", free.getsockname()[1])
        with pytest.raises(RedisUnavailable, match="cannot connect"), open_rdb(nobody):
            pass


def test_what_is_no_redis_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            with server.accept()[0] as client:
                client.sendall(b"x" * 10_000)

        threading.Thread(target=talk, daemon=True).start()
        with pytest.raises(RedisUnavailable), open_rdb(RedisAddress("127.0.0.1", server.getsockname()[1])):
            pass
