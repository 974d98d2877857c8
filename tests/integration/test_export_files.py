from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flagmart.delivery.export import Options, export
from flagmart.delivery.store import Folder
from flagmart.destinations import LAYOUTS
from flagmart.errors import UsageError
from flagmart.settings import DataFolder, export_lanes
from flagmart.warehouse import duckdb as duckdb_engine
from support.export_project import META, ExportProject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILES = ["hackle_events", "statsig_events"]


@pytest.fixture
def project(tmp_path: Path) -> ExportProject:
    return ExportProject(tmp_path).build()


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def times(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_day_is_in_place_with_its_rows(project: ExportProject) -> None:
    reports = project.export(*FILES)
    assert [(r["outcome"], r["parts"], r["rows"]) for r in reports] == [("delivered", 3, 300)] * 2
    assert sorted(hashes(project.data / "exports")) == [
        *(
            f"hackle/dt=2026-03-0{day}/{name}"
            for day in (1, 2, 3)
            for name in ("000000000000.parquet", "_SUCCESS")
        ),
        *(f"statsig/events/2026-03-0{day}/part-00000.parquet" for day in (1, 2, 3)),
    ]
    rows = pq.read_table(
        project.data / "exports/statsig/events/2026-03-02/part-00000.parquet"
    ).to_pylist()
    assert len(rows) == 100
    assert rows == sorted(rows, key=lambda row: (row["timestamp"], row["timeuuid"]))
    assert {row["timeuuid"] for row in rows} == {
        event_id
        for (event_id,) in project.rows(
            "select timeuuid from statsig_events where partition_on = '2026-03-02'"
        )
    }
    assert (project.data / "exports/hackle/dt=2026-03-01/_SUCCESS").stat().st_size == 0
    assert not (project.data / "spool" / "hackle_events").exists()


def test_the_footer_says_exactly_what_was_declared(project: ExportProject) -> None:
    project.export(*FILES)
    statsig = pq.ParquetFile(project.data / "exports/statsig/events/2026-03-01/part-00000.parquet")
    assert _columns(statsig) == [
        ("timestamp", "INT64", "None", 0, 0),
        *(
            (name, "BYTE_ARRAY", "String", 0, 0)
            for name in (
                "event_name",
                "event_value",
                "event_metadata",
                "user",
                "timeuuid",
                "user_id",
            )
        ),
    ]
    hackle = pq.ParquetFile(project.data / "exports/hackle/dt=2026-03-01/000000000000.parquet")
    maps = [
        (f"{column}.key_value.{part}", "BYTE_ARRAY", "String", 1, 1)
        for column in ("identifiers", "event_properties", "user_properties", "platform_properties")
        for part in ("key", "value")
    ]
    assert _columns(hackle) == [
        ("insert_id", "BYTE_ARRAY", "String", 0, 0),
        ("event_key", "BYTE_ARRAY", "String", 0, 0),
        ("ts", "INT64", "Timestamp(isAdjustedToUTC=true, timeUnit=milliseconds", 0, 0),
        ("metric_value", "FIXED_LEN_BYTE_ARRAY", "Decimal(precision=24, scale=6)", 0, 0),
        *maps,
    ]
    assert hackle.schema_arrow.field("identifiers").type.item_field.nullable is False
    assert not any(field.nullable for field in hackle.schema_arrow)
    # no second schema, of Arrow's own, in the footer
    assert statsig.metadata.metadata is None
    assert hackle.metadata.metadata is None


def _columns(file: pq.ParquetFile) -> list[tuple[str, str, str, int, int]]:
    return [
        (
            column.path,
            column.physical_type,
            str(column.logical_type).split(", is_from")[0],
            column.max_definition_level,
            column.max_repetition_level,
        )
        for column in (file.schema.column(i) for i in range(len(file.schema)))
    ]


def test_a_second_export_touches_nothing(project: ExportProject) -> None:
    project.export(*FILES)
    before = times(project.data / "exports")
    reports = project.export(*FILES)
    assert [(r["outcome"], r["parts"], r["rows"], r["already"]) for r in reports] == [
        ("nothing new", 0, 0, 300)
    ] * 2
    assert times(project.data / "exports") == before
    project.export(*FILES, "--detailed-exitcode", code=4)


def test_only_the_day_that_changed_is_written_again(project: ExportProject) -> None:
    project.export(*FILES)
    before = times(project.data / "exports")
    project.add(rows=7, first_day="2026-03-02", run="2026-03-06 00:00:00", prefix="late")
    reports = project.export(*FILES)
    assert [(r["parts"], r["rows"], r["already"]) for r in reports] == [(1, 107, 200)] * 2
    changed = {
        name for name, time in times(project.data / "exports").items() if before[name] != time
    }
    assert changed == {
        "hackle/dt=2026-03-02/000000000000.parquet",
        "hackle/dt=2026-03-02/_SUCCESS",
        "statsig/events/2026-03-02/part-00000.parquet",
    }


def test_changed_code_with_equal_rows_writes_nothing(project: ExportProject) -> None:
    project.export(*FILES)
    before = times(project.data / "exports")
    project.dbt_build(checksum="2")
    assert [r["outcome"] for r in project.export(*FILES)] == ["nothing new"] * 2
    assert times(project.data / "exports") == before


def test_changed_code_with_other_values_writes_every_day(project: ExportProject) -> None:
    project.export("hackle_events")
    before = hashes(project.data / "exports")
    project.sql("update events set variation = 'off'")
    project.dbt_build(checksum="2")
    assert project.export("hackle_events")[0]["parts"] == 3
    after = hashes(project.data / "exports")
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before if name.endswith(".parquet"))


