"""The rows of experiments, from the tables that dbt built."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from flagmart import settings, talk
from flagmart.delivery.deliveries import UNFINISHED, read_relations, relation_named
from flagmart.errors import FlagmartError, UsageError
from flagmart.experiments.arms import COLUMNS, DAY_COLUMNS, Arm, DayArm
from flagmart.warehouse import open_reader
from flagmart.warehouse.protocol import NO_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import Relation, Warehouse

_RESULTS = "fct_experiment_results"
_DAILY = "fct_experiment_daily"
_DEFINED = "int_experiments"
_ORDER = ("experiment_key", "env_id", "flag_key", "metric_event", "aggregation", "success")

_Row = TypeVar("_Row", bound=Arm)


@dataclass(frozen=True)
class Read:
    """What there is of the experiments that are asked for."""

    rows: list[Arm] = field(default_factory=list)
    """By experiment and variation."""
    days: list[DayArm] = field(default_factory=list)
    """By experiment, day and variation; where they are asked for, and then in place of rows."""
    running: set[str] = field(default_factory=set)
    """Keys of experiments whose end is still to come, or was never named."""
    remarks: list[str] = field(default_factory=list)


def read(
    keys: Collection[str], project_dir: Path, data: DataFolder, wait_seconds: float, *, daily: bool
) -> Read:
    """Rows of these experiments, of all without keys.

    Raises:
        UsageError: a key is of no experiment.
        FlagmartError: scipy or statsmodels is not installed, the project was never built with these
            models, or the engine is held or away.
    """
    _require_libraries()
    relations = read_relations(project_dir)
    relation = relation_named(relations, _DAILY if daily else _RESULTS)
    with open_reader(data, wait_seconds, talk.say) as reader:
        remarks = [] if reader.build().finished else [UNFINISHED]
        seen = [str(key) for key, _ in reader.counts(relation, ["experiment_key"])]
        defined = _defined(reader, relations)
        unseen = {key: mend for key, (mend, _) in defined.items() if key not in seen}
        now = settings.now().replace(tzinfo=None)
        running = {key for key, (_, ends_at) in defined.items() if ends_at and now < ends_at}
        for key in keys:
            if key not in seen and key not in unseen:
                raise UsageError(f"{key!r} is no experiment; {_others(key, [*seen, *unseen])}")
        remarks += [
            f"{key}: {mend or 'no user has been in it yet'}"
            for key, mend in unseen.items()
            if not keys or key in keys
        ]
        if not seen and not unseen:
            remarks.append("no experiments; add a row to seeds/experiments.csv and run `dbt build`")
        if daily:
            found = _rows(reader, relation, DAY_COLUMNS, ("day_on", "variation_id"), keys, DayArm)
            return Read(days=list(found), remarks=remarks)
        rows = _rows(reader, relation, COLUMNS, ("variation_id",), keys, Arm)
        return Read(list(rows), running=running, remarks=remarks)


def _require_libraries() -> None:
    missing = [name for name in ("scipy", "statsmodels") if find_spec(name) is None]
    if missing:
        raise FlagmartError(
            f"statistics of experiments need {' and '.join(missing)}; install with "
            ".venv/bin/pip install 'scipy>=1.15' 'statsmodels>=0.14.5'"
        )


def _defined(
    reader: Warehouse, relations: dict[str, Relation]
) -> dict[str, tuple[object, datetime | None]]:
    """What to mend in each experiment of the seed, or None, and its end, UTC without zone."""
    relation = relation_named(relations, _DEFINED)
    found = reader.counts(relation, ["experiment_key", "mend", "ends_at"])
    return {
        str(key): (mend, ends_at.replace(tzinfo=None) if isinstance(ends_at, datetime) else None)
        for key, mend, ends_at, _ in found
    }


def _others(key: str, known: Sequence[str]) -> str:
    return talk.nearest(key, known) if known else "there is none; see seeds/experiments.csv"


def _rows(
    reader: Warehouse,
    relation: Relation,
    columns: Sequence[str],
    order: Sequence[str],
    keys: Collection[str],
    make: Callable[..., _Row],
) -> Iterator[_Row]:
    # no day: all rows of the relation
    for batch in reader.rows_of_days(relation, columns, (*_ORDER, *order), [NO_DAY], day=None):
        for values in batch.select(columns).to_pylist():
            if keys and values["experiment_key"] not in keys:
                continue
            # an engine may give a truth as a number
            yield make(**{**values, "is_baseline": bool(values["is_baseline"])})
