"""docs/channels.md about the sandbox: the table of behaviours is complete, and the channel that it adds works."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from channel_calls import running_api

from hannun.channels import access, declaration
from hannun.channels.client import ChannelClient
from hannun.domain.channel_totals import ChannelTotals
from hannun.sandbox.channels.access import access_toml
from hannun.sandbox.channels.behaviours import BEHAVIOURS
from hannun.sandbox.channels.shape import load_all

PAGE = (Path(__file__).parents[2] / "docs" / "channels.md").read_text("utf-8")


def test_the_table_lists_every_behaviour_with_its_options_and_defaults() -> None:
    table = PAGE.partition("### What it can be told")[2].partition("\nTo which calls")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \|([^|]*)\|", table, re.MULTILINE)
    assert [name for name, _ in rows] == list(BEHAVIOURS)
    for name, described in rows:
        options = {option.name: option for option in BEHAVIOURS[name].options}
        listed = dict(re.findall(r"`([a-z_]+)`(?: = ([\w.-]+))?", described))
        assert set(listed) == set(options), name
        for option, shown in listed.items():
            default = options[option].default
            assert shown in ("", str(default) if isinstance(default, str) else f"{default:.15g}"), name


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The declaration and the shape of the page's example, each in a folder, as the page tells to write them."""
    blocks = [re.sub(r"^   ", "", block, flags=re.M) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
    declared, shape = (block for block in blocks if 'name = "Radio"' in block)
    for folder, text in (("declarations", declared), ("shapes", shape)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "radio.toml").write_text(text)
    return tmp_path


def test_the_channel_that_the_page_adds_is_polled(files: Path) -> None:
    declarations = declaration.load_all(str(files / "declarations"))
    shapes = load_all(files / "shapes")
    with running_api(shapes) as api:
        (files / "access.toml").write_text(access_toml(shapes, api.address))
        accesses = access.load(str(files / "access.toml"), declarations, private_addresses=True)
        ids = [f"e{n}" for n in range(50)]

        async def ask() -> dict[str, object]:
            async with ChannelClient(declarations["radio"], accesses["radio"], private_addresses=True) as client:
                return dict((await client.fetch(ids)).totals)

        totals = asyncio.run(ask())
        assert set(totals) == set(ids)
        for each in totals.values():
            assert isinstance(each, ChannelTotals)
            assert each.total_calls is not None and each.completed_calls is not None
            assert each.total_calls >= each.completed_calls > 0
        assert api.state("Radio")["budgets"] == [{"name": "calls", "units": 1_000, "used": 1}]
        api.tell("Radio", "quota")
        assert asyncio.run(ask()) == {}
