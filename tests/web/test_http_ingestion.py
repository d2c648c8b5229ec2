"""HTTP ingestion: which bodies are accepted, which are refused, and what the response says."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from served import Site, as_json
from world import OWNER, SPRING

from hannun.flows.amounts import convert
from hannun.key_ring import add_key, open_key_ring
from hannun.store.amount_sweep import Operation
from hannun.store.amounts import Amounts
from hannun.store.database import Database, PoolLimits, connect

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


def post(site: Site, body: bytes | str, headers: dict[str, str] = JSON) -> Any:
    """POST a body. Returns the response."""
    return site.service.post("/api/v1/messages", content=body, headers=headers)


def numbered(site: Site, *messages: Any) -> list[Any]:
    """Messages as JSON objects with numbered message ids."""
    return [{**as_json(message), "messageId": f"m{i}"} for i, message in enumerate(messages)]


def counts(answer: Any) -> tuple[int, int, int]:
    result = answer.json()
    return result["counted"], result["repeated"], result["deadLettered"]


def participants(site: Site) -> int | None:
    event = site.world.event_stats()
    return event.total_participants if event else None


def test_an_object_an_array_and_ndjson_carry_the_same_messages(site: Site) -> None:
    world = site.world
    created, *registered = numbered(site, world.created(), *(world.registered(f"p{i}") for i in range(4)))
    assert counts(post(site, json.dumps(created))) == (1, 0, 0)
    assert counts(post(site, json.dumps(registered[:2]))) == (2, 0, 0)
    lines = "\r\n\n".join(json.dumps(message) for message in registered[2:])
    assert counts(post(site, lines, NDJSON)) == (2, 0, 0)
    assert counts(post(site, lines + "\n", {"Content-Type": "application/x-ndjson; charset=utf-8"})) == (0, 2, 0)
    assert counts(post(site, f" \r\n\t{json.dumps(registered)} \n")) == (0, 4, 0)
    assert participants(site) == 4
    assert world.drift() == []


def test_epoch_milliseconds_and_arrays_are_counted_where_the_operator_allows_them(
    site_with: Callable[..., Site],
) -> None:
    site = site_with(times_are="epoch-milliseconds, arrays", naive_times_are="Asia/Seoul")
    created, first, second = numbered(
        site, site.world.created(), site.world.registered("p1"), site.world.registered("p2")
    )
    created["createdAt"], first["registeredAt"], second["registeredAt"] = (
        1_793_491_200_000,
        1_795_136_400_000,
        [2026, 11, 20, 10, 1],
    )
    assert counts(post(site, json.dumps([created, first, second]))) == (3, 0, 0)
    assert [row.timestamp.isoformat() for row in site.world.timeline()] == [
        "2026-11-20T01:00:00",
        "2026-11-20T01:01:00",
    ]


def test_ndjson_is_recognized_under_any_content_type(site: Site) -> None:
    """`curl --data-binary @messages.ndjson` sends the content type of a form by default."""
    created, *registered = numbered(site, site.world.created(), *(site.world.registered(f"p{i}") for i in range(3)))
    lines = "\n".join([*(json.dumps(message) for message in [created, *registered]), "{not json"])
    assert counts(post(site, lines, {"Content-Type": "application/x-www-form-urlencoded"})) == (4, 0, 1)
    assert counts(post(site, lines, JSON)) == (0, 4, 1)


def test_a_byte_order_mark_before_a_body_or_a_line_is_ignored(site: Site) -> None:
    created, *registered = numbered(site, site.world.created(), *(site.world.registered(f"p{i}") for i in range(4)))
    mark = "\ufeff"
    assert counts(post(site, mark + json.dumps(created))) == (1, 0, 0)
    assert counts(post(site, f"{mark}\r\n{json.dumps(registered[:1])}")) == (1, 0, 0)
    joined_files = f"{mark}{json.dumps(registered[1])}\r\n{mark}\r\n{mark}{json.dumps(registered[2])}\n"
    assert counts(post(site, joined_files, NDJSON)) == (2, 0, 0)
    assert counts(post(site, f"{joined_files}{mark} {json.dumps(registered[3])}", JSON)) == (1, 2, 0)
    assert post(site, mark).json()["code"] == "not-json"
    assert participants(site) == 4
    assert site.world.dead_letters() == []


def test_results_have_the_order_and_ids_of_the_messages(site: Site) -> None:
    world = site.world
    messages = numbered(
        site,
        world.registered("p1"),
        world.created(),
        world.registered("p2", at="2010-01-01T00:00:00Z"),
        world.registered("p1", channel="NAVER"),
        world.sold(5, "s1"),
        world.sold(7, "s1"),
    )
    del messages[3]["messageId"]
    messages.append({"type": "unheard-of", "messageId": "m6"})
    answer = post(site, json.dumps(messages)).json()
    assert answer == {
        "counted": 3,
        "repeated": 2,
        "deadLettered": 2,
        "results": [
            {"messageId": "m0", "result": "counted"},
            {"messageId": "m1", "result": "counted"},
            {"messageId": "m2", "result": "dead-letter", "reason": "too-early-or-too-far-ahead"},
            {"messageId": None, "result": "repeated"},
            {"messageId": "m4", "result": "counted"},
            {"messageId": "m5", "result": "repeated"},
            {"messageId": "m6", "result": "dead-letter", "reason": "unknown-type"},
        ],
    }
    assert world.drift() == []


def test_a_message_reported_as_counted_is_committed(site: Site) -> None:
    world = site.world
    for i, message in enumerate([world.created(), *(world.registered(f"p{i}") for i in range(5))]):
        assert counts(post(site, json.dumps(as_json(message)))) == (1, 0, 0)
        assert participants(site) == i
        assert site.owner.get(f"/api/v1/events/{SPRING}/analytics").json()["summary"]["totalParticipants"] == i


def test_sending_the_same_body_again_changes_nothing(site: Site) -> None:
    world = site.world
    messages = numbered(
        site,
        world.created(totalInvestment=100),
        world.distributed(channelName="NAVER", distributionCost=3),
        world.registered("p1", channel="NAVER"),
        world.sold(9, "s1"),
        world.status_changed("ENDED", "2026-11-19T00:00:00Z"),
        {"type": "?"} and world.registered("p2", at="not a time"),
    )
    first = post(site, json.dumps(messages))
    assert counts(first) == (5, 0, 1)
    before = site.owner.get(f"/api/v1/events/{SPRING}/analytics").content
    again = post(site, json.dumps(messages))
    assert counts(again) == (0, 5, 1)
    assert len(world.dead_letters()) == 1
    assert site.owner.get(f"/api/v1/events/{SPRING}/analytics").content == before
    assert world.drift() == []


def test_a_malformed_line_becomes_a_dead_letter(site: Site) -> None:
    world = site.world
    good = [
        json.dumps(as_json(message)) for message in (world.created(), world.registered("p1"), world.registered("p2"))
    ]
    lines = [good[0], "{not json", good[1], "[1, 2]", '"text"', "\udcff".encode("utf-8", "surrogateescape"), good[2]]
    raw = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    answer = post(site, raw, NDJSON).json()
    assert [result["result"] for result in answer["results"]] == [
        "counted", "dead-letter", "counted", "dead-letter", "dead-letter", "dead-letter", "counted"
    ]  # fmt: skip
    assert participants(site) == 2
    assert world.drift() == []


def test_a_body_that_is_not_json_is_refused_and_nothing_of_it_counted(site: Site) -> None:
    good = json.dumps(as_json(site.world.created()))
    for bad in (
        "",
        "   ",
        "true",
        "7",
        '"text"',
        "{",
        "[",
        f"[{good}",
        f"[{good},]",
        f"{good}{good}",
    ):
        answer = post(site, bad)
        assert (answer.status_code, answer.json()["code"]) == (400, "not-json"), bad
    assert post(site, b'{"type": "\xff"}').status_code in (200, 400)  # a dead letter or a refusal, never a server error
    assert participants(site) is None


def test_an_empty_body_is_accepted(site: Site) -> None:
    for nothing, headers in (("[]", JSON), ("", NDJSON), ("\n \n", NDJSON)):
        answer = post(site, nothing, headers)
        assert answer.json() == {"counted": 0, "repeated": 0, "deadLettered": 0, "results": []}


def test_a_body_above_a_limit_is_refused_as_a_whole(site_with: Callable[..., Site]) -> None:
    site = site_with(body_bytes_max=2_000, body_messages_max=3)
    world = site.world
    assert counts(
        post(site, json.dumps(numbered(site, world.created(), world.registered("p1"), world.registered("p2"))))
    ) == (
        3,
        0,
        0,
    )
    many = numbered(site, *(world.registered(f"q{i}") for i in range(4)))
    for text, headers in (
        (json.dumps(many), JSON),
        ("\n".join(json.dumps(message) for message in many), NDJSON),
    ):
        answer = post(site, text, headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-many-messages")
    large = json.dumps(as_json(world.registered("q0"))).ljust(2_001)
    for content in (
        large.encode(),
        iter([large[:1_000].encode(), large[1_000:].encode()]),
    ):  # the second one without Content-Length
        answer = site.service.post("/api/v1/messages", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert counts(post(site, large[:2_000])) == (1, 0, 0)
    assert participants(site) == 3


def test_an_item_nested_too_deeply_does_not_affect_the_other_items(site: Site) -> None:
    world = site.world
    created, *good = (json.dumps(as_json(message)) for message in (world.created(), *map(world.registered, "abc")))
    for depth in (101, 2_000, 100_000):
        deep = '{"type":"sales-recorded","x":' + '[{"y":' * depth + "1" + "}]" * depth + "}"
        tricky = '{"type":"]}[{\\"","x":"' + "\\\\" + '"}'
        answer = post(site, f"[{created},{good[0]},{deep},{tricky} ,{good[1]},{good[2]}]")
        assert answer.status_code == 200, answer.text[:200]
        results = [result["result"] for result in answer.json()["results"]]
        assert [results[i] for i in (2, 3)] == ["dead-letter"] * 2
        assert "dead-letter" not in (results[0], results[1], results[4], results[5])
        assert counts(post(site, deep)) == (0, 0, 1)
    assert participants(site) == 3
    for broken in ("[" * 50_000, "[" * 50_000 + "]" * 49_999, "[" + "[" * 50_000 + "]" * 50_000 + "] []"):
        assert post(site, broken).status_code == 400
    assert world.drift() == []


def test_a_lone_surrogate_does_not_affect_the_other_items(site: Site) -> None:
    """json.dumps and JSON.stringify produce one for a text that was cut inside an emoji."""
    good = numbered(site, site.world.created(), site.world.registered("p1"))
    for where in ("note", "participantId"):
        half = json.dumps({**as_json(site.world.registered("p2")), where: "cut \ud83d"})
        answer = post(site, f"[{json.dumps(good[0])}, {half}, {json.dumps(good[1])}]")
        assert answer.status_code == 200
        results = [(result["result"], result.get("reason")) for result in answer.json()["results"]]
        assert results[1] == ("dead-letter", "bad-utf8-or-nul")
        assert post(site, half).json()["deadLettered"] == 1
    assert participants(site) == 1
    assert len(site.world.dead_letters()) == 2


def test_text_in_any_script_is_returned_unchanged(site: Site) -> None:
    world = site.world
    title = '할인 🎉 \u2028 “Ünïcödé” \\ " </script> \u202e'
    post(
        site,
        json.dumps(
            numbered(site, world.created(eventTitle=title), world.registered("참여자-1", channel="네이버블로그"))
        ),
    )
    post(
        site,
        json.dumps([as_json(world.registered("참여자-1")), as_json(world.registered("한" * 64))], ensure_ascii=False),
    )
    answer = site.owner.get(f"/api/v1/events/{SPRING}/analytics").json()
    assert answer["eventTitle"] == title
    assert answer["summary"]["totalParticipants"] == 2
    assert [channel["channelName"] for channel in answer["channelPerformance"]] == ["NaverBlog"]


def test_eight_senders_of_the_same_participants_count_each_once(site: Site) -> None:
    world = site.world
    post(site, json.dumps(as_json(world.created())))
    people = [as_json(world.registered(f"p{i}", channel="NAVER" if i % 2 else "WooriTV")) for i in range(60)]

    def send(sender: int) -> int:
        """Sends sixty participants in overlapping parts, in an order of the sender's own. Returns how many counted."""
        client = site.signed_in(f"sender-{sender}", "SERVICE")
        counted = 0
        for start in range(0, 60, 15):
            first = (start + sender * 7) % 60
            piece = (people + people)[first : first + 25]
            answer = client.post("/api/v1/messages", json=piece[::-1] if sender % 2 else piece)
            assert answer.status_code == 200, answer.text
            counted += answer.json()["counted"]
        return counted

    with ThreadPoolExecutor(8) as pool:
        counted = sum(pool.map(send, range(8)))
    assert counted == participants(site) == 60
    assert sum(channel.participants for channel in world.channel_stats().values()) == 60
    assert world.drift() == []


