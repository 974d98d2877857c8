"""Merging what many runs left: every row, every run and every promise stays."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from flagmart.errors import FlagmartError
from flagmart.ingest.files import ingest
from flagmart.settings import DataFolder
from flagmart.warehouse import manifest, parquet_landing
from flagmart.warehouse.compaction import Compacted, compact
from support.command import flagmart
from support.landed import event, lines, names, rows, runs


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_landing, "GROUP_ROWS", 10)
    monkeypatch.setattr(parquet_landing, "FILE_ROWS", 20)
    monkeypatch.delenv("DBT_TARGET", raising=False)


def land(data: Path, *numbers: int, broken: bool = False) -> None:
    path = data.parent / "events.jsonl"
    path.write_text(lines(*(["{"] if broken else []), *(event(number) for number in numbers)))
    ingest([path], DataFolder(data))


def folder_of(data: Path) -> Path:
    return DataFolder(data).landing / "featbit_events"


def sizes(data: Path) -> list[int]:
    return [file.rows for file in manifest.read(folder_of(data)).files]


def merge(data: Path, *, dry_run: bool = False) -> Compacted:
    (found,) = compact(DataFolder(data), 0, dry_run=dry_run)
    return found


def test_rows_and_runs_stay_and_files_become_few(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for first in range(0, 21, 3):
        land(data, *range(first, first + 3), broken=first == 6)
    land(data, *range(100, 135))  # a full file and a half one
    land(data, 200)
    before, had = rows(data), [{**vars(run), "files": ()} for run in runs(data)]
    planned = merge(data, dry_run=True)
    assert sizes(data) == [3] * 7 + [20, 15, 1], "a rehearsal changes nothing"
    done = merge(data)
    assert sizes(data) == [20, 1, 20, 15, 1]
    assert (planned.files_before, planned.files, done.files) == (10, 5, 5)
    assert (done.runs, done.rows) == (9, 57)
    assert rows(data) == before
    assert [vars(run) for run in runs(data)] == had
    known = manifest.read(folder_of(data))
    assert known.runs == ()
    assert known.history is not None
    assert names(data) == {manifest.NAME, *known.names, f"{had[2]['run_id']}.jsonl"}

    # what comes after it: repeats are found, time grows, and the next one merges the rest
    land(data, 2, 134, 200, 201)
    assert runs(data)[-1].equal_repeats == 3
    assert runs(data)[-1].run_id > had[-1]["run_id"]
    land(data, 202)
    more = rows(data)
    assert merge(data).runs == 11
    assert sizes(data) == [20, 1, 20, 15, 3]
    assert rows(data) == more
    again = names(data)
    assert merge(data).files == 5
    assert names(data) == again, "nothing to do"


def test_a_manifest_of_the_format_before_is_read_and_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    land(data, 1)
    path = folder_of(data) / manifest.NAME
    document = json.loads(path.read_text())
    path.write_text(json.dumps({"format": 1, "runs": document["runs"]}))
    land(data, 1, 2)
    assert [run.landed for run in runs(data)] == [1, 1]
    merge(data)
    assert sizes(data) == [2]


def test_the_view_dbt_made_goes_on_giving_the_same_rows(tmp_path: Path) -> None:
    data = tmp_path / "da'ta"
    for number in range(5):
        land(data, number)
    listed = "from flagmart_landing.featbit_events order by all"
    with closing(duckdb.connect(str(DataFolder(data).duckdb))) as connection:
        connection.execute("create schema flagmart_landing")
        files = ", ".join(
            "'" + str(folder_of(data) / file.name).replace("'", "''") + "'"
            for file in manifest.read(folder_of(data)).files
        )
        connection.execute(
            f"create view flagmart_landing.featbit_events as select * from read_parquet([{files}])"
        )
        before = connection.execute(listed).fetchall()
    merge(data)
    with closing(duckdb.connect(str(DataFolder(data).duckdb), read_only=True)) as connection:
        assert connection.execute(listed).fetchall() == before
    assert len(before) == 5


def test_nothing_changes_while_somebody_may_be_reading(tmp_path: Path) -> None:
    data = tmp_path / "data"
    land(data, 1)
    land(data, 2)
    file = DataFolder(data).duckdb
    holding = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", holding, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        before = names(data)
        with pytest.raises(FlagmartError, match="is held by process"):
            merge(data)
        assert names(data) == before
    finally:
        holder.communicate("\n")
    assert merge(data).files == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from flagmart.settings import DataFolder
from flagmart.warehouse import compaction, manifest, parquet_landing
parquet_landing.GROUP_ROWS, parquet_landing.FILE_ROWS = 10, 20
target, data = sys.argv[1], DataFolder(Path(sys.argv[2]))
owner, _, name = target.rpartition(".")
original = getattr(eval(owner), name)
def killing(*given, **named):
    if target == "manifest.write":
        original(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(eval(owner), name, killing)
compaction.compact(data, 0)
"""


@pytest.mark.parametrize(
    "target",
    ["parquet_landing.publish", "compaction.duckdb.reading_files", "manifest.write", "Path.unlink"],
)
def test_a_killed_one_leaves_every_row_and_the_next_writer_the_rest(
    tmp_path: Path, target: str
) -> None:
    data = tmp_path / "data"
    for number in range(6):
        land(data, number, broken=number == 3)
    before, had = rows(data), len(runs(data))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, target, str(data)], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert rows(data) == before
    land(data, 5, 6)
    assert (len(runs(data)), runs(data)[-1].equal_repeats) == (had + 1, 1)
    known = manifest.read(folder_of(data))
    rejects = {f"{run.run_id}.jsonl" for run in runs(data) if run.unreadable}
    assert names(data) == {manifest.NAME, *known.names, *rejects}
    merge(data)
    assert rows(data)[:6] == before
    assert len(rows(data)) == 7


def test_a_lost_history_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    land(data, 1)
    land(data, 2)
    merge(data)
    known = manifest.read(folder_of(data))
    assert known.history is not None
    (folder_of(data) / known.history.name).unlink()
    with pytest.raises(FlagmartError, match=rf"{known.history.name} is missing"):
        land(data, 3)
    with pytest.raises(FlagmartError, match="history of the landing, cannot be read"):
        runs(data)


def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert json.loads(flagmart("compact", "--output", "json", data=data))["landings"] == []
    land(data, 1)
    land(data, 2)
    (one,) = json.loads(flagmart("compact", "--output", "json", data=data))["landings"]
    assert (one["landing"], one["runs"], one["rows"]) == ("featbit_events", 2, 2)
    assert (one["files_before"], one["files"]) == (2, 1)
    assert "featbit_events     2     2" in flagmart("compact", data=data)
    there = os.environ | {"DBT_TARGET": "clickhouse"}
    assert flagmart("compact", data=data, env=there) == ""
