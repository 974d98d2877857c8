"""Experiments as the page shows them: what `flagmart experiments` says, and the same drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from flagmart.errors import FlagmartError
from flagmart.experiments import reading, results, tables, words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flagmart.experiments.results import Point, Result
    from flagmart.experiments.welch import Estimate
    from flagmart.report.flags import Flags
    from flagmart.settings import DataFolder


@dataclass(frozen=True)
class Shown:
    """An experiment: the words and the table for the page, and rows for its two charts."""

    key: str
    flag: str
    env: str
    says: str
    is_trusted: bool
    is_running: bool
    warnings: list[str]
    header: list[str]
    rows: list[list[object]]
    comments: list[tuple[str, str]]
    """Variation by its name, and what is to be said of it."""
    chart: dict[str, Any]


@dataclass(frozen=True)
class Experiments:
    """All there are."""

    shown: list[Shown] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read(project_dir: Path, data: DataFolder, wait_seconds: float, flags: Flags) -> Experiments:
    """Every experiment; a remark in their place where the statistics cannot be had."""
    try:
        whole = reading.read([], project_dir, data, wait_seconds, daily=False)
        daily = reading.read([], project_dir, data, wait_seconds, daily=True)
    except FlagmartError as error:
        return Experiments(remarks=[str(error)])
    days = {
        key: list(points)
        for key, points in groupby(results.curve(daily.days), lambda one: one.arm.experiment)
    }
    found = results.results(whole.rows, running=whole.running)
    return Experiments(
        [_shown(result, days.get(result.of.experiment, []), flags) for result in found],
        whole.remarks,
    )


def _shown(result: Result, days: Sequence[Point], flags: Flags) -> Shown:
    of = result.of
    names = _names(result, flags)
    rows, header = tables.of_result(result)
    told = [
        (names[one.arm.variation_id], said)
        for one in result.variations
        if (said := words.of_variation(result, one))
    ]
    return Shown(
        key=of.experiment_key,
        flag=of.flag_key,
        env=of.env_id,
        says=f"{words.metric(result)}, {of.success} is better",
        is_trusted=not result.split.is_mismatch,
        is_running=result.is_running,
        warnings=words.of_experiment(result),
        header=header,
        rows=[[names[str(variation)], *cells] for variation, *cells in rows],
        comments=told,
        chart=_chart(result, days, names),
    )


def _names(result: Result, flags: Flags) -> dict[str, str]:
    """What the flag's own page calls its variations."""
    of = result.of
    known = {
        variation.id: variation.name
        for found in flags.flags.get(of.flag_key, [])
        if found.env == of.env_id
        for variation in found.variations
    }
    ids = [one.arm.variation_id for one in result.variations]
    return {one: known.get(one, one) for one in ids}


def _chart(result: Result, days: Sequence[Point], names: dict[str, str]) -> dict[str, Any]:
    """Effects in one unit: relative ones unless one of them has none."""
    compared = [one for one in result.variations if one.comparison is not None]
    is_relative = all(one.comparison and one.comparison.relative_effect for one in compared)
    is_share = is_relative or result.of.aggregation == "once"
    place = {one.arm.variation_id: number for number, one in enumerate(result.variations)}
    return {
        "unit": "share" if is_share else "number",
        "forest": [
            {"name": names[one.arm.variation_id], "rank": place[one.arm.variation_id], **drawn}
            for one in compared
            if one.comparison
            and (drawn := _drawn(one.comparison, is_relative=is_relative)) is not None
        ],
        "curve": [
            {
                "start": point.arm.day_on.isoformat(),
                "name": names.get(point.arm.variation_id, point.arm.variation_id),
                "rank": place.get(point.arm.variation_id, 0),
                **drawn,
            }
            for point in days
            if (drawn := _drawn(point, is_relative=is_relative)) is not None
        ],
    }


def _drawn(one: Any, *, is_relative: bool) -> dict[str, float] | None:
    found: Estimate | None = one.relative_effect if is_relative else one.difference
    if found is None:
        return None
    return {
        "value": found.value,
        "low": found.interval.low,
        "high": found.interval.high,
        "wideLow": found.sequence.low,
        "wideHigh": found.sequence.high,
    }
