"""What all stores share: groups of chunks, ids left out, checkpoints, sweeps, bounds."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flagmart.cli import ingest_stores
from flagmart.errors import FlagmartError, UsageError
from flagmart.ingest import checkpoints, stores
from flagmart.ingest.checkpoints import Checkpoint
from flagmart.ingest.event_tables import EVENTS, METRICS
from flagmart.ingest.store_rows import ID, Refused, check_columns, landing_rows
from flagmart.ingest.stores import Bounds, Chunk, Plan, Reading, ingest
from flagmart.settings import DataFolder
from support.landed import ids, rejects, runs

BAD = "bad"
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class MemoryStore:
    """Ids in order of arrival, four to a chunk; its notes say how many a run has seen."""

    stored: list[str]
    kind: str = "postgres"
    label: str = "memory/featbit"
    read_rows: list[list[str]] = field(default_factory=list)
    missing: int = 0
    fails_at: int | None = None

    def plan(self, bounds: Bounds, state: Mapping[str, Any]) -> Plan:
        seen = int(state.get("seen", 0))
        chosen = self.stored[seen:]
        parts = [chosen[first : first + 4] for first in range(0, len(chosen), 4)]
        return Plan(
            [Chunk("events", len(part), part) for part in parts], {"seen": len(self.stored)}
        )

    def ids(self, chunk: Chunk) -> pa.Table:
        return pa.table({ID: pa.array(chunk.key, pa.string())})

    @contextmanager
    def read(self, chunk: Chunk, wanted: pa.Table | None) -> Iterator[Reading]:
        if self.fails_at == len(self.read_rows):
            raise FlagmartError("the connection was lost")
        names = chunk.key if wanted is None else wanted.column(ID).to_pylist()
        self.read_rows.append(names)
        good = [name for name in names if not name.startswith(BAD)]
        count = len(good) - self.missing
        batch = pa.record_batch(
            {
                ID: pa.array(good[:count], pa.string()),
                "env_id": pa.array(["e"] * count, pa.string()),
                "event": pa.array(["FlagValue"] * count, pa.string()),
                "properties": pa.array(["{}"] * count, pa.string()),
                "moment": pa.array([START] * count, pa.timestamp("us")),
            }
        )
        refused = [Refused(name, "bad row", name) for name in names if name.startswith(BAD)]
        rows, _ = landing_rows(EVENTS, batch, "events")
        yield Reading(len(names), iter([(rows, refused)]))


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def kept(data: DataFolder) -> Checkpoint | None:
    return checkpoints.read(data, "postgres", "memory/featbit")


def numbered(first: int, end: int) -> list[str]:
    return [f"{number:04d}" for number in range(first, end)]


def test_a_first_ingest_reads_all_without_looking_for_ids(data: DataFolder) -> None:
    store = MemoryStore(numbered(0, 10))
    report = ingest(store, data, Bounds(), run_rows=8)
    assert ids(data.root) == numbered(0, 10)
    assert report.looked_at == 0
    assert [run.landed for run in runs(data.root)] == [8, 2]
    assert kept(data) == Checkpoint({"seen": 10}, 0, runs(data.root)[-1].run_id)


def test_only_rows_that_have_not_landed_are_read(data: DataFolder) -> None:
    ingest(MemoryStore(numbered(0, 6)), data, Bounds())
    store = MemoryStore(numbered(0, 10))
    report = ingest(store, data, Bounds(), sweep=True)
    assert store.read_rows == [["0006", "0007"], ["0008", "0009"]]
    assert (report.looked_at, report.landed_before, report.total("equal_repeats")) == (10, 6, 0)
    assert ids(data.root) == numbered(0, 10)


def test_a_run_with_nothing_new_leaves_no_trace_in_the_landing(data: DataFolder) -> None:
    ingest(MemoryStore(numbered(0, 6)), data, Bounds())
    report = ingest(MemoryStore(numbered(0, 6)), data, Bounds(), sweep=True)
    assert not report.results
    assert len(runs(data.root)) == 1


def test_a_lost_connection_keeps_finished_runs_and_moves_no_checkpoint(data: DataFolder) -> None:
    store = MemoryStore(numbered(0, 20), fails_at=3)
    with pytest.raises(FlagmartError, match="connection was lost"):
        ingest(store, data, Bounds(), run_rows=8)
    assert ids(data.root) == numbered(0, 8)
    assert kept(data) is None
    again = MemoryStore(numbered(0, 20))
    ingest(again, data, Bounds(), run_rows=8)
    assert sorted(ids(data.root)) == numbered(0, 20)
    # what had landed is not read again
    assert sum(map(len, again.read_rows)) == 12


def test_a_stream_that_ends_early_is_an_error_and_lands_nothing(data: DataFolder) -> None:
    store = MemoryStore(numbered(0, 4), missing=1)
    with pytest.raises(FlagmartError, match=r"memory/featbit: 3 of 4 rows of events came, then"):
        ingest(store, data, Bounds())
    assert not runs(data.root)
    assert kept(data) is None


def test_a_sweep_is_due_every_so_many_runs(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_SWEEP_EVERY", "3")
    store = MemoryStore(numbered(0, 2))
    swept = [ingest(store, data, Bounds()).swept for _ in range(7)]
    assert swept == [True, False, False, True, False, False, True]


def test_a_run_bounded_by_time_neither_uses_nor_moves_the_checkpoint(data: DataFolder) -> None:
    ingest(MemoryStore(numbered(0, 2)), data, Bounds())
    before = kept(data)
    for bounds in (Bounds(since=START), Bounds(until=START), Bounds(("e",), until=START)):
        report = ingest(MemoryStore(numbered(0, 4)), data, bounds)
        assert report.looked_at == 4
        assert not report.swept
    assert ids(data.root) == numbered(0, 4)
    assert kept(data) == before
    assert len(list(data.checkpoints.iterdir())) == 1


def test_each_set_of_environments_has_a_checkpoint_of_its_own(data: DataFolder) -> None:
    store = MemoryStore(numbered(0, 2))
    assert ingest(store, data, Bounds()).swept
    assert ingest(store, data, Bounds(("e", "f"))).swept
    assert ingest(store, data, Bounds(("f",))).swept
    for bounds in (Bounds(), Bounds(("f", "e")), Bounds(("f",))):
        assert not ingest(store, data, bounds).swept
    assert len(list(data.checkpoints.iterdir())) == 3


def test_a_row_that_is_no_event_is_refused_once(data: DataFolder) -> None:
    store = MemoryStore([BAD, "0001"])
    assert ingest(store, data, Bounds()).total("unreadable") == 1
    assert rejects(data.root) == [(None, "bad row")]
    assert ingest(store, data, Bounds(), sweep=True).is_complete
    assert len(rejects(data.root)) == 1


def test_a_lost_or_damaged_checkpoint_costs_time_and_no_row(
    data: DataFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest(MemoryStore(numbered(0, 3)), data, Bounds())
    checkpoints.path(data, "postgres", "memory/featbit").write_text("{")
    report = ingest(MemoryStore(numbered(0, 5)), data, Bounds())
    assert "not a checkpoint" in capsys.readouterr().err
    assert (report.looked_at, report.landed_before) == (5, 3)
    assert ids(data.root) == numbered(0, 5)


def test_a_landing_that_was_lost_is_filled_again_whatever_the_checkpoint_says(
    data: DataFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryStore(numbered(0, 5))
    ingest(store, data, Bounds())
    shutil.rmtree(data.landing)
    assert ingest(store, data, Bounds()).total("landed") == 5
    assert "the checkpoint is of another one" in capsys.readouterr().err


def test_each_engine_has_a_checkpoint_of_its_own(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(MemoryStore(numbered(0, 5)), data, Bounds())
    monkeypatch.setenv("DBT_TARGET", "clickhouse")
    assert kept(data) is None


def test_a_checkpoint_remembers_the_newest_refused_only(data: DataFolder) -> None:
    many = tuple(numbered(0, checkpoints.REFUSED_KEPT + 5))
    checkpoints.write(data, "postgres", "memory/featbit", Checkpoint({}, 0, None, many))
    found = kept(data)
    assert found is not None
    assert found.refused == many[5:]
    (path,) = data.checkpoints.iterdir()
    assert json.loads(path.read_text())["store"] == "memory/featbit"


def test_a_plan_reads_nothing(data: DataFolder) -> None:
    store = MemoryStore(numbered(0, 10))
    plan = stores.plan(store, data, Bounds(), sweep=False)
    assert sum(chunk.rows for chunk in plan.chunks) == 10
    assert not data.root.exists()


def test_bounds_are_half_open_times_in_utc() -> None:
    bounds = Bounds.parsed(["a", "b", "a"], "2026-01-31", "2026-02-01T01:00:00+01:00")
    assert bounds == Bounds(
        ("a", "b"), datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    )
    assert bounds.timed
    assert not Bounds.parsed([], None, None).timed


@pytest.mark.parametrize(
    ("envs", "since", "until", "message"),
    [
        ([" "], None, None, "--env is empty"),
        ([], "yesterday", None, "--since 'yesterday' is no time"),
        ([], None, "", "--until '' is no time"),
        ([], "2026-01-02", "2026-01-02", "--since 2026-01-02 is not before"),
    ],
)
def test_bounds_that_cannot_be_are_wrong_usage(
    envs: list[str], since: str | None, until: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Bounds.parsed(envs, since, until)


def test_a_misdated_row_and_one_that_is_no_event_are_told_apart_from_the_others() -> None:
    rows = pa.record_batch(
        {
            ID: ["1", "2", "3"],
            "env_id": ["e", "e", None],
            "user_key": ["u", "u", "u"],
            "event_name": ["n", "n", "n"],
            "numeric_value": ["1", "1", "one"],
            "moment": pa.array(
                [datetime(2026, 1, 1, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")
            ),
            "misdated": [None, "infinity", None],
        }
    )
    batch, refused = landing_rows(METRICS, rows, "t")
    assert batch.column("event_id").to_pylist() == ["1"]
    assert batch.column("source_ref").to_pylist() == ["t"]
    assert [(row.event_id, row.reason) for row in refused] == [
        ("2", "timestamp outside the years 0001 to 9999"),
        ("3", "numeric_value that is no number"),
    ]
    assert "infinity" in refused[0].text


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"id": "uuid"}, "table t has no column time; it has id"),
        ({"id": "uuid", "time": "text"}, "column time of table t is text, not date"),
    ],
)
def test_a_table_that_is_not_known_names_the_column(found: dict[str, str], message: str) -> None:
    with pytest.raises(FlagmartError, match=message):
        check_columns("here", "t", found, {"id": ["uuid"], "time": ["date"]})


@pytest.mark.parametrize(
    ("read", "module", "package"),
    [
        (ingest_stores.postgres, "postgres_store", "adbc-driver-postgresql>=1.8"),
        (ingest_stores.mongodb, "mongodb_store", "pymongo>=4.15"),
    ],
)
def test_a_driver_that_is_missing_is_named(
    read: Callable[[], None], module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as it is where the extra was not installed
    monkeypatch.setitem(sys.modules, f"flagmart.ingest.{module}", None)
    with pytest.raises(FlagmartError, match=re.escape(f"pip install '{package}'")):
        read()
