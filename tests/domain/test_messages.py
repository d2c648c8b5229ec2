"""What a message must be to count, and what is said of one that cannot be used."""

import json
import unicodedata
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hannun.domain.batch import ReceivedMessage
from hannun.domain.channels import load_table
from hannun.domain.facts import DeliveryState, EventStatus, Fact, Kind, ParticipantRegistered, Reason, Rejected
from hannun.domain.field_values import COUNT_MAX
from hannun.domain.wire_formats import NESTING_MAX, SIZE_MAX_BYTES, WIRE_TYPES, Decoder, Rules

RECEIVED_AT = 1_795_402_800_000_000
RECEIVED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
UUID = "5b0c2f64-ab00-4000-8000-000000000001"
TABLE = load_table()
DECODER = Decoder(Rules(b"a key of these tests", TABLE))

WHOLE: dict[Kind, dict[str, Any]] = {
    Kind.EVENT_CREATED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "eventTitle": "봄맞이",
        "userId": "merchant-1",
        "createdAt": "2026-11-20T10:00:00Z",
        "totalInvestment": "1000.50",
        "expectedRevenue": 2000,
        "targetRoi": 12.5,
        "baselineRevenue": 300,
        "status": "ACTIVE",
        "startDate": "2026-11-21T00:00:00+09:00",
        "endDate": "2026-12-21T00:00:00+09:00",
    },
    Kind.PARTICIPANT_REGISTERED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "participantId": UUID,
        "registeredAt": "2026-11-20T10:00:59Z",
        "channelName": "NAVER",
    },
    Kind.DISTRIBUTION_COMPLETED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "completedAt": "2026-11-20T10:00:00Z",
        "channelName": "NAVER",
        "channelType": "SNS",
        "status": "SUCCESS",
        "distributionCost": 100,
        "expectedViews": 5,
    },
    Kind.EVENT_STATUS_CHANGED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "status": "ENDED",
        "changedAt": "2026-11-20T10:00:00Z",
    },
    Kind.SALES_RECORDED: {
        "eventId": "e-1",
        "messageId": "m-1",
        "saleId": "s-1",
        "amount": 100,
        "soldAt": "2026-11-20T10:00:00Z",
        "refund": False,
        "channelName": "NAVER",
    },
}
REQUIRED = {
    Kind.EVENT_CREATED: ("eventId", "eventTitle", "userId", "createdAt"),
    Kind.PARTICIPANT_REGISTERED: ("eventId", "participantId", "registeredAt"),
    Kind.DISTRIBUTION_COMPLETED: ("eventId", "completedAt", "channelName", "status"),
    Kind.EVENT_STATUS_CHANGED: ("eventId", "status", "changedAt"),
    Kind.SALES_RECORDED: ("eventId", "saleId", "amount", "soldAt"),
}
LENGTHS_MAX = {
    "eventId": 36,
    "messageId": 64,
    "eventTitle": 255,
    "title": 255,
    "userId": 36,
    "storeId": 36,
    "participantId": 64,
    "saleId": 64,
    "channelName": 50,
    "channel": 50,
    "entryPath": 50,
}
INSTANTS = {"createdAt", "startDate", "endDate", "registeredAt", "completedAt", "changedAt", "soldAt"}
DECIMALS = {"totalInvestment", "expectedRevenue", "targetRoi", "baselineRevenue", "distributionCost", "amount"}
CHOICES = {"status", "channelType"}
LISTS = {"channels", "distributedChannels"}


def wire_fields(kind: Kind) -> Iterator[str]:
    return (field.encode_name for field in msgspec.structs.fields(WIRE_TYPES[kind]))


EVERY_FIELD = [(kind, name) for kind in Kind for name in wire_fields(kind)]
EVERY_REQUIRED = [(kind, name) for kind, names in REQUIRED.items() for name in names]


def raw_of(kind: Kind, **fields: Any) -> bytes:
    """A whole message of this kind with these fields otherwise; a field that is `...` is left out."""
    said = {name: value for name, value in (WHOLE[kind] | fields).items() if value is not ...}
    return json.dumps(said, ensure_ascii=False).encode()


def decoded(kind: Kind, **fields: Any) -> Any:
    return DECODER.decode(kind, raw_of(kind, **fields), RECEIVED_AT)


def reason(kind: Kind, **fields: Any) -> Reason | None:
    """Why the message cannot be used; None if it can."""
    return reason_of(kind, raw_of(kind, **fields))


def reason_of(kind: str, raw: bytes) -> Reason | None:
    found = DECODER.decode(kind, raw, RECEIVED_AT)
    return found.reason if isinstance(found, Rejected) else None


def with_text(kind: Kind, field: str, json_text: str) -> bytes:
    """A whole message whose field has exactly this JSON text."""
    rest = raw_of(kind, **{field: ...})
    return rest[:-1] + f', "{field}": {json_text}}}'.encode()


# -- the five kinds ----------------------------------------------------------------------------------------------


def test_an_event_created_message_becomes_its_plan() -> None:
    fact = decoded(Kind.EVENT_CREATED)
    assert fact.event_id == "e-1"
    assert (fact.title, fact.user_id) == ("봄맞이", "merchant-1")
    assert fact.created_at == 1_795_168_800_000_000
    assert (fact.total_investment, fact.expected_revenue) == (Decimal("1000.50"), Decimal("2000.00"))
    assert (fact.target_roi, fact.baseline_revenue) == (Decimal("12.50"), Decimal("300.00"))
    assert fact.status is EventStatus.ACTIVE
    assert fact.ends_at - fact.starts_at == 30 * 86_400 * 1_000_000


