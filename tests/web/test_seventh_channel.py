"""A seventh channel is a declaration, and nothing else: it is polled, measured, shown and exported."""

from pathlib import Path

import sheets
from channel_rounds import open_rounds
from served import open_site
from world import PASSWORD, SPRING, World

from hannun.domain.wire_formats import Decoder, Rules
from hannun.processes.channels import channel_table
from hannun.settings import Settings
from hannun.store.batches import participant_key
from hannun.store.migrate import migrate
from hannun.store.roles import ROLES

NAME = "ShinChannel"
DECLARATION = """
name = "ShinChannel"
type = "SNS"
aliases = ["신채널"]
title = { ko = "신 채널", en = "Shin Channel" }
[request]
path = "/v1/totals"
query = { posts = "{ids}" }
batch = 5
[authentication]
kind = "header"
headers = { X-Key = "{key}" }
[response]
shape = "items"
items = "totals"
id = "post"
counts = { views = "seen", likes = "liked" }
"""
SHAPE = """
name = "ShinChannel"
type = "SNS"
[credentials]
key = "sandbox-shin-key"
[request]
path = "/v1/totals"
ids = "query"
ids_key = "posts"
batch = 5
[authentication]
kind = "header"
headers = { X-Key = "{key}" }
[answer]
each = '''{"post": "$id", "seen": "$views", "liked": "$likes"}'''
whole = '''{"totals": "$items"}'''
[unauthorized]
status = 401
body = "{}"
[error_body]
status = 200
body = "{}"
[over_quota]
status = 429
"""


def test_a_seventh_channel_is_measured_shown_and_exported_without_code(world: World, tmp_path: Path) -> None:
    shapes = tmp_path / "shapes"
    shapes.mkdir()
    (shapes / f"{NAME}.toml").write_text(SHAPE)
    with open_rounds(world, tmp_path, shapes) as rounds:
        (rounds.declarations / f"{NAME}.toml").write_text(DECLARATION)
        folder = str(rounds.declarations)
        table = channel_table(Settings(channel_declarations=folder))
        migrate(world.owner_url, table, dict.fromkeys(ROLES, PASSWORD))
        with world.database.transaction() as conn:
            world.decoder = Decoder(Rules(participant_key(conn), table))
        world.restart()
        rounds.distribute(SPRING, channels=["신채널", "NaverBlog"])
        counts = rounds.run()
        assert counts["shinchannel"]["changed"] == counts["NaverBlog"]["changed"] == 1
        measured = world.measured(NAME)
        assert measured.views > 0 and measured.likes > 0 and measured.clicks is None
        with open_site(world, channel_declarations=folder) as site:
            path = f"/api/v1/events/{SPRING}/analytics"
            shown = {line["channelName"]: line for line in site.owner.get(path).json()["channelPerformance"]}
            assert (shown[NAME]["state"], shown[NAME]["views"]) == ("measured", measured.views)
            assert shown[NAME]["channelTitle"] == {"ko": "신 채널", "en": "Shin Channel"}
            assert shown["NaverBlog"]["channelTitle"] == {"ko": "네이버 블로그", "en": "Naver Blog"}
            rows = sheets.csv_rows(site.owner.get(f"{path}/channels?format=csv&lang=en").content)
            exported = next(row for row in rows if "Shin Channel" in row)
            assert str(measured.views) in exported
        assert world.drift() == []
