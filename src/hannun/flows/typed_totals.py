"""Takes totals that somebody has typed, for a channel without an API and for one that is not set up."""

from collections.abc import Container
from datetime import datetime
from functools import partial

from anyio import CapacityLimiter

from hannun import deadlines
from hannun.counting.measurement_counter import MeasurementCounter
from hannun.domain.audit_chain import Action, NewEntry, event_object, user
from hannun.domain.authorization import Principal
from hannun.domain.channel_totals import ChannelTotals
from hannun.domain.channels import Channel, ChannelTable
from hannun.domain.measurements import AGE_MAX, Measurement, MeasurementResult, Outcome, PieceResult
from hannun.errors import BadRequest, NotFound


class TypedTotals:
    """Counts typed totals by the same path as polls.

    Args:
        polled: the keys of the channels whose API is polled. They take no typed totals.
    """

    def __init__(self, counter: MeasurementCounter, channels: ChannelTable, polled: Container[str]) -> None:
        self._counter = counter
        self._channels = channels
        self._polled = polled
        self._slot = CapacityLimiter(1)  # the counter has one connection

    async def record(
        self,
        principal: Principal,
        event_id: str,
        channel_name: str,
        totals: ChannelTotals,
        measured_at: datetime | None,
    ) -> tuple[Channel, datetime, MeasurementResult]:
        """Count totals of an event on a channel.

        Args:
            measured_at: when they were true (UTC, without a zone); None is now.

        Returns:
            The channel, when the totals were true (UTC, without a zone), and what became of them.

        Raises:
            BadRequest: the channel is unknown or is polled, or the time lies ahead or too far back.
            NotFound: there is no such event.
            StoreUnavailable: PostgreSQL is away. Nothing was counted, or all of it; send it again.
        """
        channel = self._channel(channel_name)
        place = f"channel {channel.key}"
        entry = NewEntry(user(principal.user_id), Action.TOTALS_TYPED, event_object(event_id), reason=place)
        write = partial(self._record, event_id, channel.key, totals, measured_at, entry)
        measured, result = await deadlines.run_in_thread(write, self._slot)
        if result.outcome is Outcome.UNKNOWN_EVENT:
            raise NotFound("no such event")
        if result.outcome is Outcome.UNKNOWN_CHANNEL:
            raise _unknown_channel()
        return channel, measured, result

    def _channel(self, name: str) -> Channel:
        channel = self._channels.named(name)
        if channel is None:
            raise _unknown_channel()
        if channel.key in self._polled:
            raise BadRequest(
                "{channel} is measured through its API: its totals cannot be typed",
                code="channel-is-polled",
                field="channelName",
                channel=channel.name,
            )
        return channel

    def _record(
        self, event_id: str, channel: str, totals: ChannelTotals, measured_at: datetime | None, entry: NewEntry
    ) -> tuple[datetime, MeasurementResult]:
        now = self._counter.now()
        at = now if measured_at is None else measured_at
        if not now - AGE_MAX <= at <= now:
            raise BadRequest(
                "{field} must be a past instant, at most {days} days ago",
                code="outside-of-time",
                field="measuredAt",
                days=AGE_MAX.days,
            )
        measurement = Measurement(event_id, channel, totals, at, imported=True)
        (results,) = self._counter.record([PieceResult(None, [measurement])], entry).results
        assert results is not None
        return at, results[0]


def _unknown_channel() -> BadRequest:
    return BadRequest("there is no channel of this name", code="unknown-channel", field="channelName")
