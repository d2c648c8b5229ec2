"""Declarations: what ships, what an operator adds, and what is refused."""

from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.channels.declaration import (
    Authentication,
    Column,
    Declaration,
    HeaderAuthentication,
    Paging,
    Response,
    load,
    load_all,
    shipped,
)
from hannun.domain.channel_totals import ChannelTotals
from hannun.domain.channels import Channel, ChannelType, load_table
from hannun.errors import OperatorError
from hannun.processes.channels import channel_table
from hannun.settings import Settings

MINIMAL = """
name = "Radio"
type = "VOICE"
[request]
path = "/stats"
query = { ids = "{ids}" }
batch = 10
[response]
shape = "items"
items = "data"
id = "id"
counts = { total_calls = "calls" }
"""


def test_every_known_channel_has_a_declaration() -> None:
    assert set(shipped()) == {channel.key for channel in load_table().known}
    assert all(declaration.request is not None for declaration in shipped().values())


def test_the_shipped_declarations_are_examples_of_every_kind() -> None:
    declarations = shipped().values()
    assert {type(declaration.authentication) for declaration in declarations} == set(get_args(Authentication))
    assert {type(declaration.paging) for declaration in declarations} == set(get_args(Paging))
    assert {type(declaration.response) for declaration in declarations} == set(get_args(Response))
    budgets = [budget for declaration in declarations for budget in declaration.budget]
    assert {budget.scope for budget in budgets} == {"app", "account"}
    assert {budget.window_s is None for budget in budgets} == {True, False}
    assert {declaration.lag is None or declaration.lag.hours is None for declaration in declarations} == {True, False}
    assert any(declaration.over_quota.usage for declaration in declarations)


def test_a_declaration_names_the_credentials_it_needs() -> None:
    assert {declaration.name: declaration.credentials for declaration in shipped().values()} == {
        "WooriTV": ("api_key",),
        "GenieTV": ("api_key", "customer", "secret_key"),
        "RingoBiz": ("client_id", "client_secret"),
        "Instagram": ("token",),
        "NaverBlog": (),
        "KakaoChannel": ("ad_account", "token"),
    }


