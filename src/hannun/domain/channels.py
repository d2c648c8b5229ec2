"""Maps the channel names in messages to channels.

Producers spell a channel in several ways ("Naver Blog", NAVER, 네이버블로그). Names are compared in NFC, case-folded,
without spaces, `_` and `-`. The table of known spellings is data (`channels.toml`), not code. A channel that is not in
the table is counted too, under the name of its first message.
"""

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import NamedTuple

NAME_LENGTH_MAX = 50
"""Characters of a channel's name: the width of `channel_stats.channel_name`."""


class ChannelType(StrEnum):
    """The kind of a channel. It decides which counts are meaningful."""

    TV = "TV"
    SNS = "SNS"
    VOICE = "VOICE"


class Channel(NamedTuple):
    """A channel: `key` identifies it, `name` is displayed.

    `type` is None for a channel that is not in the table. A distribution then sets the type, for its event.
    """

    key: str
    name: str
    type: ChannelType | None


@dataclass(frozen=True, slots=True)
class ChannelTable:
    """The known channels, by each of their spellings, folded."""

    by_spelling: Mapping[str, Channel]

    @property
    def known(self) -> tuple[Channel, ...]:
        """Each known channel once."""
        return tuple({channel.key: channel for channel in self.by_spelling.values()}.values())

    def named(self, name: str) -> Channel | None:
        """The channel of this name; None if the name is too long, or is empty when folded."""
        composed = unicodedata.normalize("NFC", name).strip()
        key = folded(composed)
        if not key or len(composed) > NAME_LENGTH_MAX:
            return None
        return self.by_spelling.get(key) or Channel(key, composed, None)


def folded(name: str) -> str:
    """The normal form in which names are compared."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return "".join(text.split()).replace("_", "").replace("-", "")


def load_table(toml_text: str | None = None) -> ChannelTable:
    """The table from TOML text; by default from the file that is part of Hannun.

    Raises:
        ValueError: two channels claim one spelling, or a type is not TV, SNS or VOICE.
    """
    text = toml_text or resources.files("hannun.domain").joinpath("channels.toml").read_text("utf-8")
    by_spelling: dict[str, Channel] = {}
    for name, entry in tomllib.loads(text).items():
        channel = Channel(folded(name), name, ChannelType(entry["type"]))
        for spelling in (name, *entry.get("aliases", ())):
            other = by_spelling.setdefault(folded(spelling), channel)
            if other is not channel:
                raise ValueError(f"channels: {spelling!r} is a spelling of both {other.name} and {name}")
    return ChannelTable(by_spelling)
