"""What a chart shows, in plain Python with `zoneinfo`: slow, and sharing nothing with the SQL."""

from __future__ import annotations

import io
from calendar import monthrange
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


@dataclass(frozen=True)
class Chart:
    """A row of the seed."""

    name: str
    env: str
    flag: str
    start: str
    end: str
    timezone: str
    interval: str
    alignment: str


@dataclass(frozen=True, order=True)
class Evaluation:
    env: str
    flag: str
    variation: str
    at_ms: int


@cache
def zone(name: str) -> ZoneInfo:
    """The zone as the pinned tz data has it, not as the system does."""
    path = files("tzdata.zoneinfo").joinpath(*name.split("/"))
    return ZoneInfo.from_file(io.BytesIO(path.read_bytes()), name)


def shown(ms: int, at: ZoneInfo) -> datetime:
    """What clocks show at an instant, with their offset."""
    # not added: a sum forgets which of two equal clock times it was
    return datetime.fromtimestamp(ms // 1000, at).replace(microsecond=ms % 1000 * 1000)


@cache
def changes(at: ZoneInfo) -> tuple[int, ...]:
    """Every minute at which a zone's offset changes, in milliseconds since 1970 UTC."""

    def offset(minute: int) -> timedelta | None:
        return shown(minute * 60_000, at).utcoffset()

    days = range(946_684_800 // 60, 2_145_916_800 // 60, 1440)
    return tuple(
        minute * 60_000
        for day, next_day in pairwise(days)
        if offset(day) != offset(next_day)
        for minute in range(day + 1, next_day + 1)
        if offset(minute) != offset(minute - 1)
    )


@cache
def offsets(at: ZoneInfo) -> frozenset[int]:
    """Every offset a zone has had, in milliseconds."""
    found = [shown(ms, at).utcoffset() for ms in (946_684_800_000, *changes(at))]
    return frozenset(offset // timedelta(milliseconds=1) for offset in found if offset is not None)


def first_instant(wall: datetime, at: ZoneInfo) -> int:
    """The first instant at which clocks show `wall` or what comes after it.

    That is `wall` under an offset then in force, or, where they jump over it, when they do.
    """
    wall_ms = (wall - EPOCH) // timedelta(milliseconds=1)

    def clock(ms: int) -> datetime:
        return shown(ms, at).replace(tzinfo=None)

    shows = [ms for offset in offsets(at) if clock(ms := wall_ms - offset) == wall]
    if shows:
        return min(shows)
    (jump,) = (
        ms
        for ms in changes(at)
        if abs(ms - wall_ms) < 2 * 86_400_000 and clock(ms - 1) < wall < clock(ms)
    )
    return jump


def stepped(wall: datetime, interval: str, steps: int) -> datetime:
    """A wall clock some calendar units on, or back."""
    if interval.endswith("mo"):
        months = wall.year * 12 + wall.month - 1 + int(interval[:-2]) * steps
        year, month = months // 12, months % 12 + 1
        return wall.replace(year=year, month=month, day=min(wall.day, monthrange(year, month)[1]))
    return wall + timedelta(days=int(interval[:-1]) * {"d": 1, "w": 7}[interval[-1]] * steps)


def edges(chart: Chart, newest_ms: int) -> tuple[list[int], int]:
    """The instants that intervals begin at, with the one after the last, and the chart's end."""
    at = zone(chart.timezone)
    back = chart.start[1:] if chart.start.startswith("-") else None
    end_wall = datetime.fromisoformat(chart.end) if chart.end else None
    end_ms = first_instant(end_wall, at) if end_wall else newest_ms
    if chart.alignment == "fixed":
        step = int(chart.interval[:-1]) * _UNITS[chart.interval[-1]]
        if back:
            start_ms = end_ms - int(back[:-1]) * _UNITS[back[-1]]
        else:
            start_ms = first_instant(datetime.fromisoformat(chart.start), at)
        steps = -(-(end_ms - start_ms) // step)
        return [start_ms + number * step for number in range(steps + 1)], end_ms
    if back:
        start = stepped(end_wall or shown(newest_ms, at).replace(tzinfo=None), back, -1)
    else:
        start = datetime.fromisoformat(chart.start)
    found: list[int] = []
    number = 0
    while not found or found[-1] < end_ms:
        instant = first_instant(stepped(start, chart.interval, number), at)
        if not found or instant != found[-1]:
            found.append(instant)
        number += 1
    return found, end_ms


Point = tuple[str, str, str, str, int, int, int, str, bool, int]
"""Chart, env, flag, variation, index, start, end, local start, partial, evaluations."""


def points(chart: Chart, evaluations: Iterable[Evaluation], newest_ms: int) -> Iterator[Point]:
    """Every point of a chart; `evaluations` may hold others as well."""
    found, end_ms = edges(chart, newest_ms)
    intervals = [(start, end) for start, end in pairwise(found) if start < end_ms]
    counted: Counter[tuple[str, str, str, int]] = Counter()
    for one in evaluations:
        if chart.env in ("", one.env) and chart.flag in ("", one.flag):
            for index, (start, end) in enumerate(intervals):
                if start <= one.at_ms < min(end, end_ms):
                    counted[one.env, one.flag, one.variation, index] += 1
    for series in {key[:3] for key in counted}:
        for index, (start, end) in enumerate(intervals):
            local = shown(start, zone(chart.timezone)).isoformat(timespec="seconds")
            partial = end > end_ms
            yield (
                *(chart.name, *series, index, start, min(end, end_ms), local, partial),
                counted[*series, index],
            )
