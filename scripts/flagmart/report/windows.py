"""The windows that the page shows, as charts to ask for: all of them end at the newest data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flagmart.charts.points import Asked


@dataclass(frozen=True)
class Range:
    """A length of time that can be chosen on the page."""

    key: str
    label: str
    days: int
    """Its length, and how far back the period lies that it is compared with."""
    interval: str
    interval_label: str
    alignment: str
    step: timedelta
    """What its first interval begins at a whole one of, by the zone's clocks."""


RANGES = (
    Range("24h", "24 hours", 1, "1h", "an hour", "fixed", timedelta(hours=1)),
    Range("7d", "7 days", 7, "4h", "4 hours", "fixed", timedelta(days=1)),
    Range("30d", "30 days", 30, "1d", "a day", "calendar", timedelta(days=1)),
    Range("90d", "90 days", 90, "1d", "a day", "calendar", timedelta(days=1)),
)


def everything(timezone: str) -> Asked:
    """A day of all flags up to the newest data, which shows what clocks in the zone say there."""
    return Asked("", "", "-1d", "", "1d", timezone, "calendar")


def newest(start_wall_ms: int) -> datetime:
    """What clocks show at the newest data, from where `everything` begins."""
    return datetime.fromtimestamp(start_wall_ms / 1000, UTC).replace(tzinfo=None) + timedelta(1)


def shown(shown_range: Range, end: datetime, timezone: str) -> Asked:
    """All flags by interval, the last one cut at `end`, by the zone's clocks."""
    start = _start(shown_range, end)
    return Asked(
        "", "", start.isoformat(), "", shown_range.interval, timezone, shown_range.alignment
    )


def before(shown_range: Range, end: datetime, timezone: str) -> Asked:
    """The same hours of so many days earlier, as few intervals as can be."""
    back = timedelta(days=shown_range.days)
    return Asked(
        "",
        "",
        (_start(shown_range, end) - back).isoformat(),
        (end - back).isoformat(),
        f"{shown_range.days}d",
        timezone,
        "fixed",
    )


def _start(shown_range: Range, end: datetime) -> datetime:
    # an end on a whole step leaves no further one that has only begun
    last = end - timedelta(microseconds=1)
    since_midnight = last - datetime.combine(last.date(), datetime.min.time())
    begun = last - since_midnight % shown_range.step
    return begun + shown_range.step - timedelta(days=shown_range.days)
