"""Bodies that are packed by gzip or zstd: taken up to their unpacked limit, at little cost whatever they unpack to."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Site, as_json
from world import SPRING

from hannun.errors import BadRequest
from hannun.web.body_encodings import MEMBERS_MAX, unpack

quick = settings(derandomize=True, deadline=None, max_examples=60, database=None)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
ENCODINGS = sorted(PACK)
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
"""A zstd frame that holds nothing of the body."""


def post(site: Site, body: bytes, *encodings: str, path: str = "messages", **headers: str) -> Any:
    sent = [("Content-Type", "application/json"), *(("Content-Encoding", each) for each in encodings)]
    return site.service.post(f"/api/v1/{path}", content=body, headers=[*sent, *headers.items()])


def registered(site: Site, *participants: str) -> bytes:
    return json.dumps([as_json(site.world.registered(each)) for each in participants]).encode()


# -- what is taken


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_packed_body_is_counted_like_the_same_body(site: Site, encoding: str) -> None:
    for name, header in (
        ("p1", [encoding]),
        ("p2", [encoding.upper()]),
        ("p3", ["identity", f"{encoding} ,  identity"]),
    ):
        answer = post(site, PACK[encoding](registered(site, name)), *header)
        assert (answer.status_code, answer.json()["counted"]) == (200, 1), header
    assert site.world.event_row().participants == 3
    assert post(site, registered(site, "p1"), "identity").json()["repeated"] == 1
    assert post(site, registered(site, "p1"), "").json()["repeated"] == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_sign_ins_and_share_links_take_packed_bodies(site: Site, encoding: str) -> None:
    site.world.count(site.world.created())
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    wanted = PACK[encoding](json.dumps({"until": until}).encode())
    shared = site.owner.post(f"/api/v1/events/{SPRING}/shares", content=wanted, headers=headers)
    assert shared.status_code == 201, shared.text
    secret = shared.json()["address"].partition("#share=")[2]
    opened = PACK[encoding](json.dumps({"share": secret}).encode())
    assert site.client({}).post(f"/api/v1/events/{SPRING}/session", content=opened, headers=headers).status_code == 204
    signed_in = PACK[encoding](json.dumps({"token": site.token("a-merchant")}).encode())
    assert site.client({}).post("/api/v1/session", content=signed_in, headers=headers).status_code == 204


@quick
@given(st.lists(st.binary(max_size=2_000), max_size=5), st.sampled_from(ENCODINGS))
def test_a_body_of_several_members_is_all_of_them(parts: list[bytes], encoding: str) -> None:
    packed = b"".join(PACK[encoding](part) for part in parts)
    whole = b"".join(parts)
    assert unpack(packed, encoding, len(whole)) == whole
    if whole:
        assert unpack(packed, encoding, len(whole) - 1) is None


def test_a_zstd_frame_that_is_skipped_is_no_part_of_the_body() -> None:
    assert unpack(SKIPPABLE + PACK["zstd"](b"body") + SKIPPABLE, "zstd", 10) == b"body"


# -- what is refused


@pytest.mark.parametrize(
    "encodings", [["br"], ["deflate"], ["gzip, gzip"], ["gzip", "zstd"], ["gzip", "br"], ["*"], ["gzip;q=1"]]
)
def test_another_encoding_or_more_than_one_is_refused_with_those_that_are_accepted(
    site: Site, encodings: list[str]
) -> None:
    answer = post(site, PACK["gzip"](registered(site, "p")), *encodings)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-encoding")
    assert answer.headers["accept-encoding"] == "gzip, zstd"
    assert site.world.rows("SELECT FROM hannun.participants") == []


def broken(packed: bytes, encoding: str) -> dict[str, bytes]:
    return {
        "cut off": packed[:-1],
        "cut off early": packed[:6],
        "followed by something": packed + b"something",
        "not packed": b'{"eventId": "e"}',
        "of the other encoding": PACK["gzip" if encoding == "zstd" else "zstd"](b"{}"),
        "changed": packed[:-5] + bytes([packed[-5] ^ 255]) + packed[-4:],
    }


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_broken_stream_is_refused(site: Site, encoding: str) -> None:
    packed = zstandard.ZstdCompressor(write_checksum=True).compress if encoding == "zstd" else gzip.compress
    for what, body in broken(packed(registered(site, *"abcdefgh")), encoding).items():
        answer = post(site, body, encoding)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-encoding"), what
    assert site.world.rows("SELECT FROM hannun.participants") == []


@quick
@given(st.binary(max_size=200), st.sampled_from(ENCODINGS))
def test_any_bytes_are_unpacked_or_refused(packed: bytes, encoding: str) -> None:
    try:
        body = unpack(packed, encoding, 1_000)
    except BadRequest:
        return
    assert body is None or len(body) <= 1_000


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_too_many_members_are_refused(encoding: str) -> None:
    nothing = PACK[encoding](b"")
    assert unpack(nothing * MEMBERS_MAX, encoding, 10) == b""
    with pytest.raises(BadRequest):
        unpack(nothing * (MEMBERS_MAX + 1), encoding, 10)


def test_a_zstd_frame_that_needs_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = stream.compress(b"x" * 100) + stream.flush()
    with pytest.raises(BadRequest):
        unpack(packed, "zstd", 1_000)


# -- what it costs


def gigabyte_of_zeros(encoding: str) -> bytes:
    """A packed gigabyte, without the end of the stream, which a service must never reach."""
    megabyte = bytes(2**20)
    if encoding == "gzip":
        stream = zlib.compressobj(9, wbits=31)
        head = stream.compress(megabyte) + stream.flush(zlib.Z_FULL_FLUSH)
        # After a full flush, the same megabyte is always the same bytes.
        return head + (stream.compress(megabyte) + stream.flush(zlib.Z_FULL_FLUSH)) * 1_023
    compressor = zstandard.ZstdCompressor().compressobj()
    return b"".join([*(compressor.compress(megabyte) for _ in range(1_024)), compressor.flush()])


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_gigabyte_of_zeros_costs_no_more_than_its_limit(site: Site, encoding: str) -> None:
    bomb = gigabyte_of_zeros(encoding)
    assert len(bomb) < site.services.body_bytes_max + 65_536
    answer = post(site, bomb, encoding)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    tracemalloc.start()
    try:
        assert unpack(bomb, encoding, 2**20) is None
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * 2**20


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_of_nothing_ends_at_its_packed_limit(site: Site, encoding: str) -> None:
    """Packed bytes that unpack to nothing count too, or a body without end would never reach its limit."""
    nothing = SKIPPABLE if encoding == "zstd" else gzip.compress(b"")
    times = (site.services.body_bytes_max + 70_000) // len(nothing)
    answer = post(site, nothing * times, encoding)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_limit_holds_for_the_unpacked_size(site: Site, encoding: str) -> None:
    limit = site.services.body_bytes_max
    body = b"[" + b" " * (limit - 2) + b"]"
    assert post(site, PACK[encoding](body), encoding).status_code == 200
    assert post(site, PACK[encoding](body + b" "), encoding).status_code == 413
