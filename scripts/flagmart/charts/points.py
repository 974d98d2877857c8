"""The points of one chart, worked out by the views that dbt built, so by the models' own SQL."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flagmart import talk
from flagmart.delivery.deliveries import UNFINISHED, read_relations, relation_named
from flagmart.errors import UsageError
from flagmart.warehouse import open_reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import Relation, Warehouse

_CHART = "int_asked_evaluation_chart"
POINTS = "int_asked_evaluation_chart_points"
USERS = "int_asked_evaluation_chart_users"
_COUNTS = "fct_evaluation_counts"
_RESOLVED = (
    "env_id",
    "flag_key",
    "timezone",
    "alignment",
    "start_ms",
    "end_ms",
    "start_wall_ms",
    "interval_ms",
    "interval_months",
    "possible_intervals",
)
"""Columns of the first view that the second asks for."""
_OPTIONS = {
    "starts_at": "start",
    "ends_at": "end",
    "interval": "interval",
    "timezone": "timezone",
    "alignment": "alignment",
}
"""What the command calls the seed's columns, in whose names the SQL says what to mend."""
_COLUMN = re.compile(rf"\b({'|'.join(_OPTIONS)})\b")
_DATE_T = re.compile(r"^(\d{4}-\d{2}-\d{2})T")


Resolved = dict[str, Any]
"""What the first view made of a chart that was asked for, by column."""


@dataclass(frozen=True)
class Asked:
    """A chart as the command line asks for it; blank is what a blank cell of the seed is."""

    flag: str
    env: str
    start: str
    end: str
    interval: str
    timezone: str
    alignment: str


@dataclass(frozen=True)
class Point:
    """One interval of one series, as in fct_evaluation_chart_points."""

    env_id: str
    flag_key: str
    variation_id: str
    variation_label: str
    """What people call it; its id where no more is known."""
    interval_index: int
    interval_start_at: datetime
    """UTC, with its zone; so is the end."""
    interval_end_at: datetime
    interval_start_local: str
    is_partial: bool
    evaluations: int


def names(points: Sequence[Point]) -> dict[tuple[str, str], str]:
    """What to call each variation, by (env_id, variation_id): two of one label tell their ids."""
    labels = {(point.env_id, point.variation_id): point.variation_label for point in points}
    told = Counter((env, label) for (env, _), label in labels.items())
    return {
        (env, variation): label if told[env, label] == 1 else f"{label} ({variation})"
        for (env, variation), label in labels.items()
    }


COLUMNS = tuple(column.name for column in fields(Point))


def record(point: Point) -> dict[str, object]:
    """A point by column, moments as ISO 8601."""
    return {
        column: value.isoformat() if isinstance(value, datetime) else value
        for column, value in asdict(point).items()
    }


@dataclass(frozen=True)
class Drawn:
    """A chart's points by environment, variation and interval; none where nothing was evaluated."""

    points: list[Point]
    remarks: list[str] = field(default_factory=list)


def draw(asked: Asked, project_dir: Path, data: DataFolder, wait_seconds: float) -> Drawn:
    """The points of the chart that is asked for.

    Raises:
        UsageError: it cannot be drawn, or names a flag or environment that has no evaluations.
        FlagmartError: the project was never built, or the engine is held or away.
    """
    for column in fields(asked):
        if not _is_unicode(value := getattr(asked, column.name)):
            raise UsageError(f"--{column.name}={value!r} is no UTF-8 text")
    if not asked.flag:
        raise UsageError("--flag is blank; name a flag by its key")
    relations = read_relations(project_dir)
    with open_reader(data, wait_seconds, talk.say) as reader:
        remarks = [] if reader.build().finished else [UNFINISHED]
        resolved = resolve(asked, reader, relations)
        rows = asked_rows(resolved, reader, relation_named(relations, POINTS), COLUMNS)
        if not rows:
            _look_for(asked, reader, relation_named(relations, _COUNTS))
            remarks.append(f"{asked.flag}: no evaluations in this window")
    return Drawn([_point(row) for row in rows], remarks)


def resolve(asked: Asked, reader: Warehouse, relations: dict[str, Relation]) -> Resolved:
    """The window and the interval of a chart as numbers; no flag means all of them.

    Raises:
        UsageError: it cannot be drawn.
        FlagmartError: the project was built before there were such charts.
    """
    said = {
        "env_id": asked.env,
        "flag_key": asked.flag,
        "starts_at": _DATE_T.sub(r"\1 ", asked.start),
        "ends_at": _DATE_T.sub(r"\1 ", asked.end),
        "timezone": asked.timezone,
        "chart_interval": asked.interval,
        "alignment": asked.alignment,
    }
    [(mend, *resolved)] = reader.asked(
        relation_named(relations, _CHART), said, ("mend", *_RESOLVED)
    )
    if mend is not None:
        raise UsageError(_to_mend(mend, asked))
    return dict(zip(_RESOLVED, resolved, strict=True))


def asked_rows(
    resolved: Resolved, reader: Warehouse, view: Relation, columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Rows that a view of asked charts has of this one, by environment, flag and variation."""
    return reader.asked(
        view,
        {column: "" if value is None else str(value) for column, value in resolved.items()},
        columns,
        ("env_id", "flag_key", "variation_id", "interval_index"),
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _to_mend(mend: str, asked: Asked) -> str:
    """The words of the SQL with the command's options in place of the seed's columns."""
    told = _COLUMN.sub(lambda found: f"--{_OPTIONS[found[1]]}", mend)
    option = re.search(r"--(\w+)", told)
    return f"--{option[1]}={getattr(asked, option[1])!r}: {told}" if option else told


def _look_for(asked: Asked, reader: Warehouse, counts: Relation) -> None:
    """Raise where the flag, or the flag in that environment, has no evaluation at any time."""
    known = [
        (str(env), str(flag)) for env, flag, _ in reader.counts(counts, ["env_id", "flag_key"])
    ]
    flags = {flag for _, flag in known}
    if known and asked.flag not in flags:
        raise UsageError(
            f"--flag={asked.flag!r} was never evaluated; {talk.nearest(asked.flag, sorted(flags))}"
        )
    envs = [env for env, flag in known if flag == asked.flag]
    if envs and asked.env and asked.env not in envs:
        raise UsageError(
            f"--env={asked.env!r} has no evaluation of {asked.flag}; "
            f"{talk.nearest(asked.env, envs)}"
        )


def _point(row: tuple[object, ...]) -> Point:
    values = dict(zip(COLUMNS, row, strict=True))
    # engines give a moment without its zone, and one of them a truth as a number
    for column in ("interval_start_at", "interval_end_at"):
        moment = values[column]
        assert isinstance(moment, datetime)  # noqa: S101 - for the type checker
        values[column] = moment.replace(tzinfo=UTC)
    return Point(**{**values, "is_partial": bool(values["is_partial"])})  # type: ignore[arg-type]
