"""What a call to a channel yields: a value, whatever the channel did."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from hannun.domain.channel_totals import ChannelTotals, RefusedTotals

Reason = Literal[
    "address-refused",
    "connect",
    "encoding",
    "error-body",
    "name",
    "not-json",
    "paging",
    "protocol",
    "redirect",
    "timeout",
    "tls",
    "token",
    "too-large",
    "unexpected",
    "wrong-shape",
]
"""Why a call failed; besides these, `status-NNN`. docs/channels.md explains each."""

Totals: TypeAlias = Mapping[str, ChannelTotals | RefusedTotals]


class Reply(NamedTuple):
    """What a channel replied to a call for some events.

    Args:
        kind: `over-quota` is no failure of the channel: it works, and says that we call too often.
        totals: by event id. An event that is absent is not known to the channel.
        retry_after_s: how long to make no call, where the channel said so; also of a `measured` reply whose usage
            header says that the quota is nearly used up.
        reason: why the call failed (`Reason`, or `status-NNN`); empty where it did not.
        seconds: from the first connection to the end, without the wait for a free place among the calls under way.
        units: HTTP calls that were made: all pages, and all attempts.
    """

    kind: Literal["measured", "over-quota", "failed"]
    totals: Totals = MappingProxyType({})
    retry_after_s: float | None = None
    reason: str = ""
    seconds: float = 0.0
    units: int = 0
