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
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from typing import Any, NamedTuple

from hannun.domain.terms import Bilingual

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
    """The known channels, by each of their spellings, folded; and their titles, by their names."""

    by_spelling: Mapping[str, Channel]
    titles: Mapping[str, Bilingual] = field(default_factory=dict)

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

    def title(self, name: str) -> Bilingual:
        """What people call the channel of this name: its name, where it has no title."""
        return self.titles.get(name) or Bilingual(name, name)


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
    """A channel that a declaration adds to the table. What is absent stays as the table knows it."""

    name: str
    type: ChannelType | None
    aliases: tuple[str, ...]
    title: Bilingual | None = None


def extended(table: ChannelTable, channels: Iterable[NewChannel]) -> ChannelTable:
    """The table with channels that it does not know yet, and with titles and further spellings of those that it knows.

    Raises:
        ValueError: two channels claim one spelling, a name, a title or a spelling cannot be used, or a type is missing
            or another one.
    """
    by_spelling, titles = dict(table.by_spelling), dict(table.titles)
    for name, type_, aliases, title in channels:
        known = by_spelling.get(folded(name))
        if known is None and type_ is None:
            raise ValueError(f"channels: {name} is not known, so its declaration must have a type")
        if known is not None and type_ not in (None, known.type):
            raise ValueError(f"channels: {name} is {type_} by its declaration, and {known.type} in the table")
        if table.named(name) is None:
            raise ValueError(f"channels: {name!r} is empty, is too long or has a comma")
        channel = known or Channel(folded(name), name, type_)
        _add(by_spelling, channel, (name, *aliases))
        if title is not None:
            titles[channel.name] = _checked(channel.name, title)
    return ChannelTable(by_spelling, titles)


def load_table(toml_text: str | None = None) -> ChannelTable:
    """The table from TOML text; by default from the file that is part of Hannun.

    Raises:
        ValueError: two channels claim one spelling, a spelling has a comma, a title cannot be used, or a type is not
            TV, SNS or VOICE.
    """
    text = toml_text or resources.files("hannun.domain").joinpath("channels.toml").read_text("utf-8")
    by_spelling: dict[str, Channel] = {}
    titles: dict[str, Bilingual] = {}
    for name, entry in tomllib.loads(text).items():
        channel = Channel(folded(name), name, ChannelType(entry["type"]))
        _add(by_spelling, channel, (name, *entry.get("aliases", ())))
        if "title" in entry:
            titles[name] = _title_of(name, entry["title"])
    return ChannelTable(by_spelling, titles)


def _title_of(name: str, stated: Any) -> Bilingual:
    if not isinstance(stated, dict) or stated.keys() != {"ko", "en"}:
        raise ValueError(f"channels: the title of {name} is {stated!r}, expected texts ko and en")
    return _checked(name, Bilingual(**stated))


def _checked(name: str, title: Bilingual) -> Bilingual:
    """
    Raises:
        ValueError: a title that cannot be shown.
    """
    for text in (title.ko, title.en):
        if not isinstance(text, str) or _visible(text).strip() != text or not 0 < len(text) <= NAME_LENGTH_MAX:
            raise ValueError(
                f"channels: the title of {name} is {text!r}, expected 1 to {NAME_LENGTH_MAX} visible characters"
            )
    return title


def _add(by_spelling: dict[str, Channel], channel: Channel, spellings: Iterable[str]) -> None:
    for spelling in spellings:
        if "," in spelling:
            raise ValueError(f"channels: {spelling!r} has a comma, so no filter could name it")
        other = by_spelling.setdefault(folded(spelling), channel)
        if other is not channel:
            raise ValueError(f"channels: {spelling!r} is a spelling of both {other.name} and {channel.name}")
