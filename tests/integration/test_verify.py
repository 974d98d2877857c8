"""What lies in a store, read back and judged: by its relation, by the ledger, by its layout."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.export_project import KEY, META, ExportProject
from support.s3_server import BUCKET
from support.s3_server import running as s3_running
from support.segment_server import running
from support.statsig_project import BY_FILE, StatsigProject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> ExportProject:
    made = ExportProject(tmp_path).build()
    made.export("hackle_events", "statsig_events")
    return made


def verify(project: ExportProject, name: str, *options: str, code: int = 0) -> dict[str, Any]:
    done = project.call("verify", "--output", "json", name, *options)
    assert done.returncode == code, f"{done.returncode}: {done.stderr}{done.stdout}"
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def odd(found: dict[str, Any]) -> dict[str, str]:
    return {
        day["day"]: "; ".join([*day["wrong"], *day["behind"]])
        for day in found["days"]
        if day["result"] != "right"
    }


def test_what_was_delivered_is_right(project: ExportProject) -> None:
    for name in ("hackle_events", "statsig_events"):
        found = verify(project, name)
        assert [(day["day"], day["rows"], day["result"]) for day in found["days"]] == [
            (f"2026-03-0{day}", 100, "right") for day in (1, 2, 3)
        ]
    assert not (project.data / "spool" / "hackle_events").exists()
    table = project.call("verify", "hackle_events")
    assert table.stdout.splitlines()[1].split()[:6] == ["hackle_events", "hackle", *"3000"]


def spoilt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def other_rows(path: Path) -> None:
    table = pq.read_table(path, schema=pq.read_schema(path))
    pq.write_table(table.slice(1), path, store_schema=False, version="2.6")


def other_columns(path: Path) -> None:
    table = pq.read_table(path)
    nullable = pa.schema([field.with_nullable(True) for field in table.schema])
    pq.write_table(table.cast(nullable), path, store_schema=False)


HARMS: list[tuple[Callable[[Path], object], str]] = [
    (lambda day: (day / "_SUCCESS").unlink(), "_SUCCESS is missing"),
    (lambda day: spoilt(day / "000000000000.parquet"), "000000000000.parquet "),
    (lambda day: (day / "000000000000.parquet").write_bytes(b""), "cannot be read"),
    (
        lambda day: other_rows(day / "000000000000.parquet"),
        "other content than was delivered (100 rows, there lie 99)",
    ),
    (
        lambda day: other_columns(day / "000000000000.parquet"),
        "lacks insert_id BYTE_ARRAY String required",
    ),
    (
        lambda day: shutil.copy(day / "000000000000.parquet", day / "000000000001.parquet"),
        "the ledger has 1 file, there lie 2",
    ),
    (
        lambda day: shutil.copy(day / "000000000000.parquet", day / "000000000002.parquet"),
        "have a hole",
    ),
    (
        lambda day: shutil.copy(day / "000000000000.parquet", day / "copy.parquet"),
        "copy.parquet lies there, too, and is none of ours",
    ),
    (shutil.rmtree, "the ledger has it as delivered, and nothing lies there"),
]


def test_every_harm_is_named(project: ExportProject) -> None:
    day = project.data / "exports/hackle/dt=2026-03-02"
    for harm, said in HARMS:
        harm(day)
        found = odd(verify(project, "hackle_events", code=1))
        assert list(found) == ["2026-03-02"]
        assert said in found["2026-03-02"]
        # written anew, it is right again
        (day / "copy.parquet").unlink(missing_ok=True)
        project.export("hackle_events", "--backfill", "2026-03-02..2026-03-02")
        assert odd(verify(project, "hackle_events")) == {}


def test_what_the_next_export_brings_is_no_harm(project: ExportProject) -> None:
    project.add(rows=1, first_day="2026-03-02", prefix="late")
    project.add(rows=1, first_day="2026-03-04", prefix="new")
    project.sql(
        "update events set variation = 'new' where occurred_at < '2026-03-02'",
        "delete from events where occurred_at between '2026-03-03' and '2026-03-03 23:59:59'",
    )
    expected = {
        "2026-03-01": "the relation has other values in as many rows",
        "2026-03-02": "the relation has 101 rows",
        "2026-03-03": "the relation has no such day any more",
        "2026-03-04": "not delivered; the relation has 1 row",
    }
    for name in ("statsig_events", "hackle_events"):
        assert odd(verify(project, name, code=3)) == expected
    # the 5th is not over for Hackle
    project.add(rows=1, first_day="2026-03-05", prefix="today")
    assert list(odd(verify(project, "hackle_events", code=3))) == list(expected)
    assert list(odd(verify(project, "statsig_events", code=3))) == [*expected, "2026-03-05"]


def test_a_lost_ledger_is_rebuilt(tmp_path: Path) -> None:
    project = StatsigProject(tmp_path).made()
    project.built({"hackle_events": META["hackle_events"]})
    project.export()
    files = {p: p.stat().st_mtime_ns for p in (project.data / "exports").rglob("*.parquet")}
    for path in project.data.glob("ledger*"):
        path.unlink()
    project.add(rows=1, first_day="2026-03-02", prefix="late")
    spoilt(project.data / "exports/hackle/dt=2026-03-03/000000000000.parquet")
    found = verify(project, "statsig_events", code=1)
    assert "the ledger knows nothing of it" in odd(found)["2026-03-01"]
    assert not (project.data / "ledger.sqlite").exists()
    for name in BY_FILE:
        verify(project, name, "--adopt", code=3 if name == "statsig_events" else 0)
    found = verify(project, "hackle_events", "--adopt", code=1)
    assert [day["adopted"] for day in found["days"]] == [True, True, False]
    reports = {r["delivery"]: r for r in project.export()}
    assert {name: report["parts"] for name, report in reports.items()} == {
        "hackle_events": 2,  # the one that is late, and the one that is spoilt
        "statsig_events": 1,
        "statsig_metrics": 0,
        "statsig_signals": 0,
    }
    for name in reports:
        assert odd(verify(project, name)) == {}
    changed = {str(p.parent.name) for p, at in files.items() if p.stat().st_mtime_ns != at}
    assert changed == {"2026-03-02", "dt=2026-03-02", "dt=2026-03-03"}


def test_a_bucket_is_read_back_as_a_folder_is(tmp_path: Path) -> None:
    with s3_running() as server:
        project = ExportProject(tmp_path, env=server.env).build()
        there = ["--to", f"s3://{BUCKET}/back"]
        project.export("hackle_events", *there)
        verify(project, "hackle_events", *there)
        key = "back/dt=2026-03-02/000000000000.parquet"
        server.client.put_object(Bucket=BUCKET, Key=key, Body=b"spoilt")
        found = verify(project, "hackle_events", *there, code=1)
        assert "000000000000.parquet cannot be read" in odd(found)["2026-03-02"]


def test_a_whole_relation_and_its_columns(project: ExportProject) -> None:
    plain = {"destination": "lake", "sink": "files", "layout": "plain", "path": "exports/lake"}
    project.dbt_build(meta={"statsig_events": plain})
    project.export("statsig_events")
    verify(project, "statsig_events")
    spoilt(project.data / "exports/lake/part-00000.parquet")
    verify(project, "statsig_events", code=1)


def test_messages_cannot_be_read_back(project: ExportProject) -> None:
    with running(KEY) as server:
        project.env["SEGMENT_HOST"] = server.url
        done = project.call("verify", "segment_tracks")
    assert done.returncode == 2
    assert "segment_tracks goes out by segment, and nothing of it can be read back" in done.stderr