def test_code_that_was_exported_before_it_was_built_is_looked_at_again(
    project: ExportProject,
) -> None:
    """Edited, compiled, exported; then built, with other values and no newer rows."""
    project.export(*FILES)
    project.write_artifacts(checksum="2", invocation="compile")
    assert [r["outcome"] for r in project.export(*FILES)] == ["nothing new"] * 2
    project.sql("update events set variation = 'off'")
    project.dbt_build(checksum="2")
    assert [r["parts"] for r in project.export(*FILES)] == [3, 3]
    assert project.export(*FILES, "--dry-run")[0]["detail"] is not None
    assert [r["outcome"] for r in project.export(*FILES)] == ["nothing new"] * 2


def test_files_that_are_gone_are_put_back(project: ExportProject) -> None:
    project.export(*FILES)
    exports = project.data / "exports"
    before = hashes(exports)
    shutil.rmtree(exports)
    assert [r["parts"] for r in project.export(*FILES, "--dry-run")] == [3, 3]
    assert [r["parts"] for r in project.export(*FILES)] == [3, 3]
    assert hashes(exports) == before
    for gone in ("hackle/dt=2026-03-02/_SUCCESS", "hackle/dt=2026-03-01/000000000000.parquet"):
        (exports / gone).unlink()
        assert [r["parts"] for r in project.export(*FILES)] == [1, 0]
        assert hashes(exports) == before
    # of a day that lost rows nothing is left to protect
    shutil.rmtree(exports / "statsig/events/2026-03-01")
    project.sql("delete from events where occurred_at < '2026-03-01 00:00:00.02'")
    assert project.export("statsig_events")[0]["rows"] == 94


def test_what_is_not_ours_stays(project: ExportProject) -> None:
    project.export(*FILES)
    days = [
        project.data / "exports" / day
        for day in ("hackle/dt=2026-03-02", "statsig/events/2026-03-02")
    ]
    ours = ["000000000009.parquet", "part-00009.parquet"]
    partial = [".000000000000.parquet.partial", ".part-00000.parquet.partial"]
    for day, part, rest in zip(days, ours, partial, strict=True):
        for name in ("notes.txt", "mine.parquet", ".hidden", part, rest):
            (day / name).write_text("kept")
        (day / "folder").mkdir()
    project.add(rows=7, first_day="2026-03-02", run="2026-03-06 00:00:00", prefix="late")
    project.export(*FILES)
    for day, part, rest in zip(days, ours, partial, strict=True):
        assert all((day / name).exists() for name in ("notes.txt", "mine.parquet", ".hidden"))
        assert (day / "folder").is_dir()
        assert not (day / part).exists()
        assert not (day / rest).exists()
    project.sql("delete from events where occurred_at::date = '2026-03-02'")
    project.export(*FILES, "--allow-shrink")
    for day in days:
        assert sorted(path.name for path in day.iterdir()) == sorted(
            ["notes.txt", "mine.parquet", ".hidden", "folder"]
        )


