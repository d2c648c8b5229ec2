"""Maps the channel names in messages to channels.

Producers spell a channel in several ways ("Naver Blog", NAVER, 네이버블로그). Names are compared in NFC, case-folded,
without spaces, `_` and `-`, and without characters that are not seen (zero-width, control). The table of known
spellings is data (`channels.toml`), not code. A channel that is not in the table is counted too, under the name of its
first message.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
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
        """The channel of this name; None if it is too long, is empty when folded, or has a comma.

        A comma separates the names in a filter, so a channel with one could not be named there.
        """
        composed = unicodedata.normalize("NFC", _visible(name)).strip()
        key = folded(composed)
        if not key or len(composed) > NAME_LENGTH_MAX or "," in composed:
            return None
        return self.by_spelling.get(key) or Channel(key, composed, None)


def folded(name: str) -> str:
    """The normal form in which names are compared."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", _visible(name)).casefold())
    return "".join(text.split()).replace("_", "").replace("-", "")


_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Characters outside of the categories Cf and Cc that Unicode shows as nothing: fillers and variation selectors."""


def _visible(name: str) -> str:
    """A name without characters that are not seen: two names that look the same must be one channel."""
    if name.isascii() and name.isprintable():
        return name
    seen = (" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
    return _IGNORABLE.sub("", "".join(seen))


class NewChannel(NamedTuple):
    """A channel that a declaration adds to the table. `type` and `aliases` may be absent where the table knows it."""

    name: str
    type: ChannelType | None
    aliases: tuple[str, ...]


def extended(table: ChannelTable, channels: Iterable[NewChannel]) -> ChannelTable:
    """The table with channels that it does not know yet, and with further spellings of those that it knows.

    Raises:
        ValueError: two channels claim one spelling, a name or a spelling cannot be used, or a type is missing or
            another one.
    """
    by_spelling = dict(table.by_spelling)
    for name, type_, aliases in channels:
        known = by_spelling.get(folded(name))
        if known is None and type_ is None:
            raise ValueError(f"channels: {name} is not known, so its declaration must have a type")
        if known is not None and type_ not in (None, known.type):
            raise ValueError(f"channels: {name} is {type_} by its declaration, and {known.type} in the table")
        if table.named(name) is None:
            raise ValueError(f"channels: {name!r} is empty, is too long or has a comma")
        _add(by_spelling, known or Channel(folded(name), name, type_), (name, *aliases))
    return ChannelTable(by_spelling)


def load_table(toml_text: str | None = None) -> ChannelTable:
    """The table from TOML text; by default from the file that is part of Hannun.

    Raises:
        ValueError: two channels claim one spelling, a spelling has a comma, or a type is not TV, SNS or VOICE.
    """
    text = toml_text or resources.files("hannun.domain").joinpath("channels.toml").read_text("utf-8")
    by_spelling: dict[str, Channel] = {}
    for name, entry in tomllib.loads(text).items():
        channel = Channel(folded(name), name, ChannelType(entry["type"]))
        _add(by_spelling, channel, (name, *entry.get("aliases", ())))
    return ChannelTable(by_spelling)


def _add(by_spelling: dict[str, Channel], channel: Channel, spellings: Iterable[str]) -> None:
    for spelling in spellings:
        if "," in spelling:
            raise ValueError(f"channels: {spelling!r} has a comma, so no filter could name it")
        other = by_spelling.setdefault(folded(spelling), channel)
        if other is not channel:
            raise ValueError(f"channels: {spelling!r} is a spelling of both {other.name} and {channel.name}")
