from decimal import Decimal

import pytest

from flagmart.ingest.timestamps import FIRST, LAST, Moment, Unit, decide, from_text, micros

MICROS = 1_702_366_933_320_000  # 2023-12-12T07:42:13.320Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-12-12 07:42:13.320000", MICROS),
        ("2023-12-12T07:42:13.32Z", MICROS),
        ("2023-12-12T09:42:13.320+02:00", MICROS),
        ("2023-12-12 07:42:13.32+00", MICROS),
        (" 2023-12-12 07:42:13.320 ", MICROS),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("0001-01-01T00:00:00Z", FIRST),
        ("9999-12-31T23:59:59.999999Z", LAST),
    ],
)
def test_text_is_utc_where_no_zone_is_written(text: str, expected: int) -> None:
    moment = from_text(text)
    assert isinstance(moment, Moment)
    assert moment.from_text
    assert micros(moment, Unit.S) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1702366933320000", MICROS), ("1702366933.32", Decimal("1702366933.32")), ("-5", -5)],
)
def test_quoted_numbers_are_numbers(text: str, expected: int | Decimal) -> None:
    assert from_text(text) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "infinity", "1e999", "NaN", "2023-13-01", "9" * 5000, "12:30", "-"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        from_text(text)


def test_each_unit_gives_the_same_instant() -> None:
    assert micros(Decimal("1702366933.32"), Unit.S) == MICROS
    assert micros(MICROS // 1000, Unit.MS) == MICROS
    assert micros(MICROS, Unit.US) == MICROS
    assert micros(MICROS * 1000 + 999, Unit.NS) == MICROS
    assert micros(-1, Unit.NS) == -1, "rounded down, on both sides of 1970"
    assert micros(None, Unit.S) is None


@pytest.mark.parametrize("value", [FIRST - 1, LAST + 1, 10**100, -(10**100), Moment(LAST + 1)])
def test_outside_the_calendar_is_refused(value: int | Moment) -> None:
    with pytest.raises(ValueError, match="0001 to 9999"):
        micros(value, Unit.US)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1_702_366_933], Unit.S),
        ([1_702_366_933_320], Unit.MS),
        ([MICROS], Unit.US),
        ([MICROS * 1000], Unit.NS),
        ([Decimal("1702366933.32")], Unit.S),
        ([-1_702_366_933], Unit.S),
        # a clock in 1970, counted in microseconds, looks like milliseconds; most are right
        ([1_702_366_933_320, MICROS, MICROS], Unit.US),
        ([1_702_366_933_320, MICROS], Unit.US),
        ([0, 0, 0, 1_702_366_933], Unit.S),
        ([0], None),
        ([None, Moment(MICROS, from_text=True)], None),
        ([], None),
    ],
)
def test_the_unit_is_what_most_numbers_are_in(
    values: list[int | Decimal | Moment | None], unit: Unit | None
) -> None:
    assert decide(values) is unit