def test_equal_rows_give_equal_bytes_in_any_folder(tmp_path: Path) -> None:
    one = ExportProject(tmp_path / "one").build(rows=5_000)
    other = ExportProject(tmp_path / "other").build(rows=5_000)
    # the same rows, stored in another order
    other.sql("create or replace table events as select * from events order by event_id desc")
    one.export(*FILES)
    other.export(*FILES)
    assert hashes(one.data / "exports") == hashes(other.data / "exports")


def test_the_data_folder_may_be_moved(tmp_path: Path) -> None:
    here = ExportProject(tmp_path / "here").build()
    here.export(*FILES)
    (tmp_path / "here").rename(tmp_path / "there")
    there = ExportProject(tmp_path / "there")
    assert [r["outcome"] for r in there.export(*FILES)] == ["nothing new"] * 2


def test_days_that_shrank_or_vanished_wait_for_permission(project: ExportProject) -> None:
    project.export(*FILES)
    before = hashes(project.data / "exports")
    project.sql("delete from events where occurred_at >= '2026-03-03'")
    project.sql("delete from events where occurred_at < '2026-03-01 00:00:00.02'")
    for report in project.export(*FILES, code=3):
        assert report["outcome"] == "partly"
        assert [remark.split(";")[0] for remark in report["remarks"]] == [
            "2026-03-01 shrank from 100 to 94 rows",
            "2026-03-03 vanished, 100 rows in place",
        ]
    assert hashes(project.data / "exports") == before
    project.export(*FILES, "--allow-shrink")
    after = hashes(project.data / "exports")
    assert {name for name in before if name not in after} == {
        "hackle/dt=2026-03-03/000000000000.parquet",
        "hackle/dt=2026-03-03/_SUCCESS",
        "statsig/events/2026-03-03/part-00000.parquet",
    }
    assert [r["outcome"] for r in project.export(*FILES)] == ["nothing new"] * 2


def test_another_folder_is_a_delivery_of_its_own(project: ExportProject, tmp_path: Path) -> None:
    project.export("statsig_events")
    elsewhere = tmp_path / "elsewhere"
    assert project.export("statsig_events", "--to", str(elsewhere))[0]["rows"] == 300
    assert hashes(elsewhere) == hashes(project.data / "exports" / "statsig")
    assert project.export("statsig_events", "--to", str(elsewhere))[0]["outcome"] == "nothing new"
    assert project.export("statsig_events")[0]["outcome"] == "nothing new"


def test_a_dry_run_writes_nothing(project: ExportProject) -> None:
    before = hashes(project.data)
    reports = project.export(*FILES, "--dry-run")
    assert [(r["outcome"], r["parts"], r["rows"]) for r in reports] == [
        ("would deliver", 3, 300)
    ] * 2
    assert reports[0]["detail"]["written"] == {f"2026-03-0{day}": 100 for day in (1, 2, 3)}
    assert hashes(project.data) == before


def test_hackle_gets_a_day_once_rows_of_a_later_one_have_landed(project: ExportProject) -> None:
    """No clock decides: what landed on the 5th of March completes the 4th."""
    project.add(rows=20, days=3, first_day="2026-03-04", prefix="new")
    (report,) = project.export("hackle_events", "--dry-run")
    assert report["detail"]["not_over"] == ["2026-03-05", "2026-03-06"]
    assert [r["parts"] for r in project.export(*FILES)] == [4, 6]
    assert [r["outcome"] for r in project.export(*FILES)] == ["nothing new"] * 2
    # a day that goes on is no loss, and comes when it is over
    project.sql("delete from events where occurred_at >= '2026-03-06'")
    project.add(rows=1, first_day="2026-03-06", run="2026-03-06 00:00:01", prefix="next")
    assert project.export("hackle_events")[0]["parts"] == 1
    day = project.data / "exports/hackle/dt=2026-03-05"
    assert sorted(path.name for path in day.iterdir()) == ["000000000000.parquet", "_SUCCESS"]
    assert not (project.data / "exports/hackle/dt=2026-03-06").exists()
    project.dbt_build(meta={"hackle_events": {**META["hackle_events"], "days": "all"}})
    assert project.export("hackle_events")[0]["parts"] == 1
    project.dbt_build(meta={"hackle_events": {**META["hackle_events"], "days": "some"}})
    (report,) = project.export("hackle_events", code=1)
    assert "meta.flagmart.days 'some' is unknown; there are complete, all" in report["remarks"][0]