def test_while_postgresql_is_unavailable_messages_get_503_with_retry_after(site: Site) -> None:
    world = site.world
    site.send(world.created())
    with connect(world.postgres.superuser_url, application="test") as conn:
        conn.autocommit = True
        conn.execute(f"ALTER DATABASE {world.name} ALLOW_CONNECTIONS false")
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [world.name])
        refused = post(site, json.dumps(as_json(world.registered("p1"))))
        assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
        assert refused.headers["retry-after"] == "1"
        assert world.name not in refused.text
        conn.execute(f"ALTER DATABASE {world.name} ALLOW_CONNECTIONS true")
    answer = world.wait_for(
        "PostgreSQL to be available", lambda: _taken(post(site, json.dumps(as_json(world.registered("p1")))))
    )
    assert sum(counts(answer)) == 1
    assert participants(site) == 1


def _taken(answer: Any) -> Any:
    return answer if answer.status_code == 200 else None


def test_a_merchants_dashboard_includes_what_was_sent(site: Site) -> None:
    site.send(site.world.created(), site.world.registered("p1"), site.world.registered("p2"))
    answer = site.owner.get(f"/api/v1/users/{OWNER}/analytics").json()
    assert [event["totalParticipants"] for event in answer["events"]] == [2]


def assert_keys_missing(refused: Any) -> None:
    assert (refused.status_code, refused.json()["code"]) == (503, "keys-missing")
    assert int(refused.headers["retry-after"]) > 1
    assert "HANNUN" not in refused.text


