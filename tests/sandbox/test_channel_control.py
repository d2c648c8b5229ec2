"""The control of the channel sandbox: what it refuses, over HTTP and in a terminal of 80 columns."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from channel_calls import CHANNELS, FOUNDED, Api, running_api
from typer.testing import CliRunner, Result

from hannun.cli.application import app
from hannun.errors import OperatorError, Transient
from hannun.sandbox.channels.behaviours import BEHAVIOURS
from hannun.sandbox.channels.demo import demo_instructions
from hannun.sandbox.channels.run import SandboxOptions, running
from hannun.sandbox.platform import Platform
from hannun.sandbox.simulation import DEMO_POPULARITY, DEMO_SEED, founding_time

WIDTH = 80


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with running_api() as api:
        yield api


# Over HTTP


@pytest.mark.parametrize(
    ("behaviour", "instruction", "says"),
    [
        ("slower", {}, "slow"),
        ("slow", {"options": {"delay": 1}}, "delay_s"),
        ("slow", {"options": {"delay_s": -1}}, "between 0 and 3600"),
        ("slow", {"options": {"delay_s": 3_601}}, "between 0 and 3600"),
        ("slow", {"options": {"delay_s": "2"}}, "number"),
        ("slow", {"options": {"delay_s": True}}, "options"),
        ("status", {"options": {"status": 199}}, "between 200 and 599"),
        ("status", {"options": {"status": 503.5}}, "whole number"),
        ("removed", {"options": {"metric": "looks"}}, "views"),
        ("redirect", {"options": {"to": "a\r\nSet-Cookie: b"}}, "printable"),
        ("redirect", {"options": {"to": "x" * 501}}, "500"),
        ("trickle", {"options": {"bytes_per_s": 0}}, "between 0.01"),
        ("hang", {"share": 0}, "share"),
        ("hang", {"share": 1.01}, "share"),
        ("hang", {"seconds": 0}, "seconds"),
        ("hang", {"seconds": 1e300}, "seconds"),
        ("hang", {"calls": 0}, "calls"),
        ("hang", {"afterCalls": -1}, "afterCalls"),
        ("hang", {"events": ["e"] * 1_001}, "events"),
        ("hang", {"events": [""]}, "events"),
        ("hang", {"seed": 2**64}, "seed"),
        ("hang", {"part": 0.5}, "part"),
        ("hang", [], "object"),
    ],
)
def test_an_instruction_that_cannot_be_is_refused_and_changes_nothing(
    api: Api, behaviour: str, instruction: object, says: str
) -> None:
    api.tell("Instagram", "empty")
    refused = api.http.put(f"{api.address}/_control/Instagram/{behaviour}", json=instruction)
    assert refused.status_code == 400, refused.text
    assert says in " ".join(refused.json().values())
    assert [told["behaviour"] for told in api.state("Instagram")["behaviours"]] == ["empty"]


def test_a_body_that_is_no_json_or_too_large_is_refused(api: Api) -> None:
    url = f"{api.address}/_control/Instagram/hang"
    assert api.http.put(url, content=b"{").status_code == 400
    assert api.http.put(url, content=b"[" * 100_000).status_code == 400
    assert api.http.put(url, content=b"\xff\xfe").status_code == 400
    parts = urlsplit(api.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as sock:
        sock.sendall(b"PUT /_control/Instagram/hang HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            sock.sendall(b" " * 100_000_000)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as sock:
        sock.sendall(b"no HTTP at all\r\n\r\n")
        assert sock.recv(1_000).startswith(b"HTTP/1.1 400 ")
    assert api.state("Instagram")["behaviours"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/_control/Insta/hang"),
        ("GET", "/_control/Instagram/hang/now"),
        ("POST", "/_control"),
        ("DELETE", "/_control/Instagram/hang/now"),
        ("GET", "/_other"),
        ("GET", "/"),
    ],
)
def test_what_is_not_there_is_not_found(api: Api, method: str, path: str) -> None:
    assert api.http.request(method, api.address + path).status_code == 404


def test_all_behaviours_of_a_channel_are_replaced_or_none(api: Api) -> None:
    url = f"{api.address}/_control/Instagram"
    told = [{"behaviour": "slow"}, {"behaviour": "empty", "calls": 3}]
    assert api.http.put(url, json=told).status_code == 200
    assert api.http.put(url, json=[{"behaviour": "fall"}, {"behaviour": "none"}]).status_code == 400
    assert api.http.put(url, json=[{"behaviour": "fall"}] * 51).status_code == 400
    assert [each["behaviour"] for each in api.state("Instagram")["behaviours"]] == ["slow", "empty"]
    assert api.http.put(url, json=[]).status_code == 200
    assert api.state("Instagram")["behaviours"] == []


def test_all_stands_for_every_channel_and_delete_stops_one_behaviour_or_all(api: Api) -> None:
    api.tell("all", "empty")
    api.tell("all", "strings")
    api.http.delete(f"{api.address}/_control/all/empty")
    api.forget("GenieTV")
    told = {name: [each["behaviour"] for each in api.state(name)["behaviours"]] for name in CHANNELS}
    assert told == {name: [] if name == "GenieTV" else ["strings"] for name in CHANNELS}


def test_reset_begins_everything_anew(api: Api) -> None:
    api.tell("WooriTV", "empty")
    api.set_clock(moveS=-86_400, stopped=True)
    assert api.call("WooriTV", "e1").status_code == 200
    assert api.http.delete(f"{api.address}/_control").status_code == 200
    state = api.state("WooriTV")
    assert (state["calls"], state["behaviours"], state["budgets"][0]["used"]) == (0, [], 0)
    assert api.http.get(f"{api.address}/_control").json()["clockStopped"] is False


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"now": "2026-05-13T00:00:00Z", "moveS": 1},
        {"now": "yesterday"},
        {"now": "1999-12-31T00:00:00Z"},
        {"now": "9999-12-31T23:00:00-10:00"},
        {"moveS": 1e12},
        {"moveS": "1"},
        {"to": "2026-05-13T00:00:00Z"},
    ],
)
def test_a_clock_that_cannot_be_is_refused(api: Api, setting: dict[str, object]) -> None:
    before = api.http.get(f"{api.address}/_control").json()["clock"]
    refused = api.http.put(f"{api.address}/_clock", json=setting)
    assert refused.status_code == 400
    assert refused.json()["hint"]
    assert api.http.get(f"{api.address}/_control").json()["clock"] == before


def test_the_behaviours_are_listed_with_the_bounds_of_their_options(api: Api) -> None:
    listed: list[dict[str, Any]] = api.http.get(f"{api.address}/_behaviours").json()
    assert [each["behaviour"] for each in listed] == list(BEHAVIOURS)
    slow = next(each for each in listed if each["behaviour"] == "slow")
    assert slow["options"] == {"delay_s": {"default": 2.0, "min": 0.0, "max": 3_600.0}}


# In a terminal


def run(*arguments: str) -> Result:
    """Run `hannun sandbox` in a terminal of 80 columns: each line fits it, or is one word."""
    ran = CliRunner().invoke(app, ["sandbox", *arguments], env={"COLUMNS": str(WIDTH)})
    for line in ran.output.splitlines():
        assert len(line) <= WIDTH or len(line.split()) == 1, line
    return ran


def test_tell_list_and_reset_show_what_is_in_force(api: Api) -> None:
    at = ["--at", api.address]
    words = ["tell", "Instagram", "slow", "--set", "delay_s=0.01", "--share", "0.5", "--seconds", "60", "--calls", "9"]
    told = run(*words, "--after-calls", "1", "--event", "e1", "--event", "e2", "--seed", "4", *at)
    assert told.exit_code == 0, told.output
    shown = " ".join(told.output.split())
    assert (
        "slow (delay_s=0.01, 50% of the calls, 60 s left, 9 calls, after 1 calls, 2 events): applied 0 times" in shown
    )
    assert "GenieTV" not in told.output
    (kept,) = api.state("Instagram")["behaviours"]
    assert (kept["seed"], kept["events"]) == (4, ["e1", "e2"])
    assert run("tell", "all", "redirect", "--set", "to=http://127.0.0.1:1/", *at).exit_code == 0
    api.call("KakaoChannel", "e1")
    api.call("KakaoChannel", "e1")
    listed = run("list", *at)
    assert "KakaoChannel: 2 calls" in listed.output and "1 over its budget" in listed.output
    assert "clock: 2026-05-13T03:20:00+00:00, stopped" in listed.output
    assert set(json.loads(run_json(api))["channels"]) == set(CHANNELS)
    assert "slow" not in run("reset", "Instagram", "slow", *at).output
    assert "redirect" in run("list", *at).output
    assert "redirect" not in run("reset", *at).output


def run_json(api: Api) -> str:
    return CliRunner().invoke(app, ["sandbox", "list", "--json", "--at", api.address]).output


def test_the_clock_is_set_and_moved(api: Api) -> None:
    at = ["--at", api.address]
    assert run("clock", "--to", "2026-06-01T09:00:00+09:00", "--stopped", *at).output == (
        "clock: 2026-06-01T00:00:00+00:00\n"
    )
    assert run("clock", "--move", "-90", "--stopped", *at).output == "clock: 2026-05-31T23:58:30+00:00\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tell", "Insta", "hang"], "there is no channel 'Insta'"),
        (["tell", "Instagram", "hung"], "there is no behaviour 'hung'"),
        (["tell", "Instagram", "slow", "--set", "delay_s"], "has no value"),
        (["tell", "Instagram", "slow", "--set", "delay_s=soon"], "delay_s is a number"),
        (["tell", "Instagram", "slow", "--set", "delay_s=NaN"], "delay_s is a number"),
        (["clock"], "now or moveS"),
        (["reset", "Insta"], "there is no channel 'Insta'"),
    ],
)
def test_a_command_that_cannot_be_is_refused_with_a_hint(api: Api, arguments: list[str], says: str) -> None:
    refused = run(*arguments, "--at", api.address)
    assert isinstance(refused.exception, OperatorError)
    assert says in str(refused.exception)
    assert refused.exception.hint


def test_commands_find_the_sandbox_by_its_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    nothing = run("list", "--home", str(home))
    assert isinstance(nothing.exception, OperatorError)
    assert "hannun sandbox serve" in nothing.exception.hint
    with running(SandboxOptions(home=home)):
        assert run("tell", "WooriTV", "hang", "--home", str(home)).exit_code == 0
    gone = run("list", "--home", str(home))
    assert isinstance(gone.exception, Transient)


@pytest.mark.parametrize("at", ["127.0.0.1:8090", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(at: str) -> None:
    assert isinstance(run("list", "--at", at).exception, OperatorError)


def test_the_behaviours_are_listed_in_a_terminal() -> None:
    shown = run("behaviours").output
    assert [line.split()[0].rstrip(":") for line in shown.splitlines() if not line.startswith(" ")] == list(BEHAVIOURS)


# One run


def test_a_run_keeps_the_address_and_the_access_file_private(tmp_path: Path) -> None:
    access = tmp_path / "of" / "access.toml"
    with running(SandboxOptions(home=tmp_path / "home", access_file=access)) as address:
        text = access.read_text()
        assert f'[RingoBiz]\naddress = "{address}/RingoBiz"\nclient_id = "sandbox-ringo"' in text
        assert access.stat().st_mode & 0o077 == 0
        assert json.loads((tmp_path / "home" / "channel-sandbox.json").read_text()) == {"address": address}


@pytest.mark.parametrize("command", ["sandbox serve --port 0", "simulate --api http://127.0.0.1:9 --token t"])
def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    refused = CliRunner().invoke(app, [*command.split(), "--home", str(tmp_path / "file" / "home")])
    assert isinstance(refused.exception, OperatorError), refused.exception
    assert "--home" in refused.exception.hint


def test_an_access_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OperatorError, match="cannot write"),
        opened(SandboxOptions(access_file=tmp_path / "file" / "access.toml")),
    ):
        pass


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OperatorError, match="--port"), opened(SandboxOptions(port=taken.getsockname()[1])):
            pass


@contextmanager
def opened(options: SandboxOptions) -> Iterator[None]:
    with running(options):
        yield


def test_the_platform_and_its_channels_were_founded_at_the_same_time(tmp_path: Path) -> None:
    assert founding_time(tmp_path / "home") == founding_time(tmp_path / "home")


def test_the_demo_refuses_one_event_and_lets_another_become_stale() -> None:
    """They are the same in every run of the demo, and are not the event that it shows first."""
    founded = (FOUNDED, FOUNDED.replace(day=30, hour=20))
    platforms = [Platform(DEMO_SEED, at, DEMO_POPULARITY) for at in founded]
    told = [demo_instructions(platform) for platform in platforms]
    assert told[0] == told[1]
    refused, stale = (instruction.events for instruction in told[0]["Instagram"])
    assert len({*refused, *stale, platforms[0].events[0].id}) == 3
