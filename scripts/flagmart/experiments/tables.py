"""Results as text for people: a table of numbers between lines of words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from flagmart.experiments import words
from flagmart.talk import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flagmart.experiments.results import Point, Result, Variation
    from flagmart.experiments.welch import Interval

WIDTH = 100
"""Characters of a line of words."""
_PEEKED = "if peeked"

Table = tuple[list[list[object]], list[str]]
"""Rows and header."""


def above(result: Result) -> Iterator[str]:
    """Lines that stand before the table: what is measured, and whether to trust it."""
    of = result.of
    better = f"{of.success} is better"
    yield printable(f"{of.experiment_key}: {words.metric(result)}, {better}")
    yield printable(f"flag {of.flag_key}, environment {of.env_id}")
    for sentence in words.of_experiment(result):
        yield from _wrapped(sentence)


def of_result(result: Result) -> Table:
    """A row for each variation."""
    rows = [_cells(result, one) for one in result.variations]
    return [list(cells.values()) for cells in rows], list(rows[0])


def below(result: Result) -> Iterator[str]:
    """Lines that stand after the table: what it says of each variation but the baseline."""
    for one in result.variations:
        if told := words.of_variation(result, one):
            yield from _wrapped(f"{one.arm.variation_id}: {told}")


def of_points(points: Sequence[Point]) -> Table:
    """A row for each experiment, day and variation."""
    rows: list[list[object]] = []
    for point in points:
        arm = point.arm
        told, size = point.relative_effect, words.percent
        if told is None:
            told = point.difference
            size = words.points if arm.aggregation == "once" else words.number
        rows.append(
            [
                arm.experiment_key,
                arm.day_on.isoformat(),
                arm.variation_id,
                arm.users,
                arm.conversions,
                _mean(arm.aggregation, point.mean),
                size(told.value, signed=True) if told else "",
                _range(told.sequence, size) if told else "",
            ]
        )
    header = ["experiment", "until", "variation", "users", "conversions", "mean", "effect"]
    return rows, [*header, _PEEKED]


def _cells(result: Result, one: Variation) -> dict[str, object]:
    once = one.arm.aggregation == "once"
    interval = f"{100 * (1 - result.alpha):g}% interval"
    cells: dict[str, object] = {
        "variation": one.arm.variation_id,
        "users": one.arm.users,
        "conversions": one.arm.conversions,
        "rate" if once else "mean": _mean(one.arm.aggregation, one.mean),
        "effect": "",
        interval: "",
        _PEEKED: "",
        "p": "",
    }
    if result.comparisons > 1:
        cells["p (holm)"] = ""
    cells["mde"] = ""
    power = f"power at {words.percent(abs(result.effect))}" if result.effect else None
    if power:
        cells[power] = ""
    if found := one.comparison:
        told, size = words.best(result, found)
        smallest = words.smallest_effect(found)
        cells |= {
            "effect": size(told.value, signed=True),
            interval: _range(told.interval, size),
            _PEEKED: _range(told.sequence, size),
            "p": words.p_value(found.test.p_value),
            "mde": size(smallest) if smallest else "",
        }
        if result.comparisons > 1:
            cells["p (holm)"] = words.p_value(found.p_value_holm)
        if power and found.power is not None:
            cells[power] = words.percent(found.power)
    return {**cells, "result": one.verdict.value}


def _mean(aggregation: str, mean: float | None) -> str:
    if mean is None:
        return ""
    return words.percent(mean) if aggregation == "once" else words.number(mean)


def _range(interval: Interval, size: Callable[..., str]) -> str:
    return f"{size(interval.low, signed=True)} to {size(interval.high, signed=True)}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        WIDTH,
        subsequent_indent="  ",
        # a name stays in one piece
        break_long_words=False,
        break_on_hyphens=False,
    )
