"""Client clocks as FeatBit's stores write them, read into microseconds since 1970 UTC.

A number says nothing of its unit, so the unit is decided once for a whole file (`decide`) and never
row by row: a clock that stands in 1970 must stay there, for the models to reject.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from enum import StrEnum


class Unit(StrEnum):
    """What a number counts since 1970-01-01T00:00:00Z."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"

    @property
    def words(self) -> str:
        """The unit's name in a sentence."""
        return {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[
            self.value
        ]


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant that needs no unit: a text or a typed date."""

    micros: int
    from_text: bool = False
    """Whether it was free text, whose missing zone was taken for UTC."""


Timestamp = int | Decimal | Moment | None
"""As it stands in the file: a number whose unit the file decides, an instant, or nothing."""

FIRST = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
LAST = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z

UNREADABLE = "timestamp that cannot be read"
OUT_OF_RANGE = "timestamp outside the years 0001 to 9999"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
# numerator and denominator of unit -> microseconds
_SCALE = {Unit.S: (1_000_000, 1), Unit.MS: (1_000, 1), Unit.US: (1, 1), Unit.NS: (1, 1_000)}
# A number below the bound counts at most that unit: 10^11 seconds is the year 5138, and the same
# instant in the next finer unit is a thousand times larger.
_MAGNITUDES = ((10**11, Unit.S), (10**14, Unit.MS), (10**17, Unit.US))


def number(text: str) -> int | Decimal:
    """A JSON number, exactly.

    Raises:
        ValueError: not a number, or one of absurd length.
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(UNREADABLE) from error
    if not value.is_finite() or value.adjusted() > 30:
        raise ValueError(UNREADABLE)
    return value


def from_text(text: str) -> int | Decimal | Moment:
    """A timestamp written as text: a quoted number, or ISO 8601; no zone means UTC.

    Raises:
        ValueError: neither.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return number(text)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Moment((moment - _EPOCH) // _MICROSECOND, from_text=True)
    except (ValueError, OverflowError) as error:
        raise ValueError(UNREADABLE) from error


def decide(timestamps: Iterable[Timestamp]) -> Unit | None:
    """The unit most of the numbers among `timestamps` are in, by their magnitude.

    Zero tells nothing and does not vote. None where no number votes.
    """
    votes = dict.fromkeys((Unit.US, Unit.MS, Unit.S, Unit.NS), 0)
    for value in timestamps:
        if isinstance(value, int | Decimal) and value:
            votes[magnitude(value)] += 1
    # max takes the first of equals, so a tie goes to what FeatBit itself writes
    best = max(votes, key=votes.__getitem__)
    return best if votes[best] else None


def magnitude(value: int | Decimal) -> Unit:
    """The unit in which `value` is a date of our times."""
    return next((unit for bound, unit in _MAGNITUDES if -bound < value < bound), Unit.NS)


def micros(value: Timestamp, unit: Unit) -> int | None:
    """Microseconds since 1970 UTC, rounded down; `unit` is what a plain number counts.

    Raises:
        ValueError: outside the years 0001 to 9999.
    """
    if value is None:
        return None
    if isinstance(value, Moment):
        result = value.micros
    else:
        times, over = _SCALE[unit]
        if isinstance(value, int):
            result = value * times // over
        else:
            result = int((value * times / over).to_integral_value(rounding=ROUND_FLOOR))
    if not FIRST <= result <= LAST:
        raise ValueError(OUT_OF_RANGE)
    return result
