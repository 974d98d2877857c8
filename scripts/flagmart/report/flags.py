"""What the page says of flags, read from the views and marts that dbt built."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from flagmart.charts import points
from flagmart.delivery.deliveries import relation_named
from flagmart.report import windows
from flagmart.warehouse.protocol import NO_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flagmart.report.windows import Range
    from flagmart.warehouse.protocol import Relation, Warehouse

_VARIATIONS = "fct_served_variations"
_OF_VARIATION = ("env_id", "flag_key", "variation_id", "variation_label")
_MOMENTS = ("first_evaluated_at", "last_evaluated_at")
_SERIES = ("env_id", "flag_key", "variation_id", "interval_index", "interval_start_local")
_UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.IGNORECASE)

ANY = ""
"""Stands in fct_evaluation_chart_users for users of any variation."""

Series = tuple[str, str, str]
"""Environment, flag, variation."""


@dataclass(frozen=True)
class Axis:
    """The intervals of a range in a zone."""

    starts: list[str] = field(default_factory=list)
    """What the zone's clocks show at the beginning of each, ISO 8601 with the offset."""
    is_partial: bool = False
    """Whether the last is cut short by the newest data."""


@dataclass(frozen=True)
class Drawn:
    """All flags in a range and zone; series without a point are left out."""

    axis: Axis
    evaluations: dict[Series, list[int]]
    users: dict[Series, list[int]]
    """Of each interval, and of ANY variation: they add up neither way."""
    new_users: dict[Series, int]
    """Different users in the whole range."""
    before: dict[Series, int]
    """Evaluations in the period before."""


@dataclass(frozen=True)
class Variation:
    """A variation of a flag in an environment."""

    id: str
    name: str
    """Short, and no other of its flag's in the environment."""


@dataclass(frozen=True)
class FlagInEnv:
    """A flag as one environment evaluated it."""

    env: str
    variations: tuple[Variation, ...]
    """In the order in which they were first served, so that a later one changes no colour."""
    last_at: datetime
    """UTC, with its zone."""


@dataclass(frozen=True)
class Flags:
    """All there is to draw."""

    flags: dict[str, list[FlagInEnv]]
    as_of: dict[str, str]
    """What clocks of each zone show at the end of the newest data; '' where there is none."""
    drawn: dict[str, dict[str, Drawn]]
    """By zone and range."""


def read(reader: Warehouse, relations: dict[str, Relation], zones: Sequence[str]) -> Flags:
    """Every flag in every range and zone.

    Raises:
        UsageError: a zone that is none.
        FlagmartError: a model was never built.
    """
    as_of: dict[str, str] = {}
    drawn: dict[str, dict[str, Drawn]] = {}
    for zone in zones:
        resolved = points.resolve(windows.everything(zone), reader, relations)
        if resolved["end_ms"] is None:
            as_of[zone], drawn[zone] = "", {}
            continue
        end = windows.newest(resolved["start_wall_ms"])
        as_of[zone] = _local(datetime.fromtimestamp(resolved["end_ms"] / 1000, UTC), zone)
        drawn[zone] = {
            shown.key: _drawn(shown, end, zone, reader, relations) for shown in windows.RANGES
        }
    return Flags(_flags(reader, relation_named(relations, _VARIATIONS)), as_of, drawn)


def _drawn(
    shown: Range, end: datetime, zone: str, reader: Warehouse, relations: dict[str, Relation]
) -> Drawn:
    resolved = points.resolve(windows.shown(shown, end, zone), reader, relations)
    counts = points.asked_rows(
        resolved,
        reader,
        relation_named(relations, points.POINTS),
        (*_SERIES, "is_partial", "evaluations"),
    )
    users = points.asked_rows(
        resolved,
        reader,
        relation_named(relations, points.USERS),
        (*_SERIES, "is_partial", "users", "new_users"),
    )
    starts: dict[int, str] = {}
    evaluations: dict[Series, list[int]] = defaultdict(list)
    is_partial = False
    for env, flag, variation, index, start, partial, count in counts:
        starts[index] = start
        is_partial = is_partial or bool(partial)
        evaluations[env, flag, variation].append(count)
    different: dict[Series, list[int]] = defaultdict(list)
    new: dict[Series, int] = defaultdict(int)
    for env, flag, variation, _, _, _, count, first in users:
        different[env, flag, variation].append(count)
        new[env, flag, variation] += first
    earlier: dict[Series, int] = defaultdict(int)
    for env, flag, variation, count in points.asked_rows(
        points.resolve(windows.before(shown, end, zone), reader, relations),
        reader,
        relation_named(relations, points.POINTS),
        ("env_id", "flag_key", "variation_id", "evaluations"),
    ):
        earlier[env, flag, variation] += count
    axis = Axis([starts[index] for index in sorted(starts)], is_partial)
    return Drawn(axis, dict(evaluations), dict(different), dict(new), dict(earlier))


def _flags(reader: Warehouse, relation: Relation) -> dict[str, list[FlagInEnv]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    columns = (*_OF_VARIATION, *_MOMENTS)
    order = ("flag_key", "env_id", "first_evaluated_at", "variation_id")
    for batch in reader.rows_of_days(relation, columns, order, [NO_DAY], day=None):
        for row in batch.select(columns).to_pylist():
            found[row["flag_key"], row["env_id"]].append(row)
    flags: dict[str, list[FlagInEnv]] = defaultdict(list)
    for (flag, env), rows in found.items():
        last = max(row["last_evaluated_at"] for row in rows).replace(tzinfo=UTC)
        flags[flag].append(FlagInEnv(env, _named(rows), last))
    return dict(flags)


def _named(rows: list[dict[str, Any]]) -> tuple[Variation, ...]:
    """Variations by their labels; where that is the id, by its beginning."""
    names = [
        _short(row["variation_id"]) if _is_unnamed(row) else row["variation_label"] for row in rows
    ]
    return tuple(
        Variation(row["variation_id"], name if names.count(name) == 1 else _both(name, row))
        for name, row in zip(names, rows, strict=True)
    )


def _short(variation: str) -> str:
    return f"{variation[:8]}…" if _UUID.match(variation) else variation


def _is_unnamed(row: dict[str, Any]) -> bool:
    return bool(row["variation_label"] == row["variation_id"])


def _both(name: str, row: dict[str, Any]) -> str:
    """What tells it apart from a variation of the same name, or whose id begins so."""
    return row["variation_id"] if _is_unnamed(row) else f"{name} ({row['variation_id']})"


def _local(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")


def local(moment: datetime, zones: Sequence[str]) -> dict[str, str]:
    """A moment as clocks in each zone show it, to the minute, ISO 8601 with the offset."""
    return {zone: _local(moment, zone) for zone in zones}
