"""A chart as blocks of text: one row of columns for each series, all on one scale."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from flagmart.charts.points import names
from flagmart.talk import plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flagmart.charts.points import Point

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ROWS = 4
"""Lines that the highest column takes."""
_WIDEST = 8
"""Characters that a column takes at most, where there is room."""


def picture(points: Sequence[Point], width: int) -> Iterator[str]:
    """Lines of at most `width` characters for what is drawn, names of any length aside.

    Args:
        points: of all series, each with the same intervals, ordered by series and interval.
        width: characters of a line.
    """
    series = [
        (key, list(group))
        for key, group in groupby(points, lambda point: (point.env_id, point.variation_id))
    ]
    if not series:
        return
    intervals = len(series[0][1])
    together = -(-intervals // width)
    columns = -(-intervals // together)
    thick = max(1, min(_WIDEST, width // columns))
    heights = [means([point.evaluations for point in drawn], together) for _, drawn in series]
    highest = max(max(found) for found in heights)
    environments = {env for (env, _), _ in series}
    called = names(points)
    for ((env, variation), drawn), found in zip(series, heights, strict=True):
        label = called[env, variation]
        name = printable(label if len(environments) == 1 else f"{label} in {env}")
        total = sum(point.evaluations for point in drawn)
        most = max(point.evaluations for point in drawn)
        yield f"{name}: {plural(total, 'evaluation')}, at most {most:,} in an interval"
        for row in range(_ROWS - 1, -1, -1):
            blocks = (block(height, highest, row) * thick for height in found)
            yield "".join(blocks).rstrip()
        # the ground shows where the columns stand, be they of no height
        yield "─" * (columns * thick)
        yield from axis(drawn, columns * thick, width)
        yield ""
    last = series[0][1][-1]
    remarks = [f"{plural(intervals, 'interval')}"]
    if together > 1:
        remarks.append(f"a column is the mean of {together}")
    if last.is_partial:
        remarks.append("the last is cut short by the end")
    yield "; ".join(remarks)


def means(values: Sequence[int], together: int) -> list[float]:
    """Means of so many neighbours each, and of those left at the end, of which a sum would drop."""
    groups = (values[first : first + together] for first in range(0, len(values), together))
    return [sum(group) / len(group) for group in groups]


def block(height: float, highest: float, row: int) -> str:
    """What a column shows in a row, counted from the ground; more than nothing is seen as such."""
    eighths = round(height / highest * _ROWS * 8) if highest else 0
    if height and not eighths:
        eighths = 1
    return _EIGHTHS[max(0, min(8, eighths - row * 8))]


def axis(drawn: Sequence[Point], drawn_width: int, width: int) -> Iterator[str]:
    """Beginnings of the first and the last interval, in one line where they fit."""
    first, last = drawn[0].interval_start_local, drawn[-1].interval_start_local
    if len(drawn) == 1:
        yield first
    elif len(first) + 2 + len(last) <= width:
        yield first + last.rjust(max(drawn_width - len(first), len(last) + 2))
    else:
        yield first
        yield f"to {last}"
