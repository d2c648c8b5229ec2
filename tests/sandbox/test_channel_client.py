"""The client and the shipped declarations against the simulated APIs, which were made without them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from channel_calls import CHANNELS, FOUNDED, PLATFORM, Api, running_api, trusting, without_budgets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hannun.channels.access import Access
from hannun.channels.access import load as load_access
from hannun.channels.client import ChannelClient
from hannun.channels.declaration import Column, Declaration, Limits, shipped
from hannun.channels.reply import Reply
from hannun.domain.channel_totals import ChannelTotals, RefusedTotals
from hannun.sandbox.catalogue import CHANNEL_PROFILES
from hannun.sandbox.channels.access import access_toml
from hannun.sandbox.channels.behaviours import BEHAVIOURS
from hannun.sandbox.channels.numbers import Sources, measure
from hannun.sandbox.channels.shape import load_all as load_shapes

EVENT = PLATFORM.events[0].id
PATIENT = Limits(connect_s=20, read_s=20, call_s=60, attempts=1)
HASTY = Limits(connect_s=5, read_s=0.2, call_s=0.4, attempts=1)
MARGIN_S = 20.0
TLS = ssl.create_default_context()

# What each behaviour leads to, where it is not the same for every channel.
FAILED_AS = {
    "refuse": {"protocol", "connect"},
    "hang": {"timeout"},
    "slow": {"timeout"},
    "trickle": {"timeout"},
    "cut": {"protocol"},
    "status": {"status-503"},
    "error-body": {"error-body"},
    "html": {"not-json"},
    "redirect": {"redirect"},
    "oversized": {"too-large"},
}
REFUSED_AS = {"negative": "negative", "huge": "too-large", "wrong-type": "wrong-type"}


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with running_api(without_budgets(load_shapes())) as api:
        yield api


def declared(channel: str, limits: Limits = PATIENT) -> Declaration:
    found = {declaration.name: declaration for declaration in shipped().values()}[channel]
    return msgspec.structs.replace(found, limits=limits)


def asked(api: Api, folder: Path, declaration: Declaration, *ids: str) -> Reply:
    path = folder / "access" / "of-sandbox.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(access_toml(load_shapes(folder), api.address))
    access = load_access(str(path), {**shipped(), declaration.key: declaration}, private_addresses=True)

    async def ask() -> Reply:
        async with ChannelClient(declaration, access[declaration.key], private_addresses=True, tls=TLS) as client:
            return await client.fetch(ids)

    return asyncio.run(ask())


def columns_of(declaration: Declaration) -> set[Column]:
    assert declaration.response is not None
    return set(declaration.response.counts)


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_totals_of_a_channel_arrive_in_our_columns(api: Api, tmp_path: Path, channel: str) -> None:
    source = Sources(PLATFORM).get(channel, EVENT)
    assert source is not None
    totals = measure(source, CHANNEL_PROFILES[channel].type, FOUNDED)
    assert totals is not None
    declaration = declared(channel)
    reply = asked(api, tmp_path, declaration, EVENT)
    known = {name: value for name, value in totals._asdict().items() if name in columns_of(declaration)}
    assert (reply.kind, reply.reason) == ("measured", "")
    assert reply.totals == {EVENT: ChannelTotals(**known)}


@pytest.mark.parametrize("channel", [name for name in CHANNELS if name != "Instagram"])
def test_a_whole_batch_is_one_call(api: Api, tmp_path: Path, channel: str) -> None:
    declaration = declared(channel)
    assert declaration.request is not None
    ids = [f"e{n}" for n in range(declaration.request.batch)]
    reply = asked(api, tmp_path, declaration, *ids)
    assert (reply.kind, reply.units, set(reply.totals)) == ("measured", 1, set(ids))


@pytest.mark.parametrize("channel", ["GenieTV", "RingoBiz"])
def test_a_larger_batch_arrives_over_several_pages(api: Api, tmp_path: Path, channel: str) -> None:
    ids = [f"e{n}" for n in range(100)]
    reply = asked(api, tmp_path, declared(channel), *ids)
    assert (reply.kind, reply.units, set(reply.totals)) == ("measured", 2, set(ids))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("behaviour", [name for name in BEHAVIOURS if name != "cut-tls"])
def test_whatever_a_channel_is_told_the_client_replies(api: Api, tmp_path: Path, channel: str, behaviour: str) -> None:
    options = {"slow": {"delay_s": 600.0}, "usage": {"from_percent": 96.0, "step_percent": 0.0}}.get(behaviour, {})
    api.tell(channel, behaviour, options=options)
    waits = "timeout" in FAILED_AS.get(behaviour, ())
    reply = asked(api, tmp_path, declared(channel, HASTY if waits else PATIENT), EVENT)
    assert reply.seconds < (HASTY if waits else PATIENT).call_s + MARGIN_S
    found = reply.totals.get(EVENT)
    if behaviour in FAILED_AS:
        assert (reply.kind, reply.totals) == ("failed", {})
        assert reply.reason in FAILED_AS[behaviour]
    elif behaviour == "quota":
        assert (reply.kind, reply.reason, reply.totals) == ("over-quota", "", {})
    elif behaviour in REFUSED_AS:
        assert isinstance(found, RefusedTotals) and found.reason == REFUSED_AS[behaviour]
    elif behaviour == "more-completed" and channel == "RingoBiz":
        assert isinstance(found, RefusedTotals) and found.reason == "more-completed-than-total"
    elif behaviour == "empty":
        assert reply.kind == "measured" and not isinstance(found, ChannelTotals)
    elif behaviour == "usage" and channel == "Instagram":
        assert reply.kind == "measured" and reply.retry_after_s == 300
    else:
        assert reply.kind == "measured" and isinstance(found, ChannelTotals)


@pytest.mark.parametrize("channel", CHANNELS)
def test_each_channel_is_called_over_tls_and_may_cut_it(tmp_path: Path, channel: str) -> None:
    with running_api(without_budgets(load_shapes()), tls=True) as api:
        tls = trusting(api.http.get(f"{api.address}/_control").json()["certificate"])
        credentials = load_shapes()[channel].credentials

        async def ask() -> list[Reply]:
            access = Access(api.state(channel)["tlsAddress"], credentials)
            async with ChannelClient(declared(channel), access, private_addresses=True, tls=tls) as client:
                found = [await client.fetch([EVENT])]
            api.tell(channel, "cut-tls")
            async with ChannelClient(declared(channel), access, private_addresses=True, tls=tls) as client:
                return [*found, await client.fetch([EVENT])]

        good, cut = asyncio.run(ask())
    assert good.kind == "measured" and EVENT in good.totals
    assert cut.kind == "failed" and cut.reason in ("tls", "connect")


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_all_channels_are_told_together_each_replies(server: Api, tmp_path: Path, data: st.DataObject) -> None:
    server.reset()
    told = {
        channel: data.draw(st.lists(st.sampled_from(list(BEHAVIOURS)), max_size=3, unique=True), label=channel)
        for channel in CHANNELS
    }
    for channel, behaviours in told.items():
        for behaviour in behaviours:
            server.tell(channel, behaviour)
    shapes = load_shapes()

    async def ask(channel: str) -> Reply:
        access = Access(f"{server.address}/{channel}", shapes[channel].credentials)
        limits = HASTY if told[channel] else PATIENT
        async with ChannelClient(declared(channel, limits), access, private_addresses=True, tls=TLS) as client:
            return await client.fetch([EVENT])

    async def ask_all() -> list[Reply]:
        return await asyncio.gather(*map(ask, CHANNELS))

    for channel, reply in zip(CHANNELS, asyncio.run(ask_all()), strict=True):
        assert reply.reason != "unexpected"
        assert reply.seconds < (HASTY if told[channel] else PATIENT).call_s + MARGIN_S
        if not told[channel]:
            assert reply.kind == "measured" and isinstance(reply.totals[EVENT], ChannelTotals)


@pytest.mark.parametrize("channel", CHANNELS)
def test_numbers_that_are_strings_are_the_same_numbers(api: Api, tmp_path: Path, channel: str) -> None:
    before = asked(api, tmp_path, declared(channel), EVENT).totals
    api.tell(channel, "strings")
    assert asked(api, tmp_path, declared(channel), EVENT).totals == before


@pytest.mark.parametrize("channel", ["GenieTV", "Instagram", "KakaoChannel", "WooriTV"])
def test_a_count_that_was_removed_is_unknown_and_not_0(api: Api, tmp_path: Path, channel: str) -> None:
    before = asked(api, tmp_path, declared(channel), EVENT).totals[EVENT]
    assert isinstance(before, ChannelTotals) and before.views is not None
    api.tell(channel, "removed", options={"metric": "views"})
    assert asked(api, tmp_path, declared(channel), EVENT).totals[EVENT] == before._replace(views=None)


def test_pages_that_shift_cost_only_the_events_that_no_page_holds(api: Api, tmp_path: Path) -> None:
    ids = [f"e{n}" for n in range(100)]
    for by, left_out in ((3, {"e97", "e98", "e99"}), (-3, {"e50", "e51", "e52"})):
        api.tell("GenieTV", "shift", options={"by": by})
        reply = asked(api, tmp_path, declared("GenieTV"), *ids)
        assert reply.kind == "measured" and set(ids) - set(reply.totals) == left_out