def test_without_the_key_ring_messages_get_503_where_somebody_was_forgotten(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    world = site.world
    site.send(world.created())
    world.rows("UPDATE hannun.events SET forgotten = 1")
    world.rows(
        "INSERT INTO hannun.forgotten (kind, event_id, digest, key_id) VALUES ('merchant', '', sha256('x'), 'lost')"
    )
    assert_keys_missing(post(site, json.dumps(as_json(world.registered("p1")))))
    assert "HANNUN_KEY_RING_FILE names the file with the keys" in capsys.readouterr().err
    assert participants(site) == 0


def test_without_the_key_ring_messages_and_questions_get_503_where_amounts_are_encrypted(
    site: Site, tmp_path: Path
) -> None:
    world = site.world
    site.send(world.created(totalInvestment=100))
    add_key(tmp_path / "keys.toml", "2026-11")
    database = Database(
        world.owner_url, PoolLimits(), application="test", amounts=Amounts(open_key_ring(tmp_path / "keys.toml"))
    )
    try:
        convert(database, Operation.ENCRYPT, "tester", lambda _: None)
    finally:
        database.close()
    assert_keys_missing(post(site, json.dumps(as_json(world.sold(5, "one")))))
    for path in (f"/api/v1/events/{SPRING}/analytics", f"/api/v1/users/{OWNER}/analytics"):
        assert_keys_missing(site.owner.get(f"{path}?refresh=true"))
