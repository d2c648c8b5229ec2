"""What a person sees of a call: bounded, without control characters, and without credentials that a channel echoes."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from channels.raw_server import Behaviour, Exchange, replies, response, serving
from hannun.channels import trial
from hannun.channels.access import Access
from hannun.channels.declaration import shipped
from hannun.channels.trial import BODY_SHOWN_MAX, Trial, shown_text

TOKEN = 'secret/"token"'
MORE_LENGTH_MAX = 60
INSTAGRAM = shipped()["instagram"]
RINGO = shipped()["ringobiz"]


def called(behaviour: Behaviour, declaration: Any = INSTAGRAM, **credentials: str) -> Trial:
    async def run() -> Trial:
        async with serving(behaviour) as server:
            access = Access(server.address, credentials or {"token": TOKEN})
            return await trial.call(declaration, access, "E1", private_addresses=True)

    return asyncio.run(run())


@settings(derandomize=True, database=None)
@given(st.text(st.characters(), max_size=3 * BODY_SHOWN_MAX), st.integers(0, 100))
def test_what_a_terminal_would_obey_is_not_shown_and_the_rest_is_cut(text: str, length_max: int) -> None:
    shown = shown_text(text, length_max)
    assert all(each.isprintable() or each == "\n" for each in shown)
    assert len(shown) <= length_max + MORE_LENGTH_MAX
    shown.encode()


def test_a_body_is_cut_and_holds_no_escape_sequence() -> None:
    body = "\x1b[2J\x9b31m\u202e" + "x" * 100_000
    for sent in (body.encode(), json.dumps({"data": body}).encode(), b"\xff\xfe\x00" * 10_000):
        shown = called(replies(response(sent)))
        assert len(shown.body) <= BODY_SHOWN_MAX + MORE_LENGTH_MAX
        assert all(each.isprintable() or each == "\n" for each in shown.body)


def test_a_credential_that_the_channel_echoes_is_hidden() -> None:
    async def echo(exchange: Exchange) -> None:
        seen = exchange.seen
        await exchange.write(response({"data": [], "headers": seen.headers, "target": seen.target}))

    shown = called(echo)
    assert (shown.status, shown.reply.kind) == (200, "measured")
    assert "Bearer ***" in shown.body and "secret" not in shown.body
    assert shown.sent is not None and ("Authorization", "***") in shown.sent.headers


def test_the_bearer_token_that_a_channel_has_issued_is_hidden_too_and_its_call_is_not_shown() -> None:
    async def issue_then_echo(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.write(response({"access_token": "issued-token"}))
        else:
            await exchange.write(response({"echo": exchange.seen.headers}))

    shown = called(issue_then_echo, RINGO, client_id="our-id", client_secret="our-secret")
    assert shown.reply.reason == "error-body"
    assert shown.sent is not None and "oauth" not in shown.sent.url
    assert "Bearer ***" in shown.body
    assert "issued-token" not in str(shown) and "our-secret" not in str(shown)


def test_without_a_token_nothing_is_sent_that_could_be_shown() -> None:
    shown = called(replies(response({}, 500)), RINGO, client_id="our-id", client_secret="our-secret")
    assert (shown.reply.reason, shown.sent, shown.status) == ("token", None, None)


def test_deep_json_is_shown_as_it_is() -> None:
    shown = called(replies(response(b"[" * 5_000)))
    assert shown.reply.reason == "not-json"
    assert shown.body.startswith("[[[[")
