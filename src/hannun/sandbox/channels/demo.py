"""What the channels of the demo are told at their start, so that its pages show every state of a number."""

from __future__ import annotations

from collections.abc import Iterator

from hannun.sandbox.catalogue import Event
from hannun.sandbox.channels.behaviours import Instruction
from hannun.sandbox.platform import Platform

_CHANNEL = "Instagram"
"""Asked for one event a call, so a call that fails costs no other event its numbers."""


def demo_instructions(platform: Platform) -> dict[str, list[Instruction]]:
    """For each channel what it is told. It depends on the platform's seed alone.

    Instagram refuses one event from the beginning: its numbers there are unknown. It refuses another after the first
    poll: its numbers become stale. Events of the merchant whose page the demo opens come first.
    """
    refused, stale = sorted(_running(platform), key=lambda event: event.merchant != platform.events[0].merchant)[:2]
    return {
        _CHANNEL: [
            Instruction("status", options={"status": 403}, events=[refused.id]),
            Instruction("error-body", events=[stale.id], after_calls=1),
        ]
    }


def _running(platform: Platform) -> Iterator[Event]:
    """The running events that Instagram has numbers of, but not the first, which the demo shows whole."""
    for event in platform.events[1:]:
        has_channel = any(channel.name == _CHANNEL and channel.available_from for channel in event.channels)
        if has_channel and event.is_running(platform.founded_at):
            yield event