def test_an_event_created_message_needs_no_plan() -> None:
    optional = set(wire_fields(Kind.EVENT_CREATED)) - set(REQUIRED[Kind.EVENT_CREATED])
    for absent in (..., None):
        fact = decoded(Kind.EVENT_CREATED, **dict.fromkeys(optional, absent))
        assert (fact.total_investment, fact.expected_revenue, fact.target_roi) == (0, 0, 0)
        assert (fact.baseline_revenue, fact.starts_at, fact.ends_at) == (None, None, None)
        assert fact.status is EventStatus.ACTIVE


def test_a_participant_counts_in_the_minute_of_registration() -> None:
    fact = decoded(Kind.PARTICIPANT_REGISTERED)
    assert fact.participant == UUID.replace("-", "")
    assert fact.minute * 60 == int(datetime(2026, 11, 20, 10, 0, tzinfo=UTC).timestamp())
    assert fact.channel.name == "NaverBlog"


def test_a_distribution_tells_one_channel_in_its_own_fields() -> None:
    fact = decoded(Kind.DISTRIBUTION_COMPLETED)
    (delivery,) = fact.deliveries
    assert (delivery.channel.name, delivery.channel_type, delivery.state) == ("NaverBlog", "SNS", DeliveryState.SUCCESS)
    assert (delivery.cost, delivery.expected_views) == (Decimal("100.00"), 5)


@pytest.mark.parametrize("field", sorted(LISTS))
def test_a_distribution_tells_many_channels_in_a_list(field: str) -> None:
    listed = [
        {"channel": "Radio", "channelType": "CALL", "status": "FAILED"},
        {"entryPath": "지니TV", "status": "SUCCESS", "distributionCost": "7.5", "channelType": "SNS"},
    ]
    fact = decoded(Kind.DISTRIBUTION_COMPLETED, channelName=..., status=..., **{field: listed})
    radio, genie = fact.deliveries
    assert (radio.channel.name, radio.channel_type, radio.state, radio.cost) == ("Radio", "VOICE", "FAILED", 0)
    assert radio.expected_views is None
    assert (genie.channel.name, genie.cost) == ("GenieTV", Decimal("7.50"))
    assert genie.channel_type == "TV", "a known channel has the table's type, whatever the producer believes"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"channels": []}, Reason.MISSING_FIELD),
        ({"channels": {}}, Reason.WRONG_TYPE),
        ({"channels": "NAVER"}, Reason.WRONG_TYPE),
        ({"channels": ["NAVER"]}, Reason.WRONG_TYPE),
        ({"channels": [{"status": "SUCCESS"}]}, Reason.MISSING_FIELD),
        ({"channels": [{"channelName": "NAVER"}]}, Reason.MISSING_FIELD),
        ({"channels": [{"channelName": "Radio", "status": "SUCCESS"}]}, Reason.MISSING_FIELD),
        ({"channels": [{"channelName": "NAVER", "status": "LATER"}]}, Reason.OUT_OF_BOUNDS),
        ({"channelName": "Radio", "channelType": ...}, Reason.MISSING_FIELD),
        ({"channelType": "PRINT"}, Reason.OUT_OF_BOUNDS),
        ({"distributionCost": -1}, Reason.OUT_OF_BOUNDS),
    ],
)
def test_a_distribution_that_cannot_be_used_says_why(fields: dict[str, Any], why: Reason) -> None:
    assert reason(Kind.DISTRIBUTION_COMPLETED, **fields) is why


def test_one_unusable_channel_makes_the_whole_distribution_unusable() -> None:
    good = {"channelName": "NAVER", "status": "SUCCESS"}
    assert reason(Kind.DISTRIBUTION_COMPLETED, channels=[good]) is None
    assert reason(Kind.DISTRIBUTION_COMPLETED, channels=[good, good | {"expectedViews": -1}]) is Reason.OUT_OF_BOUNDS


def test_a_refund_is_a_sale_below_zero() -> None:
    assert decoded(Kind.SALES_RECORDED, amount="10.10").amount == Decimal("10.10")
    assert decoded(Kind.SALES_RECORDED, amount="10.10", refund=True).amount == Decimal("-10.10")
    assert decoded(Kind.SALES_RECORDED, amount="10.10", refund=None).amount == Decimal("10.10")


def test_a_status_message_becomes_its_status() -> None:
    fact = decoded(Kind.EVENT_STATUS_CHANGED, status="ARCHIVED")
    assert (fact.event_id, fact.status, fact.changed_at) == ("e-1", EventStatus.ARCHIVED, 1_795_168_800_000_000)


# -- aliases -----------------------------------------------------------------------------------------------------


def test_names_of_producers_are_accepted() -> None:
    assert decoded(Kind.EVENT_CREATED, eventTitle=..., title="다른 이름").title == "다른 이름"
    assert decoded(Kind.EVENT_CREATED, eventTitle="a", title="b").title == "a"
    assert decoded(Kind.EVENT_CREATED, userId=..., storeId="store").user_id == "store"
    assert decoded(Kind.EVENT_CREATED, userId="a", storeId="b").user_id == "a"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"channelName": "Instagram", "channel": "KAKAO", "entryPath": "NAVER"}, "Instagram"),
        ({"channelName": None, "channel": "KAKAO", "entryPath": "NAVER"}, "KakaoChannel"),
        ({"channelName": ..., "entryPath": "NAVER"}, "NaverBlog"),
        ({"channelName": ...}, None),
        ({"channelName": None, "channel": None, "entryPath": None}, None),
    ],
)
def test_channel_name_comes_before_channel_and_channel_before_entry_path(fields: Any, name: str | None) -> None:
    for kind in (Kind.PARTICIPANT_REGISTERED, Kind.SALES_RECORDED):
        channel = decoded(kind, **fields).channel
        assert (channel and channel.name) == name


