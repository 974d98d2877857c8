"""The landing: each id once, complete runs only, and every record accounted for."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flagmart.errors import FlagmartError
from flagmart.ingest.files import ingest
from flagmart.ingest.landed_files import Report
from flagmart.settings import DataFolder
from flagmart.warehouse import manifest, parquet_landing
from flagmart.warehouse.landing import CONFLICT, SCHEMA
from flagmart.warehouse.parquet_landing import ParquetLanding
from flagmart.warehouse.repeats import same_json
from support.landed import event, ids, lines, names, rejects, rows, runs

FIXED = "2026-01-31T12:00:00+00:00"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def land(data: Path, *texts: str) -> Report:
    paths = []
    for number, text in enumerate(texts):
        paths.append(data.parent / f"{number}.jsonl")
        paths[-1].write_text(text)
    return ingest(paths, DataFolder(data))


def counts(report: Report) -> tuple[int, ...]:
    kinds = ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")
    return tuple(report.result.total(name) for name in kinds)


def test_the_columns_are_the_contract(data: Path) -> None:
    land(data, lines(event(1, uuid="ABC"), event(2)))
    (run,) = runs(data)
    path = DataFolder(data).landing / "featbit_events" / run.files[0].name
    assert pq.read_schema(path).equals(SCHEMA)
    assert [field.name for field in SCHEMA if field.nullable] == [
        "occurred_at",
        "source_ingested_at",
    ]
    assert run.files[0].bytes == path.stat().st_size
    first = rows(data)[0]
    assert first["event_id"] == "abc"
    assert (first["source"], first["run_id"]) == ("file", run.run_id)
    assert first["ingested_at"].isoformat() + "Z" == run.ingested_at


def test_runs_grow_in_time_whatever_the_clock_says(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", FIXED)
    for number in range(3):
        land(data, lines(event(number)))
    monkeypatch.setenv("FLAGMART_NOW", "2020-01-01T00:00:00Z")
    land(data, lines(event(9)))
    assert [run.ingested_at for run in runs(data)] == [
        f"2026-01-31T12:00:00.00000{n}Z" for n in range(4)
    ]
    assert runs(data)[3].run_id == "20260131T120000000003Z"


def test_equal_and_conflicting_repeats_are_told_apart(data: Path) -> None:
    base = event(1)
    properties = json.loads(base["properties"])
    respelled = json.dumps(dict(reversed(properties.items())), indent=1)
    first = land(data, lines(base, base, event(1, properties=respelled), event(1, env_id="other")))
    assert counts(first) == (4, 1, 2, 1, 0)
    again = land(
        data,
        lines(
            event(2),
            event(1, uuid=base["uuid"].upper()),
            event(1, timestamp=base["timestamp"] + 999),  # the same millisecond
            event(1, timestamp=base["timestamp"] + 1_000),
            event(1, timestamp=None),
            event(1, properties=respelled),
            event(1, properties="{"),
            event(1, properties='{"flagId": true}'),
            event(1, event="CustomEvent"),
            event(1, distinct_id="other"),
        ),
        lines(event(2), event(2, env_id="x"), event(3)),
    )
    assert counts(again) == (13, 2, 4, 7, 0)
    of_files = [(c.landed, c.equal_repeats, c.conflicting_repeats) for c in again.result.inputs]
    assert of_files == [(1, 3, 6), (1, 1, 1)]
    assert not again.is_complete
    assert sorted(ids(data)) == [event(n)["uuid"] for n in (1, 2, 3)]
    assert [line for line, reason in rejects(data) if reason == CONFLICT] == [
        4,
        4,
        5,
        7,
        8,
        9,
        10,
        2,
    ]
    assert again.result.rejects
    kept = json.loads(again.result.rejects.read_text().splitlines()[-1])
    assert json.loads(kept["text"]) == event(2, env_id="x"), "nothing of it is lost"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a":1,"b":[1,{"c":null}]}', '{ "b" : [1.0, {"c": null}], "a": 1e0 }', True),
        ('{"a":"\\u00e9"}', '{"a":"é"}', True),
        ('{"a":1}', '{"a":true}', False),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        ('{"a":1}', '{"a":1,"b":null}', False),
        ("{", "{ ", False),
    ],
)
def test_json_is_compared_by_value(one: str, other: str, same: bool) -> None:
    assert same_json(one, other) is same


def test_repeats_are_found_across_files_and_row_groups(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_landing, "GROUP_ROWS", 10)
    monkeypatch.setattr(parquet_landing, "FILE_ROWS", 30)
    numbers = [n * 7 % 60 for n in range(150)]
    report = land(
        data, lines(*(event(n) for n in numbers[:90])), lines(*(event(n) for n in numbers[90:]))
    )
    assert counts(report) == (150, 60, 90, 0, 0)
    assert ids(data) == [event(n)["uuid"] for n in numbers[:60]], "the first of each, in order"
    assert [file.rows for file in runs(data)[0].files] == [30, 30]
    assert [row["source_ref"].rpartition(":")[2] for row in rows(data)] == [
        str(n + 1) for n in range(60)
    ]
    more = land(data, lines(*(event(n) for n in range(50, 75))))
    assert counts(more) == (25, 15, 10, 0, 0)


def test_every_record_is_accounted_for(data: Path) -> None:
    text = lines(event(1), "{", event(1), event(1, env_id="x"), event(2), event(3, timestamp="?"))
    report = land(data, text)
    assert counts(report) == (6, 2, 1, 1, 2)
    (run,) = runs(data)
    assert (run.read, run.landed, run.equal_repeats, run.conflicting_repeats, run.unreadable) == (
        counts(report)
    )
    nothing = land(data, text)
    assert counts(nothing) == (6, 0, 3, 1, 2)
    assert runs(data)[1].files == ()
    assert sum(run.landed for run in runs(data)) == len(rows(data)) == 2


def test_a_run_that_reads_nothing_leaves_no_trace(data: Path) -> None:
    report = land(data, "", "\n")
    assert report.result.recorded is None
    assert names(data) == set()


def test_rejects_are_cut_and_kept_as_text(data: Path) -> None:
    path = data.parent / "x.jsonl"
    path.write_bytes(lines(event(1)).encode() + b'{"a": "\xff' + b"y" * 50_000 + b"\n")
    report = ingest([path], DataFolder(data))
    assert report.result.rejects
    (reject,) = map(json.loads, report.result.rejects.read_text().splitlines())
    assert reject["source"] == str(path)
    assert reject["line"] == 2
    assert reject["text"].startswith('{"a": "\\xffyyy')
    assert reject["text"].endswith("y… (cut after 10000 characters)")


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    data = tmp_path / "we[i]rd*?"
    for _ in range(2):
        report = land(data, lines(event(1), event(1), event(1, env_id="x")))
    assert counts(report) == (3, 0, 2, 1, 0)


def test_a_second_writer_is_told_who_the_first_is(data: Path) -> None:
    with (
        ParquetLanding(DataFolder(data)).open_run("file", ()),
        pytest.raises(FlagmartError, match=rf"in use by .*process {os.getpid()}"),
    ):
        land(data, lines(event(1)))
    assert counts(land(data, lines(event(1)))) == (1, 1, 0, 0, 0)


def test_an_abandoned_run_leaves_nothing(data: Path) -> None:
    def run() -> None:
        with ParquetLanding(DataFolder(data)).open_run("file", ()) as opened:
            opened.begin("x")
            opened.reject(1, "reason", "text")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert names(data) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ('{"format": 3}', "format 3"), ('{"format": 1}', "damaged")],
)
def test_a_manifest_that_cannot_be_read_stops_the_run(data: Path, text: str, message: str) -> None:
    folder = DataFolder(data).ensure(DataFolder(data).landing / "featbit_events")
    (folder / manifest.NAME).write_text(text)
    with pytest.raises(FlagmartError, match=message):
        land(data, lines(event(1)))


def test_a_landed_file_that_is_missing_stops_the_run(data: Path) -> None:
    land(data, lines(event(1)))
    name = runs(data)[0].files[0].name
    (DataFolder(data).landing / "featbit_events" / name).unlink()
    with pytest.raises(FlagmartError, match=f"{name} is missing"):
        land(data, lines(event(2)))


# where a run is killed: as it calls this function of that module, the n-th time
KILLS = [
    ("flagmart.warehouse.parquet_landing._ParquetRun.append", 2),
    ("flagmart.warehouse.parquet_landing._ParquetRun.finish", 1),
    ("flagmart.warehouse.repeats.find", 1),
    ("flagmart.warehouse.parquet_landing._ParquetRun._publish", 1),
    ("flagmart.warehouse.parquet_landing._ParquetRun._publish", 2),
    ("flagmart.warehouse.landing.Rejects.publish", 1),
    ("flagmart.warehouse.manifest.write", 1),
    ("json.dump", 1),
    ("pathlib.Path.replace", 1),
    ("shutil.rmtree", 1),
]
KILLED_RUN = """
import importlib, os, signal, sys
from pathlib import Path
from flagmart.warehouse import parquet_landing, repeats
from flagmart.ingest import batches, files
from flagmart.settings import DataFolder
parquet_landing.GROUP_ROWS, parquet_landing.FILE_ROWS, batches.ROWS = 10, 20, 7
target, times, data, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
parts = target.split(".")
depth = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules)
owner = sys.modules[".".join(parts[:depth])]
for part in parts[depth:-1]:
    owner = getattr(owner, part)