@pytest.mark.parametrize(
    ("timezone", "newest", "waiting"),
    [
        ("Asia/Seoul", "2026-03-04 14:59:59.999999", ["2026-03-04"]),
        ("Asia/Seoul", "2026-03-04 15:00:00", []),
        ("UTC+9", "2026-03-04 15:00:00", []),
        ("UTC", "2026-03-04 15:00:00", ["2026-03-04"]),
        ("UTC-03:30", "2026-03-05 03:29:59", ["2026-03-04"]),
        ("UTC-03:30", "2026-03-05 03:30:00", []),
    ],
)
def test_a_day_of_hackle_is_over_by_the_zone_of_its_days(
    project: ExportProject, timezone: str, newest: str, waiting: list[str]
) -> None:
    project.add(rows=9, first_day="2026-03-04", prefix="new")
    project.sql(f"update events set ingested_at = '{newest}'")
    project.dbt_build(meta={"hackle_events": {**META["hackle_events"], "timezone": timezone}})
    (report,) = project.export("hackle_events", "--dry-run")
    assert report["detail"]["not_over"] == waiting
    assert project.export("hackle_events")[0]["parts"] == 4 - len(waiting)


def test_a_zone_that_is_none_is_refused(project: ExportProject) -> None:
    for timezone in ("Asia/Soul", "UTC+24", "/etc/passwd", "UTC+9h"):
        meta = {"hackle_events": {**META["hackle_events"], "timezone": timezone}}
        project.dbt_build(meta=meta)
        (report,) = project.export("hackle_events", code=1)
        assert (
            f"meta.flagmart.timezone {timezone!r} is no offset like UTC-8" in report["remarks"][0]
        )


@pytest.mark.parametrize(
    ("column", "sorts"),
    [
        ("moment", 18),
        ("moment - interval 40 days", 18),
        # the other way round, and all in one hour
        ("timestamp '2026-03-09' - (moment - timestamp '2026-03-01')", 3),
        ("date_trunc('day', moment) + (ts - date_trunc('hour', ts))", 3),
        ("case when insert_id != 'a-00000001' then moment end", 13),
        ("moment::date", 3),
    ],
)
def test_large_days_are_sorted_in_parts_by_times_of_any_meaning(
    project: ExportProject, monkeypatch: pytest.MonkeyPatch, column: str, sorts: int
) -> None:
    project.sql(
        "update events set occurred_at = occurred_at + to_hours(right(event_id, 8)::int // 3 % 12)"
    )
    run = _in_process(project, monkeypatch)
    run()
    expected = hashes(project.data / "exports/hackle")
    shutil.rmtree(project.data / "exports")
    view = project.rows("select sql from duckdb_views() where view_name = 'hackle_events'")[0][0]
    body = view.partition(" AS ")[2].rstrip(";")
    project.sql(
        "create or replace view hackle_events as "
        f"select * exclude (moment), {column} as occurred_at, 0 as day "
        f"from ({body.replace('ingested_at FROM', 'ingested_at, occurred_at as moment FROM')})"
    )
    monkeypatch.setattr("flagmart.warehouse.duckdb.SORTED_ROWS", 20)
    seen: list[object] = []
    sorted_at_once = duckdb_engine._sorts

    def counted(*args: Any) -> Iterator[Any]:
        for one in sorted_at_once(*args):
            seen.append(one)
            yield one

    monkeypatch.setattr(duckdb_engine, "_sorts", counted)
    run()
    assert hashes(project.data / "exports/hackle") == expected
    assert len(seen) == sorts