SPELLINGS = [
    ("WooriTV", "URIDONGNETV"),
    ("WooriTV", "WOORIDONGNE_TV"),
    ("WooriTV", "우리동네TV"),
    ("GenieTV", "GINITV"),
    ("GenieTV", "지니TV"),
    ("RingoBiz", "링고비즈"),
    ("Instagram", "instagram"),
    ("NaverBlog", "NAVER"),
    ("NaverBlog", "Naver Blog"),
    ("NaverBlog", "네이버블로그"),
    ("KakaoChannel", "KAKAO"),
    ("KakaoChannel", "Kakao Channel"),
    ("KakaoChannel", "카카오채널"),
]


@pytest.mark.parametrize(("name", "spelling"), SPELLINGS + [(name, name) for name, _ in SPELLINGS])
def test_a_channel_is_known_by_each_of_its_spellings(name: str, spelling: str) -> None:
    written = (
        spelling,
        spelling.upper(),
        spelling.lower(),
        unicodedata.normalize("NFD", spelling),
        f"  {spelling}\t",
        "-".join(spelling.replace(" ", "")),
        "_".join(spelling[:3]) + spelling[3:],
    )
    for each in written:
        assert decoded(Kind.PARTICIPANT_REGISTERED, channelName=each).channel.name == name, each


def test_an_unknown_channel_keeps_the_name_under_which_it_came() -> None:
    channel = decoded(Kind.PARTICIPANT_REGISTERED, channelName=" My-Radio 1 ").channel
    assert (channel.key, channel.name, channel.type) == ("myradio1", "My-Radio 1", None)


@pytest.mark.parametrize("empty", [" ", "___", " _ - ", "\t\n", "\u3000"])
def test_a_channel_name_with_nothing_to_compare_is_out_of_bounds(empty: str) -> None:
    assert reason(Kind.PARTICIPANT_REGISTERED, channelName=empty) is Reason.OUT_OF_BOUNDS


def test_a_channel_name_has_fifty_characters_at_most_also_when_composing_makes_it_longer() -> None:
    assert reason(Kind.PARTICIPANT_REGISTERED, channelName="x" * 50) is None
    assert reason(Kind.PARTICIPANT_REGISTERED, channelName="\u0958" * 26) is Reason.OUT_OF_BOUNDS  # NFC: two each


# -- decimals and counts -----------------------------------------------------------------------------------------

MONEY = [(kind, name) for kind, name in EVERY_FIELD if name in DECIMALS and name != "targetRoi"]


def decimal_of(kind: Kind, field: str, json_text: str) -> Any:
    found = DECODER.decode(kind, with_text(kind, field, json_text), RECEIVED_AT)
    if isinstance(found, Rejected):
        return found.reason
    if kind is Kind.DISTRIBUTION_COMPLETED:
        return found.deliveries[0].cost
    return getattr(found, "".join("_" + c.lower() if c.isupper() else c for c in field))


@pytest.mark.parametrize(("kind", "field"), MONEY)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0.00"),
        ("5", "5.00"),
        ('"5"', "5.00"),
        ("1.015", "1.02"),
        ('"1.015"', "1.02"),
        ("0.125", "0.12"),
        ('"0.125"', "0.12"),
        ("0.135", "0.14"),
        ("2.675", "2.68"),
        ("0.12500000000000000000000000000000000001", "0.13"),
        ("0.005", "0.00"),
        ("1e2", "100.00"),
        ('"1.5E+2"', "150.00"),
        ("15e-1", "1.50"),
        ("1e-9999", "0.00"),
        ("-0", "0.00"),
        ('"-0.00"', "0.00"),
        ("9999999999999.99", "9999999999999.99"),
        ("9999999999999.994", "9999999999999.99"),
        ("0." + "1" * 3_000, "0.11"),
    ],
)
def test_a_decimal_keeps_two_places_rounded_half_even(kind: Kind, field: str, text: str, value: str) -> None:
    found = decimal_of(kind, field, text)
    assert str(found) == value, "no float on the way, and no negative zero"


@pytest.mark.parametrize(("kind", "field"), MONEY)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9999999999999.995", Reason.OUT_OF_BOUNDS),
        ("10000000000000", Reason.OUT_OF_BOUNDS),
        ("1e13", Reason.OUT_OF_BOUNDS),
        ("1e9999", Reason.OUT_OF_BOUNDS),
        ('"1e9999"', Reason.OUT_OF_BOUNDS),
        ("9" * 5_000, Reason.OUT_OF_BOUNDS),
        ("-1", Reason.OUT_OF_BOUNDS),
        ('"-0.01"', Reason.OUT_OF_BOUNDS),
        ('"NaN"', Reason.WRONG_TYPE),
        ('"sNaN"', Reason.WRONG_TYPE),
        ('"Infinity"', Reason.WRONG_TYPE),
        ('"1_000"', Reason.WRONG_TYPE),
        ('"1,000"', Reason.WRONG_TYPE),
        ('" 1"', Reason.WRONG_TYPE),
        ('"1\\n"', Reason.WRONG_TYPE),
        ('"٣"', Reason.WRONG_TYPE),
        ('"0x10"', Reason.WRONG_TYPE),
        ('"."', Reason.WRONG_TYPE),
        ('""', Reason.WRONG_TYPE),
        ("true", Reason.WRONG_TYPE),
        ("[1]", Reason.WRONG_TYPE),
        ("{}", Reason.WRONG_TYPE),
        ("NaN", Reason.NOT_JSON),
        ("Infinity", Reason.NOT_JSON),
        ("1.", Reason.NOT_JSON),
    ],
)
def test_what_is_no_decimal_or_fits_no_column_is_refused(kind: Kind, field: str, text: str, why: Reason) -> None:
    assert decimal_of(kind, field, text) is why