def test_a_channel_without_an_api_is_a_name() -> None:
    declaration = load('name = "Leaflets"\ntype = "SNS"', "Leaflets.toml")
    assert declaration == Declaration(name="Leaflets", type=declaration.type)
    assert declaration.request is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("batch = 10", "batch = 0"), "request.batch: found 0, expected int >= 1"),
        (("batch = 10", 'batch = "10"'), "request.batch: found str, expected int"),
        (("batch = 10", "bach = 10"), "request: found the key bach, expected none of that name"),
        (("batch = 10", 'method = "PUT"'), "request.method: found 'PUT', expected one of GET, POST"),
        (('path = "/stats"', ""), "request: expected the key path, found none"),
        (('"/stats"', '"stats"'), "request.path: found 'stats', expected str matching regex '^/'"),
        (("{ids}", "{event}"), "request: found the placeholder {event}, expected {id} or {ids}"),
        (("{ids}", "{id}"), "request: found {id} with batch = 10, expected {ids}"),
        (("{ids}", "all"), "request: expected the placeholder {id} or {ids}, one of them, in path, query or body"),
        (('"items"', '"tree"'), "response.shape: found 'tree', expected one of items, by-id, columns, named"),
        (("total_calls =", "calls ="), "response.counts: found 'calls', expected one of impressions, views, clicks"),
        (('= "calls"', "= 3"), "response.counts: found int, expected str | array"),
        (('"VOICE"', '"RADIO"'), "type: found 'RADIO', expected one of TV, SNS, VOICE"),
        (
            ("[response]", '[authentication]\nkind = "key"\n[response]'),
            "authentication.kind: found 'key', expected one",
        ),
        (("[response]", "[error]\n[response]"), "error: expected the key path, found none"),
        (("[response]", '[[budget]]\nname="a"\nunits=1\nscope="app"\n[response]'), "budget[0]: expected window_s or"),
        (
            ("[response]", '[[budget]]\nname="a"\nunits=1\nscope="app"\nday_zone="Mars"\n[response]'),
            "budget[0]: found 'Mars', expected a time zone such as Asia/Seoul",
        ),
        (
            ("[response]", '[[budget]]\nname="a"\nunits=1\nscope="all"\nwindow_s=1\n[response]'),
            "budget[0].scope: found 'all', expected one of app, account",
        ),
        (
            ("[response]", '[[budget]]\nname="a"\nunits=1\nscope="app"\nwindow_s=5\n[response]'),
            "found limits.attempts = 3 with a budget of 1 units, expected a budget for all attempts of one call",
        ),
        (("[response]", '[lag]\nuntil = "08:00"\n[response]'), "lag: expected hours; or until and zone"),
        (("[response]", "[response"), "expected TOML: "),
        (("batch = 10", 'headers = { Host = "x" }'), "request: found the header 'Host', expected another name"),
        (("batch = 10", 'headers = { A = "b\\n" }'), "request: found 'b\\n' in the header A, expected printable ASCII"),
        (('"calls" }', '"calls", average_duration = ["a", "b"] }'), "response.counts.average_duration: found several"),
        (('"VOICE"', '"VOICE"\naliases = [1]'), "aliases[0]: found int, expected str"),
    ],
)
def test_a_refused_declaration_says_file_key_found_and_expected(change: tuple[str, str], problem: str) -> None:
    assert change[0] in MINIMAL
    with pytest.raises(OperatorError) as raised:
        load(MINIMAL.replace(*change), "Radio.toml")
    assert str(raised.value).startswith(f"Radio.toml: {problem}")
    assert "docs/channels.md" in raised.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "x" * 70_000,
        "a = " + "[" * 60_000,
        ".".join("a" * 8_000) + " = 1",
        "[request.body]\n" + ".".join("a" * 8_000) + "=1",
    ],
)
def test_a_huge_or_deep_declaration_is_refused(text: str) -> None:
    with pytest.raises(OperatorError):
        load(text, "Radio.toml")


@given(st.text(max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    with suppress(OperatorError):
        load(MINIMAL + text, "Radio.toml")


def test_the_operators_folder_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "Radio.toml").write_text(MINIMAL)
    (tmp_path / "mine.toml").write_text(MINIMAL.replace('"Radio"', '"instagram"').replace('"VOICE"', '"SNS"'))
    (tmp_path / "notes.txt").write_text("not a declaration")
    declarations = load_all(str(tmp_path))
    assert len(declarations) == 7
    assert declarations["radio"].limits.attempts == 3
    assert not isinstance(declarations["instagram"].authentication, HeaderAuthentication)


def test_two_files_that_declare_one_channel_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text(MINIMAL)
    with pytest.raises(OperatorError, match=r"b\.toml: name: found 'Radio', which another file declares too"):
        load_all(str(tmp_path))


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be read"):
        load_all(str(tmp_path / "absent"))
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(OperatorError, match="cannot be read"):
        load_all(str(tmp_path))


def test_the_columns_are_those_of_the_totals() -> None:
    assert get_args(Column) == ChannelTotals._fields


def test_the_table_of_a_process_learns_what_the_operator_declares(tmp_path: Path) -> None:
    (tmp_path / "Radio.toml").write_text(MINIMAL.replace('"VOICE"', '"VOICE"\naliases = ["라디오"]'))
    known = channel_table(Settings(channel_declarations=str(tmp_path)))
    assert known.named("라디오") == Channel("radio", "Radio", ChannelType.VOICE)
    assert channel_table(Settings()).named("라디오") == Channel("라디오", "라디오", None)


def test_a_declaration_that_the_table_contradicts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINIMAL.replace('"Radio"', '"Instagram"'))
    with pytest.raises(OperatorError, match="Instagram is VOICE by its declaration, and SNS in the table"):
        channel_table(Settings(channel_declarations=str(tmp_path)))