def test_any_relation_is_delivered_plain(project: ExportProject) -> None:
    project.sql(
        "create or replace view statsig_events as "
        "select *, null::double as nothing, occurred_at::date as day, variation = 'on' as is_on, "
        "nullif(variation, 'on') as maybe from events"
    )
    plain = {"destination": "lake", "sink": "files", "layout": "plain", "path": "exports/lake"}
    project.dbt_build(meta={"statsig_events": plain})
    (report,) = project.export()
    assert (report["parts"], report["rows"]) == (1, 300)
    assert [path.name for path in (project.data / "exports/lake").iterdir()] == [
        "part-00000.parquet"
    ]
    file = pq.ParquetFile(project.data / "exports/lake/part-00000.parquet")
    assert [(f.name, str(f.type), f.nullable) for f in file.schema_arrow] == [
        ("event_id", "string", True),
        ("user_key", "string", True),
        ("variation", "string", True),
        ("occurred_at", "timestamp[us]", True),
        ("ingested_at", "timestamp[us]", True),
        ("nothing", "double", True),
        ("day", "date32[day]", True),
        ("is_on", "bool", True),
        ("maybe", "string", True),
    ]
    rows = "select * from statsig_events order by event_id"
    assert [tuple(row.values()) for row in file.read().to_pylist()] == project.rows(rows)
    assert project.export()[0]["outcome"] == "nothing new"
    # a value that changes without anything landing; null is not ''
    project.sql("update events set variation = '' where event_id = 'a-00000000'")
    assert project.export()[0]["rows"] == 300
    project.sql("delete from events where event_id = 'a-00000000'")
    (report,) = project.export(code=3)
    assert report["remarks"] == [
        "the table shrank from 300 to 299 rows; left alone until --allow-shrink"
    ]
    project.dbt_build(
        meta={"statsig_events": {**plain, "path": "exports/daily", "partition_by": "day"}}
    )
    assert project.export()[0]["parts"] == 3
    assert sorted(hashes(project.data / "exports/daily")) == [
        f"2026-03-0{day}/part-00000.parquet" for day in (1, 2, 3)
    ]
    project.dbt_build(meta={"statsig_events": {**plain, "partition_by": "hour"}})
    assert "lacks hour" in project.export(code=1)[0]["remarks"][0]
    project.sql("create or replace view statsig_events as select 1::uhugeint as wide")
    project.dbt_build(meta={"statsig_events": plain})
    assert "the column wide of type UHUGEINT" in project.export(code=1)[0]["remarks"][0]