@pytest.mark.parametrize("text", ["1e99999", '"1e99999"'])
def test_a_decimal_beyond_every_column_is_out_of_bounds_however_it_is_written(text: str) -> None:
    assert decimal_of(Kind.SALES_RECORDED, "amount", text) is Reason.OUT_OF_BOUNDS


def test_a_target_ends_where_its_narrower_column_ends() -> None:
    assert decoded(Kind.EVENT_CREATED, targetRoi="99999999.99").target_roi == Decimal("99999999.99")
    assert reason(Kind.EVENT_CREATED, targetRoi="99999999.995") is Reason.OUT_OF_BOUNDS
    assert reason(Kind.EVENT_CREATED, targetRoi=-0.01) is Reason.OUT_OF_BOUNDS


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("-0", 0), (str(COUNT_MAX), COUNT_MAX), ("null", None)])
def test_a_count_goes_up_to_what_an_integer_column_holds(text: str, count: int | None) -> None:
    raw = with_text(Kind.DISTRIBUTION_COMPLETED, "expectedViews", text)
    found = DECODER.decode(Kind.DISTRIBUTION_COMPLETED, raw, RECEIVED_AT)
    assert found.deliveries[0].expected_views == count  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (str(2**31), Reason.OUT_OF_BOUNDS),
        (str(2**63), Reason.OUT_OF_BOUNDS),
        (str(2**64), Reason.OUT_OF_BOUNDS),
        ("1" * 5_000, Reason.OUT_OF_BOUNDS),
        ("-1", Reason.OUT_OF_BOUNDS),
        ("1.0", Reason.WRONG_TYPE),
        ("1e3", Reason.WRONG_TYPE),
        ('"5"', Reason.WRONG_TYPE),
        ("true", Reason.WRONG_TYPE),
        ("[]", Reason.WRONG_TYPE),
    ],
)
def test_what_is_no_count_is_refused(text: str, why: Reason) -> None:
    assert reason_of(Kind.DISTRIBUTION_COMPLETED, with_text(Kind.DISTRIBUTION_COMPLETED, "expectedViews", text)) is why


# -- instants ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:00:00Z",
        "2026-11-20T10:00:00z",
        "2026-11-20t10:00:00z",
        "2026-11-20T10:00Z",
        "2026-11-20T10:00:00.000Z",
        "2026-11-20T10:00:00.000000000Z",
        "2026-11-20T10:00:00+00:00",
        "2026-11-20T10:00:00-00:00",
        "2026-11-20T19:00:00+09:00",
        "2026-11-20T19:00:00+0900",
        "2026-11-20T19:00:00+09",
        "2026-11-20T15:45:00+05:45",
        "2026-11-19T22:30:00-11:30",
        "2026-11-21T00:00:00+14:00",
    ],
)
def test_an_instant_is_the_same_in_every_zone_and_form(text: str) -> None:
    assert decoded(Kind.EVENT_STATUS_CHANGED, changedAt=text).changed_at == 1_795_168_800_000_000


def test_nanoseconds_are_cut_to_microseconds() -> None:
    fact = decoded(Kind.EVENT_STATUS_CHANGED, changedAt="2026-11-20T10:00:00.123456999Z")
    assert fact.changed_at == 1_795_168_800_123_456


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-11-20T10:00:00", Reason.NO_OFFSET),
        ("2026-11-20 10:00", Reason.NO_OFFSET),
        ("2026-11-20", Reason.NO_OFFSET),
        ("2026-02-30T10:00:00Z", Reason.WRONG_TYPE),
        ("2026-13-01T10:00:00Z", Reason.WRONG_TYPE),
        ("2025-02-29T10:00:00Z", Reason.WRONG_TYPE),
        ("2026-11-20T25:00:00Z", Reason.WRONG_TYPE),
        ("2026-11-20T10:00:00+24:00", Reason.WRONG_TYPE),
        ("0000-01-01T00:00:00Z", Reason.WRONG_TYPE),
        ("yesterday", Reason.WRONG_TYPE),
        ("1795168800", Reason.WRONG_TYPE),
        ("", Reason.WRONG_TYPE),
        ("٢٠٢٦-11-20T10:00:00Z", Reason.WRONG_TYPE),
        ("0001-01-01T00:00:00Z", Reason.OUT_OF_TIME),
        ("0001-01-01T00:00:00+14:00", Reason.OUT_OF_TIME),
        ("9999-12-31T23:59:59-11:30", Reason.OUT_OF_TIME),
        ("1969-12-31T23:59:59Z", Reason.OUT_OF_TIME),
    ],
)
@pytest.mark.parametrize(("kind", "field"), [(kind, name) for kind, name in EVERY_FIELD if name in INSTANTS])
def test_an_instant_that_cannot_be_used_says_why(kind: Kind, field: str, text: str, why: Reason) -> None:
    assert reason(kind, **{field: text}) is why


def test_an_instant_without_an_offset_means_the_operators_zone() -> None:
    seoul = Decoder(Rules(b"key", TABLE, naive_times_are=ZoneInfo("Asia/Seoul")))

    def decode(at: str) -> Any:
        return seoul.decode(Kind.EVENT_STATUS_CHANGED, raw_of(Kind.EVENT_STATUS_CHANGED, changedAt=at), RECEIVED_AT)

    assert decode("2026-11-20T19:00:00").changed_at == 1_795_168_800_000_000
    assert decode("2026-11-20T19:00:00Z").changed_at == 1_795_168_800_000_000 + 9 * 3_600_000_000
    for awkward in ("0001-01-01T00:00:00", "9999-12-31T23:59:59"):
        assert decode(awkward).reason is Reason.OUT_OF_TIME


def registered_at(moment: datetime) -> Reason | None:
    return reason(Kind.PARTICIPANT_REGISTERED, registeredAt=moment.isoformat())