original = getattr(owner, parts[-1])
def killing(*given, **named):
    global times
    times -= 1
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*given, **named)
setattr(owner, parts[-1], killing)
files.ingest([path], DataFolder(data))
"""


@pytest.mark.parametrize(("target", "times"), KILLS)
def test_a_killed_run_is_made_good_by_the_next(data: Path, target: str, times: int) -> None:
    path = data.parent / "x.jsonl"
    land(data, lines(*(event(n) for n in range(5))))
    path.write_text(lines("{", *(event(n) for n in range(100)), event(7, env_id="x")))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, target, str(times), str(data), str(path)],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    published = len(runs(data)) == 2
    assert published is (target == "shutil.rmtree"), "only the manifest makes a run exist"
    assert len(rows(data)) == (100 if published else 5), "readers never see a part"
    report = ingest([path], DataFolder(data))
    new = 0 if published else 95
    assert counts(report) == (102, new, 100 - new, 1, 1)
    assert sorted(ids(data)) == [event(n)["uuid"] for n in range(100)]
    named = {file.name for run in runs(data) for file in run.files}
    rejected = {f"{run.run_id}.jsonl" for run in runs(data) if run.unreadable}
    assert names(data) == {manifest.NAME, *named, *rejected}, "no leftovers"


def test_a_lost_manifest_stops_the_run_and_keeps_what_landed(data: Path) -> None:
    land(data, lines(event(1)))
    folder = data / "landing/featbit_events"
    (folder / "manifest.json").unlink()
    with pytest.raises(FlagmartError, match="is missing, but 1 landed files lie beside it"):
        land(data, lines(event(2)))
    assert len(list(folder.glob("*.parquet"))) == 1
