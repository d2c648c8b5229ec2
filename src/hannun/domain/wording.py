"""Numbers, money and times as people read them, in Korean and English: the same forms as the page's `format.js`.

A value that is missing has no text here: the caller says what is missing.
"""

import math
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from hannun.domain.terms import Language

MINUS = "−"
NO_BREAK = "\u00a0"
"""Keeps an amount of money on one line."""
_MAN, _EOK, _JO = 10_000, 100_000_000, 1_000_000_000_000
"""Korean units of large numbers: 만, 억 and 조."""
_COMPACT = ("K", "M", "B", "T")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = {
    "ko": ("월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}

Number = int | float | Decimal


# -- numbers


def count(value: Number, decimals: int = 0) -> str:
    """1,234; at most `decimals` places, rounded half away from 0."""
    digits = f"{_rounded(value, decimals):,f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return digits.replace("-", MINUS)


def people(value: int, language: Language) -> str:
    """1,234명, 1,234 people."""
    return f"{count(value)}명" if language == "ko" else f"{count(value)} {'person' if value == 1 else 'people'}"


def percent(value: Number) -> str:
    """12.35%, from a value in percent."""
    return f"{count(value, 2)}%"


def signed_percent(value: Number) -> str:
    """+12.35%, −3%, 0%."""
    return f"{_sign(value)}{percent(value)}"


def change(value: Number, language: Language) -> str:
    """By how much a figure has changed, without its direction: 12.3%. A change that would round to 0 is named by its
    limit."""
    size = -value if value < 0 else value
    if 0 < size < 0.05:
        return "0.1% 미만" if language == "ko" else "under 0.1%"
    return f"{count(size, 1)}%"


def signed_change(value: Number, language: Language) -> str:
    """+12.3%, −3%, 0%."""
    return f"{'+' if value > 0 else MINUS if value < 0 else ''}{change(value, language)}"


def signed_points(value: Number, language: Language) -> str:
    """A difference of two percentages: +1.5%p, +1.5 points."""
    return f"{_sign(value)}{count(value, 2)}{'%p' if language == 'ko' else ' points'}"


def _sign(value: Number) -> str:
    return "+" if _rounded(value, 2) > 0 else ""


def _rounded(value: Number, decimals: int) -> Decimal:
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return abs(rounded) if rounded == 0 else rounded  # never −0


# -- money


def won(value: Number, language: Language) -> str:
    """1,234원, ₩1,234, without decimals. An amount that would round to 0 is named by its limit: it is not nothing."""
    if is_below_one_won(value):
        return "1원 미만" if language == "ko" else "under ₩1"
    digits = count(value)
    if language == "ko":
        return f"{digits}원"
    return f"{MINUS}₩{digits[1:]}" if digits.startswith(MINUS) else f"₩{digits}"


def is_below_one_won(value: Number) -> bool:
    """Whether an amount is some money, but rounds to 0 won."""
    return 0 < value < 0.5


def won_short(value: Number, language: Language) -> str:
    """Money as spoken: 1,234만원, 1억 2,345만원, 1조 2,371억원, ₩12.35M."""
    size, sign = (-value, MINUS) if value < 0 else (value, "")
    if size < 100_000:
        return won(value, language)
    return f"{sign}{_spoken(size)}" if language == "ko" else f"{sign}₩{_compact(size)}"


def _spoken(size: Number) -> str:
    # Rounded only once, in units of 만: 99,999,999 becomes 1억 and not 10,000만.
    man = _half_up(float(size) / (_MAN / 10)) / 10 if size < 1_000 * _MAN else _half_up(float(size) / _MAN)
    if man < _MAN:
        return f"{count(man, 1)}만원"
    if man < 100 * _MAN:
        return f"{_two_units(int(man), '억', '만')}원"
    eok = _half_up(float(size) / _EOK)
    if eok < _MAN:
        return f"{count(eok)}억원"
    jo = _two_units(eok, "조", "억") if size < 100 * _JO else f"{count(_half_up(float(size) / _JO))}조"
    return f"{jo}원"


def _two_units(amount: int, larger: str, smaller: str) -> str:
    """An amount in units of which 10,000 make a larger one: 1억 2,345만."""
    whole, rest = divmod(amount, _MAN)
    return f"{count(whole)}{larger}" + (f"{NO_BREAK}{count(rest)}{smaller}" if rest else "")


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)


def _compact(size: Number) -> str:
    """At most two places and the unit: 1.23M. Thousands have no separator below 10,000."""
    shown, unit = Decimal(repr(size) if isinstance(size, float) else size), ""
    for letter in _COMPACT:
        if _rounded(shown, 2) >= 1_000:
            shown, unit = shown / 1_000, letter
    text = count(shown, 2)
    return (text.replace(",", "") if shown < 10_000 else text) + unit


# -- times: instants in UTC without a zone, shown in a zone


def local(moment: datetime, tz: str) -> datetime:
    """The moment by the clock of the zone."""
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(tz))


