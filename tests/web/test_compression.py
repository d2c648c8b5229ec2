"""Responses are compressed as the client accepts, and hold the same bytes as without."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import sheets
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from served import Site, in_days
from world import OWNER, SPRING, World

from hannun.web import compression
from hannun.web.compression import BODY_BYTES_MIN, ENCODINGS, Encoding, PackedAnswers, accepted_encoding, pack

EVENT = f"/api/v1/events/{SPRING}/analytics"
MERCHANT = f"/api/v1/users/{OWNER}/analytics"
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().stream_reader(body).read(),
    "gzip": gzip.decompress,
}
AS_IT_IS = {"Accept-Encoding": "identity"}


@pytest.fixture
def counted(site: Site) -> Site:
    """An event with four weeks of participants: all of its answers are long enough to be compressed."""
    world = site.world
    world.count(
        world.created(totalInvestment=100_000),
        world.distributed(channelName="NAVER", distributionCost=3_000),
        *(world.registered(f"p{i}", at=f"2026-11-{1 + i % 20:02}T0{i % 10}:30:00Z") for i in range(60)),
    )
    return site


def raw(site: Site, path: str, encoding: str, **headers: str) -> tuple[Any, bytes]:
    """(response, its body as it was sent)."""
    with site.owner.stream("GET", path, headers={"Accept-Encoding": encoding, **headers}) as answer:
        return answer, b"".join(answer.iter_raw())


# -- which encoding


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),  # as browsers send it
        ("GZIP, Deflate", "gzip"),
        ("deflate, compress", None),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("br;q=0, zstd;q=0.3, gzip;q=0.2", "zstd"),
        ("*", "br"),
        ("*;q=0.5, br;q=0", "zstd"),
        ("*;q=0", None),
        ("identity;q=0.5, gzip;q=0.4", None),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("br;q=2, gzip;q=x", None),
        ("br;q=nan", None),
        (", ,;q=1", None),
        ("br," * 400, None),
    ],
)
def test_the_encoding_follows_the_weights_of_the_client(header: str | None, expected: str | None) -> None:
    assert accepted_encoding(header) == expected


@given(st.text(max_size=600))
def test_no_header_breaks_the_choice(header: str) -> None:
    assert accepted_encoding(header) in (None, *ENCODINGS)


# -- packing


@given(st.sampled_from(ENCODINGS), st.lists(st.binary(max_size=2_000), max_size=6))
def test_a_body_packed_whole_or_in_chunks_is_the_body_again(encoding: Encoding, chunks: list[bytes]) -> None:
    body = b"".join(chunks)
    assert UNPACK[encoding](pack(encoding, body)) == body
    assert pack(encoding, body) == pack(encoding, body)
    packer = compression._PACKERS[encoding]()
    packed = b"".join(packer.add(chunk, ends=False) for chunk in chunks) + packer.add(b"", ends=True)
    assert UNPACK[encoding](packed) == body


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_chunk_can_be_read_before_the_next_one_is_there(encoding: Encoding) -> None:
    reader: Any = {
        "br": lambda: brotli.Decompressor().process,
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
        "gzip": lambda: compression.zlib.decompressobj(31).decompress,
    }[encoding]()
    packer = compression._PACKERS[encoding]()
    for chunk in (b"first" * 100, b"second"):
        assert reader(packer.add(chunk, ends=False)) == chunk


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("12"), st.integers(0, 3_000))))
def test_remembered_bodies_stay_within_their_memory_and_are_those_of_the_newest_answer(
    answers: list[tuple[str, str, int]],
) -> None:
    remembered = PackedAnswers(bytes_max=2_000)

    async def remember() -> None:
        for key, etag, size in answers:
            body = etag.encode() * size
            packed = await remembered.pack(key, "gzip", etag, body)
            assert gzip.decompress(packed) == body
            assert remembered.get(key, "gzip", etag) in (packed, None)
            assert remembered.get(key, "gzip", "another") is remembered.get(key, "br", etag) is None
            assert remembered.bytes <= 2_000

    asyncio.run(remember())
    kept = len(remembered._bodies)
    assert kept <= 5
    assert (remembered.bytes == 0) == (kept == 0)


# -- responses


def test_every_long_answer_is_compressed_in_every_encoding(counted: Site) -> None:
    timeline = f"{EVENT}/timeline?granularity=hourly&startDate=2026-11-01&endDate=2026-11-22"
    paths = [
        *(EVENT, MERCHANT, f"{EVENT}/channels", f"{EVENT}/roi", timeline, f"{MERCHANT}/timeline?granularity=daily"),
        *(
            f"{timeline}&format=csv",
            f"{EVENT}?format=csv&table=figures",
            "/",
            "/static/app.js",
            "/openapi.json",
            "/metrics",
        ),
        f"/api/v1/nowhere/{'x' * BODY_BYTES_MIN}",
    ]
    for path in paths:
        counted.owner.get(path)
        plain, body = raw(counted, path, "identity")
        assert "content-encoding" not in plain.headers
        assert len(body) > BODY_BYTES_MIN, path
        for encoding in ENCODINGS:
            packed, sent = raw(counted, path, f"deflate, {encoding}")
            assert packed.headers["content-encoding"] == encoding, path
            assert (
                "accept-encoding" in packed.headers["vary"].lower() and plain.headers["vary"] == packed.headers["vary"]
            )
            if path != "/metrics":  # it counts this request
                assert UNPACK[encoding](sent) == body, path
            assert len(sent) < len(body)
            assert int(packed.headers.get("content-length", len(sent))) == len(sent)
            assert packed.status_code == plain.status_code
            head = counted.owner.head(path, headers={"Accept-Encoding": encoding})
            assert head.headers["content-encoding"] == encoding
            if path != "/metrics":
                assert head.headers.get("content-length") == packed.headers.get("content-length")
            for tag in [packed.headers["etag"]] if "etag" in plain.headers else []:
                assert tag == plain.headers["etag"] and tag.startswith("W/")
                for accepted in (encoding, "identity"):
                    unchanged, nothing = raw(counted, path, accepted, **{"If-None-Match": tag})
                    assert (unchanged.status_code, nothing, unchanged.headers["etag"]) == (304, b"", tag), path


def test_what_is_short_secret_or_packed_already_is_sent_as_it_is(
    counted: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, is_long in (
        ("/health/live", False),
        ("/api/v1/nowhere", False),
        (f"{EVENT}?format=xlsx", True),
        (f"{EVENT}?format=parquet", True),
    ):
        answer, body = raw(counted, path, "br, zstd, gzip")
        assert "content-encoding" not in answer.headers, path
        assert (len(body) > BODY_BYTES_MIN) == is_long, path
    monkeypatch.setattr(compression, "BODY_BYTES_MIN", 100)
    shares = f"/api/v1/events/{SPRING}/shares"
    share = counted.owner.post(shares, json={"until": in_days(7)}, headers={"Accept-Encoding": "br, gzip"})
    assert share.status_code == 201 and len(share.content) > 100
    assert "content-encoding" not in share.headers, "its length would tell something about the link's secret"
    assert raw(counted, shares, "br")[0].headers["content-encoding"] == "br"  # the list has no secrets


def test_the_response_to_many_messages_is_compressed(counted: Site) -> None:
    messages = [{"type": "participant-registered", "eventId": SPRING, "participantId": f"m{i}"} for i in range(200)]
    answer = counted.service.post("/api/v1/messages", json=messages, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["results"]) == 200


def test_a_live_stream_is_not_compressed(counted: Site) -> None:
    with counted.owner.stream(
        "GET", f"/api/v1/events/{SPRING}/live", headers={"Accept-Encoding": "br, gzip"}
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers
        assert next(stream.iter_raw()).startswith(b"retry:")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_file_of_many_chunks_is_compressed_while_it_is_made(counted: Site, encoding: Encoding) -> None:
    path = f"{EVENT}/timeline?granularity=minute&startDate=2026-11-01&endDate=2026-11-20&format=csv"
    answer, sent = raw(counted, path, encoding)
    assert "content-length" not in answer.headers
    body = UNPACK[encoding](sent)
    assert len(sent) < len(body) / 8
    assert body == raw(counted, path, "identity")[1]
    assert len(sheets.csv_rows(body)) == 19 * 1_440 + 1


# -- the fast path


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", [EVENT, MERCHANT])
def test_the_fast_path_sends_the_compressed_bytes_of_the_route(counted: Site, path: str, encoding: Encoding) -> None:
    for query in ("", "?tz=Asia/Seoul"):
        raw(counted, path + query, encoding)
    fast, sent = raw(counted, path, encoding)
    routed, sent_by_route = raw(counted, f"{path}?tz=Asia/Seoul", encoding)
    assert sent == sent_by_route
    assert dict(fast.headers) | {"date": ""} == dict(routed.headers) | {"date": ""}
    assert fast.headers["content-encoding"] == encoding


def test_a_cached_answer_is_packed_once_and_again_after_a_change(
    counted: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[int] = []

    def record(encoding: Encoding, body: bytes) -> bytes:
        packed.append(len(body))
        return pack(encoding, body)

    monkeypatch.setattr(compression, "pack", record)
    counted.owner.get(EVENT, headers=AS_IT_IS)
    for _ in range(20):
        assert raw(counted, EVENT, "gzip, br")[0].headers["content-encoding"] == "br"
    assert len(packed) == 1
    raw(counted, EVENT, "gzip")
    assert len(packed) == 2
    total = counted.owner.get(EVENT, headers=AS_IT_IS).json()["summary"]["totalParticipants"]
    counted.send(counted.world.registered("another"))
    for _ in range(3):  # by the route, which fills the cache, and then by the fast path
        changed = counted.owner.get(EVENT, headers={"Accept-Encoding": "br"}).json()
        assert changed["summary"]["totalParticipants"] == total + 1


def test_a_long_answer_is_packed_in_a_thread(world: World, counted: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    threads: dict[int, bool] = {}

    def record(encoding: Encoding, body: bytes) -> bytes:
        threads[len(body)] = threading.current_thread() is counted._http._thread
        return pack(encoding, body)

    monkeypatch.setattr(compression, "pack", record)
    raw(counted, f"{EVENT}/roi", "br")
    raw(counted, f"{EVENT}/timeline?granularity=hourly&startDate=2026-10-01&endDate=2026-11-22", "br")
    (short, is_loop), (long, is_loop_too) = sorted(threads.items())
    assert short <= compression.OFF_LOOP_BYTES < long
    assert is_loop and not is_loop_too