def test_a_participant_may_be_a_day_ahead_and_not_a_microsecond_more() -> None:
    assert registered_at(RECEIVED + timedelta(hours=24)) is None
    assert registered_at(RECEIVED + timedelta(hours=24, microseconds=1)) is Reason.OUT_OF_TIME


def test_a_participant_of_before_2015_is_refused() -> None:
    first = datetime(2015, 1, 1, tzinfo=UTC)
    assert registered_at(first) is None
    assert registered_at(first - timedelta(microseconds=1)) is Reason.OUT_OF_TIME
    assert reason(Kind.PARTICIPANT_REGISTERED, registeredAt="2015-01-01T00:00:00+09:00") is Reason.OUT_OF_TIME


def test_a_replay_decides_by_when_the_message_was_received_and_not_by_the_clock() -> None:
    raw = raw_of(Kind.PARTICIPANT_REGISTERED, registeredAt="2016-01-03T00:00:00Z")
    received = int(datetime(2016, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert isinstance(DECODER.decode(Kind.PARTICIPANT_REGISTERED, raw, received), Rejected)
    assert isinstance(
        DECODER.decode(Kind.PARTICIPANT_REGISTERED, raw, received + 86_400_000_000), ParticipantRegistered
    )


# -- missing, null, empty, too long, of a wrong type: every field of every kind ------------------------------------


def test_these_tests_know_every_field() -> None:
    known = set(LENGTHS_MAX) | INSTANTS | DECIMALS | CHOICES | LISTS | {"expectedViews", "refund"}
    assert {name for _, name in EVERY_FIELD} == known
    for kind, wire in WIRE_TYPES.items():
        required = {field.encode_name for field in msgspec.structs.fields(wire) if field.required}
        assert required <= set(REQUIRED[kind])


@pytest.mark.parametrize(("kind", "field"), EVERY_REQUIRED)
@pytest.mark.parametrize("absent", [..., None], ids=["missing", "null"])
def test_a_required_field_that_is_missing_or_null_is_missing(kind: Kind, field: str, absent: Any) -> None:
    assert reason(kind, **{field: absent}) is Reason.MISSING_FIELD


@pytest.mark.parametrize(("kind", "field"), [each for each in EVERY_FIELD if each not in EVERY_REQUIRED])
def test_an_optional_field_may_be_null(kind: Kind, field: str) -> None:
    assert reason(kind, **{field: None}) is None


@pytest.mark.parametrize(("kind", "field"), [each for each in EVERY_FIELD if each[1] in LENGTHS_MAX])
def test_a_text_has_at_least_one_character_and_at_most_its_column(kind: Kind, field: str) -> None:
    longest = LENGTHS_MAX[field]
    assert reason(kind, **{field: "가" * longest, "channelType": "SNS"}) is None
    assert reason(kind, **{field: "가" * (longest + 1), "channelType": "SNS"}) is Reason.OUT_OF_BOUNDS
    assert reason(kind, **{field: ""}) is Reason.OUT_OF_BOUNDS


@pytest.mark.parametrize(("kind", "field"), EVERY_FIELD)
@pytest.mark.parametrize("value", [1.5, True, [], {}, [1], {"a": 1}], ids=json.dumps)
def test_a_value_of_a_wrong_type_is_told_as_that(kind: Kind, field: str, value: Any) -> None:
    if (field in DECIMALS and value == 1.5) or (field == "refund" and value is True):
        assert reason(kind, **{field: value}) is None
    elif field in LISTS and value == []:
        assert reason(kind, **{field: value}) is Reason.MISSING_FIELD
    else:
        assert reason(kind, **{field: value}) is Reason.WRONG_TYPE


@pytest.mark.parametrize(("kind", "field"), [each for each in EVERY_FIELD if each[1] in CHOICES])
def test_a_choice_outside_its_list_is_out_of_bounds_and_is_not_repeated(kind: Kind, field: str) -> None:
    found = decoded(kind, **{field: "홍길동 010-1234-5678"})
    assert found.reason is Reason.OUT_OF_BOUNDS
    assert "홍길동" not in repr(found)


# -- not a message at all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["", "event-deleted", "EVENT-CREATED", "event-created ", "x" * 1_000])
def test_an_unknown_type_is_told_as_that(kind: str) -> None:
    assert reason_of(kind, raw_of(Kind.EVENT_CREATED)) is Reason.UNKNOWN_TYPE
    assert reason_of(kind, b"{") is Reason.NOT_JSON, "what cannot be read has no type"


@pytest.mark.parametrize("kind", Kind)
def test_a_message_cut_anywhere_is_not_json(kind: Kind) -> None:
    raw = json.dumps(WHOLE[kind]).encode()
    assert {reason_of(kind, raw[:length]) for length in range(len(raw))} == {Reason.NOT_JSON}
    assert reason_of(kind, raw + b"}") is Reason.NOT_JSON
    assert reason_of(kind, raw + raw) is Reason.NOT_JSON
    assert reason_of(kind, b" \r\n\t" + raw + b"\n") is None


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"not json", b"{'eventId': 'e'}", b'{"eventId": "e",}', b"\xef\xbb\xbf{}", b"<xml/>", b"\\", b"{]"],
)
def test_what_is_not_json_is_told_as_that(raw: bytes) -> None:
    found = DECODER.decode(Kind.EVENT_CREATED, raw, RECEIVED_AT)
    assert isinstance(found, Rejected)
    assert (found.reason, found.fields, found.event_id) == (Reason.NOT_JSON, None, None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("raw", [b"[]", b"[{}]", b"1", b"1.5", b'"text"', b"true", b"null"])
def test_json_that_is_no_object_is_of_a_wrong_type(kind: Kind, raw: bytes) -> None:
    assert reason_of(kind, raw) is Reason.WRONG_TYPE


def test_a_byte_order_mark_is_not_json() -> None:
    assert reason_of(Kind.EVENT_CREATED, b"\xef\xbb\xbf" + raw_of(Kind.EVENT_CREATED)) is Reason.NOT_JSON


@pytest.mark.parametrize(("kind", "field"), [each for each in EVERY_FIELD if each[1] in LENGTHS_MAX])
def test_a_nul_in_a_known_text_is_bad_text(kind: Kind, field: str) -> None:
    assert reason(kind, **{field: "a\0b"}) is Reason.BAD_TEXT
    assert reason_of(kind, with_text(kind, field, '"a\0b"')) in (Reason.BAD_TEXT, Reason.NOT_JSON)


def test_a_nul_in_a_channel_of_a_list_is_bad_text() -> None:
    listed = [{"channelName": "a\0", "status": "SUCCESS", "channelType": "TV"}]
    assert reason(Kind.DISTRIBUTION_COMPLETED, channels=listed) is Reason.BAD_TEXT


def test_a_nul_in_an_unknown_field_harms_nobody() -> None:
    assert reason(Kind.PARTICIPANT_REGISTERED, note="a\0b", **{"c\0d": {"e\0": 1}}) is None


@pytest.mark.parametrize("surrogate", [r"\ud800", r"\udc00", r"\ud800 and more", r"\ud800\ud800"])
@pytest.mark.parametrize("field", ["participantId", "channelName", "note"])
def test_half_a_surrogate_pair_is_refused_in_a_known_field(field: str, surrogate: str) -> None:
    inside = with_text(Kind.PARTICIPANT_REGISTERED, field, f'"{surrogate}", "more": "fields follow"')
    at_the_end = with_text(Kind.PARTICIPANT_REGISTERED, field, f'"{surrogate}"')
    refused = {Reason.BAD_TEXT, Reason.NOT_JSON}  # cut off at the end of the message, the parser takes it for a cut
    if field == "note":
        # What nobody keeps may be ignored or refused, as the parser's skipping finds it; it never raises.
        refused |= {None}  # type: ignore[arg-type]
    else:
        assert reason_of(Kind.PARTICIPANT_REGISTERED, inside) is Reason.BAD_TEXT
    assert reason_of(Kind.PARTICIPANT_REGISTERED, inside) in refused
    assert reason_of(Kind.PARTICIPANT_REGISTERED, at_the_end) in refused


def test_a_whole_surrogate_pair_is_a_character() -> None:
    raw = with_text(Kind.EVENT_CREATED, "eventTitle", r'"\ud83c\udf38"')
    assert DECODER.decode(Kind.EVENT_CREATED, raw, RECEIVED_AT).title == "🌸"  # type: ignore[union-attr]


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"])
@pytest.mark.parametrize("field", ["participantId", "channelName", "note"])
def test_bad_utf8_is_bad_text_also_where_nobody_looks(field: str, bad: bytes) -> None:
    rest = raw_of(Kind.PARTICIPANT_REGISTERED, **{field: ...})
    raw = rest[:-1] + f', "{field}": "'.encode() + bad + b'"}'
    found = DECODER.decode(Kind.PARTICIPANT_REGISTERED, raw, RECEIVED_AT)
    assert isinstance(found, Rejected)
    assert (found.reason, found.fields) == (Reason.BAD_TEXT, None)


@pytest.mark.parametrize("kind", [*Kind, "unknown"])
@pytest.mark.parametrize("open_close", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [NESTING_MAX + 1, 5_000, 10_000, 100_000])
def test_a_message_that_nests_too_deeply_is_refused(kind: str, open_close: tuple[str, str], depth: int) -> None:
    opening, closing = open_close
    nested = opening * (depth - 1) + "0" + closing * (depth - 1)
    for note in (nested, opening * depth, nested + '"', '"\\"", "b": ' + nested):
        raw = f'{{"eventId": "e", "note": {note}}}'.encode()
        expected = {Reason.TOO_LARGE} if len(raw) > SIZE_MAX_BYTES else {Reason.NOT_JSON}
        assert reason_of(kind, raw) in expected


def test_a_message_may_nest_as_deeply_as_the_limit_says_and_hold_brackets_in_texts() -> None:
    deep = json.loads("[" * (NESTING_MAX - 1) + "]" * (NESTING_MAX - 1))
    assert reason(Kind.PARTICIPANT_REGISTERED, note=deep) is None
    assert reason(Kind.PARTICIPANT_REGISTERED, note="[" * 5_000, other='\\"' + "{" * 5_000) is None
    assert reason(Kind.PARTICIPANT_REGISTERED, note=[[] for _ in range(5_000)]) is None


def test_a_message_has_64_kb_and_not_a_byte_more() -> None:
    raw = raw_of(Kind.PARTICIPANT_REGISTERED)
    assert reason_of(Kind.PARTICIPANT_REGISTERED, raw + b" " * (65_536 - len(raw))) is None
    found = DECODER.decode(Kind.PARTICIPANT_REGISTERED, raw + b" " * (65_537 - len(raw)), RECEIVED_AT)
    assert isinstance(found, Rejected)
    assert (found.reason, found.fields) == (Reason.TOO_LARGE, None)


def test_of_a_field_said_twice_the_last_one_holds() -> None:
    raw = with_text(Kind.PARTICIPANT_REGISTERED, "eventId", '"first", "eventId": "last"')
    assert DECODER.decode(Kind.PARTICIPANT_REGISTERED, raw, RECEIVED_AT).event_id == "last"  # type: ignore[union-attr]


# -- what is kept of a message that cannot be used -----------------------------------------------------------------

PHONE, NAME, STREET = "010-1234-5678", "홍길동", "세종대로 110"
PERSONAL = {
    "phone": PHONE,
    "name": NAME,
    "user": {"name": NAME, "phone": [PHONE, {"street": STREET}]},
    "Event_Id": NAME,
    PHONE: PHONE,
}


def told_of(rejected: Any) -> str:
    assert isinstance(rejected, Rejected)
    return repr(rejected) + json.dumps(rejected.fields, ensure_ascii=False)


@pytest.mark.parametrize("kind", Kind)
def test_unknown_fields_are_never_kept(kind: Kind) -> None:
    found = decoded(kind, **PERSONAL, **{REQUIRED[kind][-1]: ...})
    told = told_of(found)
    for secret in (PHONE, NAME, STREET):
        assert secret not in told
    assert found.event_id == "e-1"
    assert set(found.fields) <= {*wire_fields(kind), "participant", "leftOut"}


@pytest.mark.parametrize(("kind", "field"), EVERY_FIELD)
def test_personal_data_in_the_place_of_a_known_field_is_never_kept(kind: Kind, field: str) -> None:
    """Not what is wrong by itself: a text too long, an object, a time that is none, a choice outside its list."""
    for value in ({"name": NAME}, [PHONE], [{"name": NAME}], f"{NAME} {PHONE} " * 30):
        found = decoded(kind, **{field: value})
        told = told_of(found)
        assert NAME not in told and PHONE not in told, value
        assert field not in (found.fields or {}) or field in LISTS


@pytest.mark.parametrize(
    ("kind", "field"), [each for each in EVERY_FIELD if each[1] in INSTANTS | DECIMALS | CHOICES | {"expectedViews"}]
)
def test_a_value_that_is_wrong_by_itself_is_not_kept(kind: Kind, field: str) -> None:
    told = told_of(decoded(kind, **{field: f"{NAME} {PHONE}"}))
    assert NAME not in told and PHONE not in told


def test_personal_data_inside_a_listed_channel_is_never_kept() -> None:
    listed = [{"channelName": "NAVER", "status": "LATER", **PERSONAL}, NAME, [PHONE], None]
    found = decoded(Kind.DISTRIBUTION_COMPLETED, channels=listed)
    told = told_of(found)
    for secret in (PHONE, NAME, STREET):
        assert secret not in told
    assert found.fields["channels"] == [{"channelName": "NAVER", "leftOut": ["status"]}, {}, {}, {}]


def test_known_fields_are_kept_so_that_the_message_can_be_taken_up_again() -> None:
    found = decoded(Kind.EVENT_CREATED, createdAt="2026-11-20T10:00:00")
    assert found.reason is Reason.NO_OFFSET
    assert found.fields == {
        **{name: str(value) for name, value in WHOLE[Kind.EVENT_CREATED].items() if name != "messageId"},
        "createdAt": "2026-11-20T10:00:00",
    }


def test_what_was_left_out_is_named_so_that_nobody_puts_the_message_together_without_it() -> None:
    found = decoded(Kind.SALES_RECORDED, refund="true")
    assert found.fields["leftOut"] == ["refund"]


@pytest.mark.parametrize("participant_id", [UUID, PHONE, NAME])
def test_a_participant_is_kept_only_as_the_ledger_keeps_it(participant_id: str) -> None:
    found = decoded(Kind.PARTICIPANT_REGISTERED, participantId=participant_id, registeredAt=...)
    assert found.fields["participant"] == DECODER.participant_of(participant_id)
    assert "participantId" not in found.fields
    assert participant_id not in told_of(found)


def test_a_detail_is_short_and_a_type_too() -> None:
    found = DECODER.decode("x" * 1_000, b"{}", RECEIVED_AT)
    assert isinstance(found, Rejected)
    assert len(found.kind) <= 64 and len(found.detail) <= 200


# -- participants ------------------------------------------------------------------------------------------------


def test_a_participant_that_is_a_uuid_is_that_uuid_in_any_case() -> None:
    lower = decoded(Kind.PARTICIPANT_REGISTERED, participantId=UUID.lower())
    upper = decoded(Kind.PARTICIPANT_REGISTERED, participantId=UUID.upper())
    assert lower == upper
    assert uuid.UUID(lower.participant) == uuid.UUID(UUID)


@pytest.mark.parametrize("other", [UUID.replace("-", ""), "{" + UUID + "}", UUID + "\n", UUID[:-1] + "a"])
def test_another_id_is_another_participant(other: str) -> None:
    assert DECODER.participant_of(other) != DECODER.participant_of(UUID)
    assert len(DECODER.participant_of(other)) == 32


def test_a_hash_depends_on_the_id_and_on_the_key() -> None:
    other_key = Decoder(Rules(b"another key", TABLE))
    assert DECODER.participant_of("p1") == Decoder(Rules(b"a key of these tests", TABLE)).participant_of("p1")
    assert DECODER.participant_of("p1") != DECODER.participant_of("p2")
    assert DECODER.participant_of("p1") != other_key.participant_of("p1")
    assert DECODER.participant_of(UUID) == other_key.participant_of(UUID)


# -- whatever comes ------------------------------------------------------------------------------------------------

quick = settings(derandomize=True, deadline=None, max_examples=300, database=None)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_names = st.sampled_from(sorted({name for _, name in EVERY_FIELD} | {"type", "name", "phone"}))
_likely = st.sampled_from(
    [value for whole in WHOLE.values() for value in whole.values()] + ["", "0", "1e9999", "\0", "2026-11-20T10:00"]
)


@quick
@given(st.sampled_from([*Kind, "unknown"]), st.binary(max_size=400))
def test_decoding_arbitrary_bytes_never_raises(kind: str, raw: bytes) -> None:
    assert isinstance(DECODER.decode(kind, raw, RECEIVED_AT), Rejected)


@quick
@given(st.sampled_from(list(Kind)), st.data())
def test_decoding_a_message_damaged_anywhere_never_raises(kind: Kind, data: st.DataObject) -> None:
    raw = bytearray(raw_of(kind))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    assert isinstance(DECODER.decode(kind, bytes(raw), RECEIVED_AT), Fact | Rejected)


@quick
@given(st.sampled_from(list(Kind)), _values)
def test_decoding_arbitrary_json_never_raises(kind: Kind, value: Any) -> None:
    assert isinstance(DECODER.decode(kind, json.dumps(value).encode(), RECEIVED_AT), Rejected)


@quick
@given(st.sampled_from(list(Kind)), st.dictionaries(_names, _likely | _values, max_size=6))
def test_decoding_a_message_with_arbitrary_fields_is_the_same_each_time(kind: Kind, fields: dict[str, Any]) -> None:
    raw = raw_of(kind, **fields)
    found = DECODER.decode(kind, raw, RECEIVED_AT)
    assert found == Decoder(Rules(b"a key of these tests", TABLE)).decode(kind, raw, RECEIVED_AT)
    if isinstance(found, Rejected):
        json.dumps(found.fields, ensure_ascii=False).encode()
        assert "\\u0000" not in json.dumps(found.fields)
        assert set(found.fields or {}) <= {*wire_fields(kind), "participant", "leftOut"}


# -- a batch -------------------------------------------------------------------------------------------------------

REGISTERED = Kind.PARTICIPANT_REGISTERED
_usual_instants = st.builds(
    lambda moment, fraction, zone: moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone,
    st.datetimes(datetime(2014, 12, 31), datetime(2026, 11, 25)),
    st.sampled_from(["", ".123", ".999999"]),
    st.sampled_from(["Z", "+09:00", "+05:45", "+00:00"]),
)
_whole_registrations = st.fixed_dictionaries(
    {
        "participantId": st.uuids().map(str) | st.sampled_from([UUID.upper(), "guest 7", "한글"]),
        "channelName": st.sampled_from(["NAVER", "Shop 1", None]),
        "eventId": st.sampled_from(["e-1", "e-2", "행사"]),
    }
)


def batch_of(*raws: bytes) -> list[ReceivedMessage]:
    return [ReceivedMessage(REGISTERED, raw, RECEIVED_AT + at) for at, raw in enumerate(raws)]


def one_by_one(batch: list[ReceivedMessage]) -> list[Fact | Rejected]:
    return [DECODER.decode(kind, raw, received_at) for kind, raw, received_at, *_ in batch]


@quick
@given(st.data())
def test_registrations_read_together_are_what_each_is_by_itself(data: st.DataObject) -> None:
    """Of one form, as a producer writes them; sometimes with one that is odd in a field."""
    moments = data.draw(st.lists(_usual_instants, min_size=1, max_size=6))
    form = data.draw(st.sampled_from(moments))
    raws = []
    for moment in moments:
        alike = moment[:19] + form[19:] if data.draw(st.integers(0, 9)) else moment
        raws.append(raw_of(REGISTERED, registeredAt=alike, **data.draw(_whole_registrations)))
    if data.draw(st.integers(0, 3)) == 0:
        odd = data.draw(st.dictionaries(_names, _likely | _values, max_size=2))
        raws[data.draw(st.integers(0, len(raws) - 1))] = raw_of(REGISTERED, **odd)
    batch = batch_of(*raws)
    assert DECODER.decode_all(batch) == one_by_one(batch)


@quick
@given(st.data())
def test_a_batch_damaged_anywhere_is_what_each_of_it_is_by_itself(data: st.DataObject) -> None:
    raws = [bytearray(raw_of(REGISTERED)) for _ in range(3)]
    for raw in raws[: data.draw(st.integers(1, 3))]:
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"}\n{", b"\n"])
        )
    batch = batch_of(*map(bytes, raws))
    assert DECODER.decode_all(batch) == one_by_one(batch)


