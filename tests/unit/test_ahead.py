from __future__ import annotations

from contextlib import closing
from threading import Event, current_thread
from typing import TYPE_CHECKING

import pytest

from flagmart.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Generator


def test_the_same_items_come_in_their_order() -> None:
    assert list(ahead(number for number in range(100))) == list(range(100))
    assert list(ahead(number for number in range(0))) == []
    # what is as good as nothing is an item, too
    assert list(ahead(item for item in [None, False, 0])) == [None, False, 0]


def test_the_next_one_is_made_while_one_is_used_and_no_more_than_that() -> None:
    made: list[int] = []
    second = Event()

    def items() -> Generator[int, None, None]:
        for number in range(5):
            assert current_thread().name != "MainThread"
            made.append(number)
            if number == 1:
                second.set()
            yield number

    with closing(ahead(items())) as coming:
        assert next(coming) == 0
        assert second.wait(10)
        assert made == [0, 1]


def test_what_fails_is_raised_in_its_place() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(ValueError, match="broken"):
        next(coming)


def test_who_stops_in_the_middle_closes_them() -> None:
    closed = []

    def items() -> Generator[int, None, None]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    coming = ahead(items())
    next(coming)
    coming.close()
    assert closed == [True]
