"""Single fields of messages: decimals, counts, instants and participant ids."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from message_samples import (
    DECIMALS,
    DECODER,
    EVERY_FIELD,
    INSTANTS,
    KEY,
    RECEIVED,
    RECEIVED_AT,
    TABLE,
    UUID,
    decoded,
    differences,
    raw_of,
    reason,
    reason_of,
    with_text,
)

from hannun.domain.batch import ReceivedMessage
from hannun.domain.dead_letter_redaction import rebuild_message
from hannun.domain.facts import EventCreated, Kind, Reason, Rejected
from hannun.domain.field_values import COUNT_MAX, TimeForm
from hannun.domain.wire_formats import Decoder, Rules
from hannun.errors import OperatorError
from hannun.settings import Settings

SEOUL = ZoneInfo("Asia/Seoul")

# -- decimals and counts -----------------------------------------------------------------------------------------

MONEY = [(kind, name) for kind, name in EVERY_FIELD if name in DECIMALS and name != "targetRoi"]

USABLE_DECIMALS = [
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
]

UNUSABLE_DECIMALS = [
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
    ("true", Reason.WRONG_TYPE),
    ("[1]", Reason.WRONG_TYPE),
    ("{}", Reason.WRONG_TYPE),
    ("NaN", Reason.NOT_JSON),
    ("Infinity", Reason.NOT_JSON),
    ("1.", Reason.NOT_JSON),
]

UNUSABLE_COUNTS = [
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
]


def decimal_of(kind: Kind, field: str, json_text: str) -> Any:
    found: Any = DECODER.decode(kind, with_text(kind, field, json_text), RECEIVED_AT)
    if isinstance(found, Rejected):
        return found.reason
    if kind is Kind.DISTRIBUTION_COMPLETED:
        return found.deliveries[0].cost
    return getattr(found, "".join("_" + c.lower() if c.isupper() else c for c in field))


def test_every_decimal_keeps_two_places_rounded_half_even() -> None:
    """There is no float in between, and no negative zero."""
    assert not differences(
        ((kind, field, text), str(decimal_of(kind, field, text)), value)
        for kind, field in MONEY
        for text, value in USABLE_DECIMALS
    )


def test_a_value_that_is_no_decimal_or_fits_no_column_is_refused_in_every_decimal_field() -> None:
    assert not differences(
        ((kind, field, text), decimal_of(kind, field, text), why)
        for kind, field in MONEY
        for text, why in UNUSABLE_DECIMALS
    )


def test_a_decimal_with_a_huge_exponent_is_out_of_bounds_as_a_number_and_as_a_text() -> None:
    for text in ("1e99999", '"1e99999"'):
        assert decimal_of(Kind.SALES_RECORDED, "amount", text) is Reason.OUT_OF_BOUNDS, text


def test_a_target_is_limited_by_its_narrower_column() -> None:
    assert decoded(Kind.EVENT_CREATED, targetRoi="99999999.99").target_roi == Decimal("99999999.99")
    assert reason(Kind.EVENT_CREATED, targetRoi="99999999.995") is Reason.OUT_OF_BOUNDS
    assert reason(Kind.EVENT_CREATED, targetRoi=-0.01) is Reason.OUT_OF_BOUNDS


def test_a_count_may_be_as_large_as_an_integer_column_holds() -> None:
    for text, count in (("0", 0), ("-0", 0), (str(COUNT_MAX), COUNT_MAX), ("null", None)):
        raw = with_text(Kind.DISTRIBUTION_COMPLETED, "expectedViews", text)
        found: Any = DECODER.decode(Kind.DISTRIBUTION_COMPLETED, raw, RECEIVED_AT)
        assert found.deliveries[0].expected_views == count, text


def test_a_value_that_is_no_count_is_refused() -> None:
    kind = Kind.DISTRIBUTION_COMPLETED
    assert not differences(
        (text, reason_of(kind, with_text(kind, "expectedViews", text)), why) for text, why in UNUSABLE_COUNTS
    )


# -- instants ----------------------------------------------------------------------------------------------------

SPELLINGS_OF_ONE_INSTANT = [
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
    "2026-11-20T19:00:00+09:00[Asia/Seoul]",
    "2026-11-20T10:00Z[UTC]",
    "2026-11-20t10:00:00.000000000z[Etc/GMT]",
    "2026-11-20T19:00+09:00[GMT+09:00]",
    "2026-11-20T07:00-03:00[America/Argentina/Buenos_Aires]",
]

UNUSABLE_INSTANTS = [
    ("2026-11-20T10:00:00", Reason.NO_OFFSET),
    ("2026-11-20 10:00", Reason.NO_OFFSET),
    ("2026-11-20", Reason.NO_OFFSET),
    ("2026-11-20T10:00:00[Asia/Seoul]", Reason.NO_OFFSET),
    ("2026-11-20[Asia/Seoul]", Reason.NO_OFFSET),
    ("[Asia/Seoul]", Reason.WRONG_TYPE),
    ("2026-11-20T10:00:00Z[]", Reason.WRONG_TYPE),
    ("2026-11-20T10:00:00Z[Asia/Seoul", Reason.WRONG_TYPE),
    ("2026-11-20T10:00:00Z[Asia/Seoul]x", Reason.WRONG_TYPE),
    ("2026-11-20T10:00:00Z[UTC][UTC]", Reason.WRONG_TYPE),
    ("2026-11-20T10:00:00[Asia/Seoul]Z", Reason.WRONG_TYPE),
    ("2026-11-20T10:00:00Z[Asia Seoul]", Reason.WRONG_TYPE),
    ("2026-11-20T10:00:00Z[Bad]", Reason.WRONG_TYPE),
    ("2026-11-20_10:00:00Z", Reason.WRONG_TYPE),
    ("2026-11-20+09:00", Reason.WRONG_TYPE),
    ("2026-02-30T10:00:00Z[Asia/Seoul]", Reason.WRONG_TYPE),
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
]


def test_an_instant_is_the_same_in_every_zone_and_form() -> None:
    assert not differences(
        (text, getattr(decoded(Kind.EVENT_STATUS_CHANGED, changedAt=text), "changed_at", None), 1_795_168_800_000_000)
        for text in SPELLINGS_OF_ONE_INSTANT
    )


def test_nanoseconds_are_cut_to_microseconds() -> None:
    fact = decoded(Kind.EVENT_STATUS_CHANGED, changedAt="2026-11-20T10:00:00.123456999Z")
    assert fact.changed_at == 1_795_168_800_123_456


def test_an_unusable_instant_is_refused_with_its_reason_in_every_instant_field() -> None:
    assert not differences(
        ((kind, field, text), reason(kind, **{field: text}), why)
        for kind, field in EVERY_FIELD
        if field in INSTANTS
        for text, why in UNUSABLE_INSTANTS
        if (field != "endDate" or not text.startswith("9999-12-31"))
        and (field not in ("startDate", "endDate") or text != "")
    )


def test_an_instant_without_an_offset_means_the_operators_zone() -> None:
    seoul = Decoder(Rules(b"key", TABLE, naive_times_are=SEOUL))

    def decode(at: str) -> Any:
        return seoul.decode(Kind.EVENT_STATUS_CHANGED, raw_of(Kind.EVENT_STATUS_CHANGED, changedAt=at), RECEIVED_AT)

    assert decode("2026-11-20T19:00:00").changed_at == 1_795_168_800_000_000
    assert decode("2026-11-20T19:00:00Z").changed_at == 1_795_168_800_000_000 + 9 * 3_600_000_000
    for at in ("0001-01-01T00:00:00", "9999-12-31T23:59:59"):
        assert decode(at).reason is Reason.OUT_OF_TIME, at


DECIDING_INSTANTS = [
    (Kind.EVENT_CREATED, "createdAt"),
    (Kind.PARTICIPANT_REGISTERED, "registeredAt"),
    (Kind.DISTRIBUTION_COMPLETED, "completedAt"),
    (Kind.EVENT_STATUS_CHANGED, "changedAt"),
    (Kind.SALES_RECORDED, "soldAt"),
]


def test_every_instant_that_decides_may_be_a_day_after_receipt_and_not_a_microsecond_more() -> None:
    a_day = RECEIVED + timedelta(hours=24)
    for kind, field in DECIDING_INSTANTS:
        for moment, why in ((a_day, None), (a_day + timedelta(microseconds=1), Reason.OUT_OF_TIME)):
            for text in (moment.isoformat(), f"{moment.isoformat()}[UTC]", moment.astimezone(SEOUL).isoformat()):
                assert reason(kind, **{field: text}) is why, (kind, text)


def test_a_planned_start_and_end_may_lie_years_ahead() -> None:
    assert {field for _, field in DECIDING_INSTANTS} == INSTANTS - {"startDate", "endDate"}
    fact = decoded(Kind.EVENT_CREATED, startDate="2099-01-01T00:00:00Z", endDate="2099-02-01T00:00:00Z")
    assert fact.ends_at - fact.starts_at == 31 * 86_400 * 1_000_000


NO_END = [
    "9999-12-31",
    "99991231",
    "9999-12-31T23:59",
    "9999-12-31T23:59:59",
    "9999-12-31 23:59:59.999999999",
    "9999-12-31T23:59:59Z",
    "9999-12-31t23:59:59z",
    "9999-12-31T00:00:00+09:00",
    "9999-12-31T23:59:59-11:30",
    "9999-12-31T23:59:59+09:00[Asia/Seoul]",
    "9999-12-31T23:59:59[Asia/Seoul]",
]


def test_the_last_day_of_the_calendar_as_an_end_means_that_there_is_no_end() -> None:
    for decoder in (DECODER, Decoder(Rules(b"key", TABLE, naive_times_are=SEOUL))):
        for text in NO_END:
            found = decoder.decode(Kind.EVENT_CREATED, raw_of(Kind.EVENT_CREATED, endDate=text), RECEIVED_AT)
            assert isinstance(found, EventCreated), (text, found)
            assert found.ends_at is None, text
            assert found.starts_at is not None, text


def test_the_last_day_of_the_calendar_is_out_of_time_in_every_other_field() -> None:
    for kind, field in EVERY_FIELD:
        if field in INSTANTS - {"endDate"}:
            assert reason(kind, **{field: "9999-12-31T23:59:59Z"}) is Reason.OUT_OF_TIME, (kind, field)
    for text in ("9999-12-30T00:00:00Z", "9999-01-01T00:00:00Z"):
        assert reason(Kind.EVENT_CREATED, endDate=text) is Reason.OUT_OF_TIME, text


def test_a_zone_in_brackets_does_not_replace_a_missing_offset_by_the_operators_zone() -> None:
    seoul = Decoder(Rules(b"key", TABLE, naive_times_are=SEOUL))
    raw = raw_of(Kind.EVENT_STATUS_CHANGED, changedAt="2026-11-20T19:00:00[Europe/Berlin]")
    found = seoul.decode(Kind.EVENT_STATUS_CHANGED, raw, RECEIVED_AT)
    assert isinstance(found, Rejected) and found.reason is Reason.NO_OFFSET


def test_a_registration_before_2015_is_refused() -> None:
    first = datetime(2015, 1, 1, tzinfo=UTC)
    assert reason(Kind.PARTICIPANT_REGISTERED, registeredAt=first.isoformat()) is None
    before = first - timedelta(microseconds=1)
    assert reason(Kind.PARTICIPANT_REGISTERED, registeredAt=before.isoformat()) is Reason.OUT_OF_TIME
    assert reason(Kind.PARTICIPANT_REGISTERED, registeredAt="2015-01-01T00:00:00+09:00") is Reason.OUT_OF_TIME


def test_a_replay_decides_by_the_time_of_receipt_and_not_by_the_clock() -> None:
    received = int(datetime(2016, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    a_day_later = received + 86_400_000_000
    for kind, field in DECIDING_INSTANTS:
        raw = raw_of(kind, **{field: "2016-01-03T00:00:00Z"})
        assert isinstance(DECODER.decode(kind, raw, received), Rejected), kind
        assert not isinstance(DECODER.decode(kind, raw, a_day_later), Rejected), kind


# -- participants ------------------------------------------------------------------------------------------------


def test_a_participant_that_is_a_uuid_is_that_uuid_in_any_case() -> None:
    lower = decoded(Kind.PARTICIPANT_REGISTERED, participantId=UUID.lower())
    upper = decoded(Kind.PARTICIPANT_REGISTERED, participantId=UUID.upper())
    assert lower == upper
    assert uuid.UUID(lower.participant) == uuid.UUID(UUID)


def test_another_id_is_another_participant() -> None:
    for other in (UUID.replace("-", ""), "{" + UUID + "}", UUID + "\n", UUID[:-1] + "a"):
        assert DECODER.participant_of(other) != DECODER.participant_of(UUID), other
        assert len(DECODER.participant_of(other)) == 32, other


def test_a_hash_depends_on_the_id_and_on_the_key() -> None:
    other_key = Decoder(Rules(b"another key", TABLE))
    assert DECODER.participant_of("p1") == Decoder(Rules(KEY, TABLE)).participant_of("p1")
    assert DECODER.participant_of("p1") != DECODER.participant_of("p2")
    assert DECODER.participant_of("p1") != other_key.participant_of("p1")
    assert DECODER.participant_of(UUID) == other_key.participant_of(UUID)


# -- instants in other forms ---------------------------------------------------------------------------------------

AT = datetime(2026, 11, 20, 10, 0, 30, 123_000, tzinfo=UTC)
EPOCH_MS = 1_795_168_830_123
ARRAY = [2026, 11, 20, 19, 0, 30, 123_000_000]
ALL_FORMS = Decoder(Rules(KEY, TABLE, naive_times_are=SEOUL, time_forms=frozenset(TimeForm)))
EVERY_INSTANT = [(kind, field) for kind, field in EVERY_FIELD if field in INSTANTS]


def decoded_by(decoder: Decoder, kind: Kind, **fields: Any) -> Any:
    return decoder.decode(kind, raw_of(kind, **fields), RECEIVED_AT)


def test_numbers_and_arrays_are_the_same_instants_where_they_are_allowed() -> None:
    for kind, field in EVERY_INSTANT:
        expected = decoded_by(ALL_FORMS, kind, **{field: AT.isoformat()})
        assert not isinstance(expected, Rejected), (kind, field)
        for value in (EPOCH_MS, ARRAY):
            assert decoded_by(ALL_FORMS, kind, **{field: value}) == expected, (kind, field, value)
        for value, text in (
            ([2026, 11, 20, 19, 0], "2026-11-20T19:00:00+09:00"),
            ([2026, 11, 20, 19, 0, 1], "2026-11-20T19:00:01+09:00"),
            ([2026, 11, 20], "2026-11-20T00:00:00+09:00"),
        ):
            assert decoded_by(ALL_FORMS, kind, **{field: value}) == decoded(kind, **{field: text}), (kind, field, value)


def test_each_form_is_of_a_wrong_type_where_it_is_not_allowed() -> None:
    for kind, field in EVERY_INSTANT:
        for value, form in ((EPOCH_MS, TimeForm.EPOCH_MILLISECONDS), (ARRAY, TimeForm.ARRAYS)):
            others = Decoder(Rules(KEY, TABLE, naive_times_are=SEOUL, time_forms=frozenset(TimeForm) - {form}))
            for decoder in (DECODER, others):
                found = decoded_by(decoder, kind, **{field: value})
                assert found.reason is Reason.WRONG_TYPE, (kind, field, value)
                # What is kept of it is enough to count the message once the form is allowed.
                again = rebuild_message(found.fields)
                assert again is not None
                counted = ALL_FORMS.decode(kind, again, RECEIVED_AT)
                assert counted == decoded_by(ALL_FORMS, kind, **{field: value}), (kind, field)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1_795_168_830, Reason.OUT_OF_TIME),  # seconds
        (0, Reason.OUT_OF_TIME),
        (-EPOCH_MS, Reason.OUT_OF_TIME),
        (EPOCH_MS * 1_000, Reason.OUT_OF_TIME),  # microseconds
        (EPOCH_MS + 0.5, Reason.WRONG_TYPE),
        (True, Reason.WRONG_TYPE),
        ({}, Reason.WRONG_TYPE),
        ([], Reason.WRONG_TYPE),
        ([2026, 11], Reason.WRONG_TYPE),
        ([2026, 11, 20, 10], Reason.WRONG_TYPE),
        ([2026, 11, 20, 10, 0, 0, 0, 0], Reason.WRONG_TYPE),
        ([2026, 13, 20], Reason.WRONG_TYPE),
        ([2026, 11, 31, 10, 0], Reason.WRONG_TYPE),
        ([2026, 11, 20, 24, 0], Reason.WRONG_TYPE),
        ([2026, 11, 20, 10, 0, 0, 1_000_000_000], Reason.WRONG_TYPE),
        ([2026, 11, 20, 10, 0, 0, -1], Reason.WRONG_TYPE),
        ([0, 1, 1], Reason.WRONG_TYPE),
        ([2**70, 1, 1], Reason.WRONG_TYPE),
        ([2026.0, 11, 20], Reason.WRONG_TYPE),
        (["2026", 11, 20], Reason.WRONG_TYPE),
    ],
)
def test_what_is_no_such_instant_is_refused_and_not_kept(value: Any, why: Reason) -> None:
    for kind, field in EVERY_INSTANT:
        found = decoded_by(ALL_FORMS, kind, **{field: value})
        assert isinstance(found, Rejected), (kind, field, value)
        if value != [2**70, 1, 1]:  # beyond the numbers that are read
            assert found.reason is why, (kind, field, value)
        assert found.fields is not None
        assert field not in found.fields


def test_an_array_needs_the_operators_zone() -> None:
    without_zone = Decoder(Rules(KEY, TABLE, time_forms=frozenset(TimeForm)))
    assert decoded_by(without_zone, Kind.EVENT_STATUS_CHANGED, changedAt=ARRAY).reason is Reason.NO_OFFSET
    assert not isinstance(decoded_by(without_zone, Kind.EVENT_STATUS_CHANGED, changedAt=EPOCH_MS), Rejected)


def test_an_instant_in_another_form_is_bounded_like_a_text() -> None:
    day = 86_400_000
    for kind, field in DECIDING_INSTANTS:
        assert not isinstance(decoded_by(ALL_FORMS, kind, **{field: RECEIVED_AT // 1_000 + day}), Rejected)
        found = decoded_by(ALL_FORMS, kind, **{field: RECEIVED_AT // 1_000 + day + 1})
        assert found.reason is Reason.OUT_OF_TIME, (kind, field)


def test_the_last_day_of_the_calendar_in_another_form_means_no_end() -> None:
    for value in ([9999, 12, 31], [9999, 12, 31, 23, 59, 59], 253_402_214_400_000):
        assert decoded_by(ALL_FORMS, Kind.EVENT_CREATED, endDate=value).ends_at is None, value


def test_registrations_in_other_forms_decoded_together_are_those_decoded_one_by_one() -> None:
    kind = Kind.PARTICIPANT_REGISTERED
    raws = [raw_of(kind, registeredAt=value) for value in (AT.isoformat(), EPOCH_MS, ARRAY, 5, "x")]
    for chosen in itertools.permutations(raws, 2):
        batch = [ReceivedMessage(kind, raw, RECEIVED_AT) for raw in chosen]
        for decoder in (DECODER, ALL_FORMS):
            assert decoder.decode_all(batch) == [decoder.decode(*each[:3]) for each in batch]


@pytest.mark.parametrize("named", ["seconds", "epoch-milliseconds,dates", "Arrays"])
def test_an_unknown_form_of_instants_is_refused_at_the_start(named: str) -> None:
    with pytest.raises(OperatorError, match="HANNUN_TIMES_ARE"):
        _ = Settings(times_are=named).time_forms
    assert Settings(times_are=" arrays, ").time_forms == {TimeForm.ARRAYS}
