"""Announcements: a public format, and anything else on the channel counts as a missed announcement."""

import json

import pytest

from hannun.cache import announcements
from hannun.domain.batch import ChangedEvent


def test_an_announcement_holds_the_changed_event() -> None:
    event = ChangedEvent("e", "u", 2**62 + 1, ("NaverBlog", "Radio"))
    data = announcements.encode(event)
    assert json.loads(data) == {
        "eventId": "e",
        "userId": "u",
        "version": "4611686018427387905",
        "channels": ["NaverBlog", "Radio"],
    }
    assert announcements.decode(data) == event


def test_an_event_that_was_not_created_yet_has_no_owner() -> None:
    event = ChangedEvent("e", None, 1, ())
    assert json.loads(announcements.encode(event))["userId"] is None
    assert announcements.decode(announcements.encode(event)) == event


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"{", b"7", b"[]", b"{}", b'{"eventId": 7}', b'{"eventId": "e", "version": "new"}']
)
def test_other_data_on_the_channel_is_no_announcement(data: bytes) -> None:
    assert announcements.decode(data) is None