def time_of_day(moment: datetime, tz: str) -> str:
    """09:05."""
    return f"{local(moment, tz):%H:%M}"


def day(moment: datetime, tz: str, language: Language) -> str:
    """11월 23일, Nov 23."""
    return _day(local(moment, tz), language)


def day_with_year(moment: datetime, tz: str, language: Language) -> str:
    """2026년 11월 23일, Nov 23, 2026."""
    there = local(moment, tz)
    shown = _day(there, language)
    return f"{there.year}년 {shown}" if language == "ko" else f"{shown}, {there.year}"


def day_with_time(moment: datetime, tz: str, language: Language) -> str:
    """2026년 11월 23일 09:05, Nov 23, 2026 09:05."""
    return f"{day_with_year(moment, tz, language)} {time_of_day(moment, tz)}"


def recent_time(moment: datetime, now: datetime, tz: str, language: Language) -> str:
    """The time alone, if it was today; else day and time: 11월 22일 09:05."""
    clock = time_of_day(moment, tz)
    return clock if local(moment, tz).date() == local(now, tz).date() else f"{day(moment, tz, language)} {clock}"


def month_day(moment: datetime, tz: str) -> str:
    """11/23."""
    there = local(moment, tz)
    return f"{there.month}/{there.day}"


def hour(value: int, language: Language) -> str:
    """An hour of the day: 14시, 14:00."""
    return f"{value}시" if language == "ko" else f"{value:02}:00"


def weekday(value: int, language: Language) -> str:
    """A day of the week, 1 (Monday) to 7."""
    return _WEEKDAYS[language][value - 1]


def _day(of: date, language: Language) -> str:
    return f"{of.month}월 {of.day}일" if language == "ko" else f"{_MONTHS[of.month - 1]} {of.day}"


# -- Korean particles


def with_particle(word: str, after_consonant: str, after_vowel: str) -> str:
    """A word with the particle that its last sound asks for: 인스타그램이, 네이버 블로그가.

    A Hangul syllable has a final consonant or has none; so has the name of a digit or of a capital letter. How a Latin
    word ends is certain for some letters only. Where it is not, both are written: ☆이(가).
    """
    has_consonant = _ends_in_consonant(word.rstrip(")]}\"'”’ ") or word)
    if has_consonant is None:
        return f"{word}{after_consonant}({after_vowel})"
    return word + (after_consonant if has_consonant else after_vowel)


_DIGITS_WITH_CONSONANT = frozenset("013678")  # 영 일 삼 육 칠 팔
_CAPITALS_WITH_CONSONANT = frozenset("LMNR")  # 엘 엠 엔 알


def _ends_in_consonant(word: str) -> bool | None:
    last = word[-1:]
    if "가" <= last <= "힣":
        return (ord(last) - ord("가")) % 28 != 0
    if last.isascii() and (last.isdigit() or last.isupper()):
        return last in _DIGITS_WITH_CONSONANT or last in _CAPITALS_WITH_CONSONANT
    return True if last in ("l", "m", "n") else False if last in ("a", "e", "i", "o", "u", "y") else None
