"""Which channel a name means.

Producers spell a channel as they like ("Naver Blog", NAVER, 네이버블로그). Names are compared NFC, case-folded,
without spaces, `_` and `-`; the table of known spellings is data (`channels.toml`), not code. A channel that is
not in the table is a channel all the same: it keeps the name under which it first came.
"""

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import NamedTuple

NAME_LENGTH_MAX = 50
"""Characters of a channel's name, the width of `channel_stats.channel_name`."""


class ChannelType(StrEnum):
    """What kind of channel it is: it decides which counts mean anything on it."""

    TV = "TV"
    SNS = "SNS"
    VOICE = "VOICE"


class Channel(NamedTuple):
    """A channel as a message named it: `key` is what it is, `name` how it is shown.

    `type` is None where the table does not know the channel; then a distribution brings it, for its event.
    """

    key: str
    name: str
    type: ChannelType | None


@dataclass(frozen=True, slots=True)
class ChannelTable:
    """The known channels, by every spelling of them."""

    by_spelling: Mapping[str, Channel]

    @property
    def known(self) -> tuple[Channel, ...]:
        """Each known channel once."""
        return tuple({channel.key: channel for channel in self.by_spelling.values()}.values())

    def named(self, name: str) -> Channel | None:
        """The channel that `name` means; None where it is too long, or nothing of it is left to compare."""
        composed = unicodedata.normalize("NFC", name).strip()
        key = folded(composed)
        if not key or len(composed) > NAME_LENGTH_MAX:
            return None
        return self.by_spelling.get(key) or Channel(key, composed, None)


def folded(name: str) -> str:
    """The form in which names are compared."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return "".join(text.split()).replace("_", "").replace("-", "")


def load_table(toml_text: str | None = None) -> ChannelTable:
    """The table from TOML text; from the file that ships with Hannun where none is given.

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
                raise ValueError(f"channels: {spelling!r} is claimed by {other.name} and by {name}")
    return ChannelTable(by_spelling)