@pytest.mark.parametrize(
    "raws",
    [
        [b'{"eventId":"a"', b'"participantId":"b","registeredAt":"2026-11-20T10:00:59Z"}'],
        [raw_of(REGISTERED) + b"\n" + raw_of(REGISTERED)],
        [raw_of(REGISTERED) + b"\n", raw_of(REGISTERED)],
        [raw_of(REGISTERED) + raw_of(REGISTERED), b""],
        [b" " + raw_of(REGISTERED), raw_of(REGISTERED)],
        [raw_of(REGISTERED, registeredAt="2026-11-20T10:00:60Z"), raw_of(REGISTERED)],
        [raw_of(REGISTERED, registeredAt="2026-11-20T24:00:30Z"), raw_of(REGISTERED)],
        [raw_of(REGISTERED, registeredAt="2026-11-20T10:00:30+24:00")],
        [raw_of(REGISTERED, registeredAt="2026-11-24T03:00:00.000001Z")],
        [raw_of(REGISTERED, registeredAt="2026-11-24T03:00:00Z"), raw_of(REGISTERED)],
        [raw_of(REGISTERED, registeredAt="2015-01-01T00:00:00Z"), raw_of(REGISTERED)],
        [raw_of(REGISTERED, registeredAt="2014-12-31T23:59:59Z"), raw_of(REGISTERED)],
        [raw_of(REGISTERED, participantId=UUID + "\n" + UUID), raw_of(REGISTERED)],
        [raw_of(REGISTERED, note="x" * SIZE_MAX_BYTES), raw_of(REGISTERED)],
        [raw_of(REGISTERED, note="가"), raw_of(REGISTERED, note=None)[:-1] + b',"x":"\xff"}'],
        [],
    ],
)
def test_the_edges_of_reading_registrations_together(raws: list[bytes]) -> None:
    batch = batch_of(*raws)
    assert DECODER.decode_all(batch) == one_by_one(batch)