def test_a_large_day_is_cut_into_numbered_files(
    project: ExportProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rows and by bytes, at the end of a row group; the same way each time."""
    run = _in_process(project, monkeypatch)
    monkeypatch.setattr("flagmart.delivery.partitions.ROW_GROUP_ROWS", 16)
    layout = LAYOUTS["hackle"]
    for limits, names in (
        ({"rows_per_file": 32}, range(4)),
        ({"bytes_per_file": 1}, range(7)),
        ({}, range(1)),
    ):
        monkeypatch.setitem(
            LAYOUTS,
            "hackle",
            lambda settings, limits=limits: type(layout(settings))(
                **{**vars(layout(settings)), **limits}
            ),
        )
        shutil.rmtree(project.data / "exports", ignore_errors=True)
        run()
        files = hashes(project.data / "exports/hackle/dt=2026-03-01")
        assert sorted(files) == [*(f"{n:012d}.parquet" for n in names), "_SUCCESS"]


def test_as_many_days_at_a_time_as_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    for value, lanes in (("", 2), ("100MB", 1), ("1800MB", 7), ("2GB", 8)):
        monkeypatch.setenv("FLAGMART_EXPORT_MEMORY", value)
        assert export_lanes() == lanes
    for value in ("much", "1.5GB", "MB", "1TB"):
        monkeypatch.setenv("FLAGMART_EXPORT_MEMORY", value)
        with pytest.raises(UsageError, match="is no size; write it like 900MB"):
            export_lanes()


def test_a_terminal_shows_how_far_it_is(project: ExportProject) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        project.command("export", "hackle_events"),
        env={**project.environment(), "TERM": "xterm", "COLUMNS": "160"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that nobody writes any more
            while data := os.read(ours, 4096):
                shown += data
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "hackle_events: reading" in text
    assert "hackle_events: delivering" in text
    assert "100%" in text
    assert "3 of 3 days in place, up to 2026-03-03" in text


class _DiesError(Exception):
    pass


def _in_process(project: ExportProject, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    monkeypatch.delenv("DBT_TARGET_PATH", raising=False)
    options = Options(project_dir=project.project)
    return lambda: export(["hackle_events"], options, DataFolder(project.data))


@pytest.mark.parametrize("steps", range(8))
def test_a_change_cut_short_anywhere_never_shows_a_whole_day(
    project: ExportProject, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """While parts of two versions stand together there is no _SUCCESS; the next run mends it."""
    run = _in_process(project, monkeypatch)
    monkeypatch.setattr("flagmart.delivery.partitions.ROW_GROUP_ROWS", 16)
    layout = LAYOUTS["hackle"]
    monkeypatch.setitem(
        LAYOUTS,
        "hackle",
        lambda settings: type(layout(settings))(**{**vars(layout(settings)), "rows_per_file": 48}),
    )
    run()
    day = project.data / "exports/hackle/dt=2026-03-01"
    old = hashes(day)
    assert sorted(old) == [f"{n:012d}.parquet" for n in range(3)] + ["_SUCCESS"]
    # fewer rows, so that a part is left over; newest rows, so that every part changes
    project.sql(
        "delete from events where occurred_at < '2026-03-01 00:00:00.02'",
        "update events set variation = 'new'",
        "update events set ingested_at = '2026-03-07'",
    )
    expected_folder = project.root / "expected"
    shrink = Options(project_dir=project.project, allow_shrink=True, to=str(expected_folder))
    export(["hackle_events"], shrink, DataFolder(project.data))
    new = hashes(expected_folder / "dt=2026-03-01")
    assert new != old

    done = 0

    def counted(name: str) -> Any:
        real = getattr(Folder, name)

        def step(self: Folder, *arguments: Any) -> None:
            nonlocal done
            if done == steps:
                raise _DiesError
            done += 1
            real(self, *arguments)

        return step

    with monkeypatch.context() as dying:
        for name in ("put", "put_empty", "remove"):
            dying.setattr(Folder, name, counted(name))
        in_place = Options(project_dir=project.project, allow_shrink=True)
        with pytest.raises(_DiesError):
            export(["hackle_events"], in_place, DataFolder(project.data))
    seen = hashes(day)
    assert "_SUCCESS" not in seen or seen in (old, new)
    assert all(name.endswith(".parquet") or name == "_SUCCESS" for name in seen)
    # whatever step it died at, the next run mends the day
    export(["hackle_events"], in_place, DataFolder(project.data))
    assert hashes(project.data / "exports/hackle") == hashes(expected_folder)


def test_a_change_cut_short_and_taken_back_is_mended(
    project: ExportProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are as the ledger knew them again, the folder is not: its digest would not tell."""
    run = _in_process(project, monkeypatch)
    run()
    day = project.data / "exports/hackle/dt=2026-03-01"
    old = hashes(day)
    project.sql(
        "create table backup as from events",
        "update events set variation = 'new', ingested_at = '2026-03-07'",
    )

    def dies(self: Folder, name: str) -> None:
        raise _DiesError

    with monkeypatch.context() as dying:
        dying.setattr(Folder, "put_empty", dies)
        with pytest.raises(_DiesError):
            run()
    assert "_SUCCESS" not in hashes(day)
    project.sql("create or replace table events as from backup")
    run()
    assert hashes(day) == old


def test_killed_while_spooling_the_next_run_ends_right(tmp_path: Path) -> None:
    project = ExportProject(tmp_path).build(rows=400_000)
    process = project.start("export", *FILES)
    spool = project.data / "spool" / "hackle_events"
    while process.poll() is None and not any(spool.rglob("*.parquet")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert sum(r["rows"] for r in project.export(*FILES)) == 800_000
    assert not spool.exists()
    assert [r["outcome"] for r in project.export(*FILES)] == ["nothing new"] * 2


def test_an_empty_required_value_is_refused(project: ExportProject) -> None:
    project.sql("update events set variation = null where event_id = 'a-00000001'")
    (report,) = project.export("statsig_events", code=1)
    assert (
        "main.statsig_events has 1 empty values of event_value on 2026-03-02"
        in report["remarks"][0]
    )
    (report,) = project.export("hackle_events", code=1)
    assert "event_properties" in report["remarks"][0]
    assert not (project.data / "exports").exists()


def test_a_timestamp_finer_than_declared_is_refused(project: ExportProject) -> None:
    project.sql(
        "create or replace view hackle_events as "
        "select * replace (ts + interval 1 microsecond as ts) from ("
        + project.rows("select sql from duckdb_views() where view_name = 'hackle_events'")[0][0]
        .split(" AS ", 1)[1]
        .rstrip(";")
        + ")"
    )
    (report,) = project.export("hackle_events", code=1)
    assert "would lose data" in report["remarks"][0]


def test_rows_beyond_a_row_group_and_a_batch_keep_their_order(tmp_path: Path) -> None:
    project = ExportProject(tmp_path).build(days=1, rows=150_000)
    project.export("statsig_events")
    file = pq.ParquetFile(project.data / "exports/statsig/events/2026-03-01/part-00000.parquet")
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert groups == [65_536, 65_536, 150_000 - 2 * 65_536]
    table: pa.Table = file.read(["timestamp", "timeuuid"])
    rows = list(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
    assert rows == sorted(set(rows))
