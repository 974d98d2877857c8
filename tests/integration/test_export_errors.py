from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support.export_project import BUILD, META, ExportProject, build_notes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> ExportProject:
    return ExportProject(tmp_path).build()


def one_line(project: ExportProject, *arguments: str, code: int) -> str:
    done = project.call("export", *arguments)
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@contextmanager
def holding(project: ExportProject) -> Iterator[subprocess.Popen[str]]:
    """Another process with the DuckDB file open for writing; it lets go when its stdin closes.

    What it was told on stdin by then, lines of SQL, it runs first.
    """
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); "
        "print('held', flush=True); [c.execute(line) for line in sys.stdin]"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(project.duckdb)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.communicate()


def test_no_manifest(tmp_path: Path) -> None:
    project = ExportProject(tmp_path)
    project.project.mkdir()
    assert one_line(project, code=1).endswith("manifest.json does not exist; run `dbt build` first")


def test_unknown_delivery(project: ExportProject) -> None:
    line = one_line(project, "nope", code=2)
    assert "'nope' is no delivery" in line
    assert "hackle_events, segment_tracks, statsig_events" in line


def test_no_write_key(project: ExportProject) -> None:
    project.env["SEGMENT_WRITE_KEY"] = ""
    line = one_line(project, "segment_tracks", code=1)
    assert "segment_tracks: the environment variable SEGMENT_WRITE_KEY is not set" in line
    assert not (project.data / "ledger.sqlite").exists()


def test_one_that_fails_does_not_hold_up_the_others(project: ExportProject) -> None:
    project.env["SEGMENT_WRITE_KEY"] = ""
    outcomes = [r["outcome"] for r in project.export(code=1)]
    assert outcomes == ["delivered", "failed", "delivered"]


def test_a_failed_model_refuses_its_delivery_only(project: ExportProject) -> None:
    project.dbt_build(results={"test.flagmart.not_null_statsig": "fail"})
    reports = project.export("statsig_events", "hackle_events", code=1)
    assert [r["outcome"] for r in reports] == ["delivered", "failed"]
    assert "not_null_statsig ended with 'fail'" in reports[1]["remarks"][0]
    assert not (project.data / "exports" / "statsig").exists()


BASE_TEST = "test.flagmart.unique_base"


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_build_that_fails_while_export_waits_is_refused(
    project: ExportProject, dry: list[str]
) -> None:
    with holding(project) as build:
        waiting = project.start("export", "statsig_events", "--wait", "60", *dry)
        assert waiting.stderr is not None
        assert "waiting up to 60 s" in waiting.stderr.readline()
        assert build.stdin is not None
        build.stdin.write(
            f"insert into flagmart_builds.node_results values ('{BASE_TEST}', 'fail');\n"
            "update flagmart_builds.builds set invocation_id = 'second'\n"
        )
        project.write_artifacts(results={BASE_TEST: "fail"}, invocation="second")
    _, stderr = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert "unique_base ended with 'fail'" in stderr
    assert not (project.data / "exports").exists()


def test_a_build_that_was_killed_is_refused(project: ExportProject) -> None:
    project.sql(*build_notes("second", state="running"))
    for arguments in ([], ["--dry-run"]):
        for report in project.export(*arguments, code=1):
            assert report["remarks"] == ["dbt's last run did not finish; run `dbt build` again"]
    assert not (project.data / "exports").exists()
    project.dbt_build()
    assert project.export("statsig_events")[0]["outcome"] == "delivered"


def test_a_failure_outlives_artifacts_that_were_overwritten(project: ExportProject) -> None:
    project.dbt_build(results={BASE_TEST: "fail"})
    project.write_artifacts(invocation="compile")
    for arguments in ([], ["--dry-run"]):
        for report in project.export(*arguments, code=1):
            assert "unique_base ended with 'fail'" in report["remarks"][0]
    # said on stderr and on stdout
    done = project.call("export", "segment_tracks", "--output", "json")
    assert "flagmart: segment_tracks: unique_base ended with 'fail'" in done.stderr
    assert "unique_base ended with 'fail'" in done.stdout


def test_a_project_that_changes_while_export_waits_is_looked_at_again(
    project: ExportProject,
) -> None:
    with holding(project):
        waiting = project.start("export", "statsig_events", "--wait", "60")
        assert waiting.stderr is not None
        assert "waiting up to 60 s" in waiting.stderr.readline()
        moved = {**META["statsig_events"], "path": "exports/elsewhere"}
        project.write_artifacts(meta={"statsig_events": moved})
    _, stderr = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert "the exposure statsig_events changed in the meantime; run the export again" in stderr


def test_an_engine_without_a_note_of_its_build(project: ExportProject) -> None:
    project.sql("drop schema flagmart_builds cascade")
    line = one_line(project, "statsig_events", code=1)
    assert "flagmart_builds.builds is not in" in line
    assert line.endswith("run `dbt build` first")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"path": "exports/../exports/statsig/"},
        {"path": "exports", "dataset": "statsig/events"},
    ],
)
def test_two_deliveries_to_one_folder_are_both_refused(
    project: ExportProject, change: dict[str, str]
) -> None:
    twin = {**META["statsig_events"], **change}
    project.dbt_build(meta={**META, "hackle_events": twin})
    reports = project.export("statsig_events", "hackle_events", code=1)
    for report in reports:
        assert report["outcome"] == "failed"
        assert "hackle_events and statsig_events both write to" in report["remarks"][0]
        assert "exports/statsig/events/{day}" in report["remarks"][0]
    assert not (project.data / "exports").exists()


def test_two_datasets_in_one_folder_are_two_places(project: ExportProject) -> None:
    project.sql(
        "create or replace view hackle_events as from statsig_events",
    )
    project.dbt_build(meta={**META, "hackle_events": {**META["statsig_events"], "dataset": "x"}})
    reports = project.export("statsig_events", "hackle_events")
    assert [report["outcome"] for report in reports] == ["delivered", "delivered"]


def test_a_folder_that_holds_another_delivery_is_refused(
    project: ExportProject, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    project.export("statsig_events", "--to", str(elsewhere))
    twin = {**META["statsig_events"], "path": "exports/twin"}
    project.sql("create or replace view hackle_events as from statsig_events")
    project.dbt_build(meta={**META, "hackle_events": twin})
    (report,) = project.export("hackle_events", "--to", str(elsewhere), code=1)
    assert "holds files of statsig_events, which hackle_events would remove" in report["remarks"][0]
    shutil.rmtree(elsewhere)
    assert project.export("hackle_events", "--to", str(elsewhere))[0]["outcome"] == "delivered"
    # nor may it go where the other one goes by its exposure
    place = str(project.data / "exports/statsig")
    (report,) = project.export("hackle_events", "--to", place, code=1)
    assert "hackle_events and statsig_events both write to" in report["remarks"][0]


def test_no_duckdb_file(project: ExportProject) -> None:
    project.duckdb.unlink()
    assert "flagmart.duckdb does not exist; run `dbt build` first" in one_line(
        project, "statsig_events", code=1
    )


def test_a_file_that_is_no_duckdb(project: ExportProject) -> None:
    project.duckdb.write_bytes(b"no database" * 1000)
    assert "not a valid DuckDB database file" in one_line(project, "statsig_events", code=1)


def test_no_relation(project: ExportProject) -> None:
    project.sql("drop view statsig_events")
    line = one_line(project, "statsig_events", code=1)
    assert "main.statsig_events is not in" in line
    assert "flagmart.duckdb; run `dbt build` first" in line


def test_a_missing_column(project: ExportProject) -> None:
    project.sql("create or replace view statsig_events as select 1 as timestamp")
    assert "lacks partition_on, ingested_at" in one_line(project, "statsig_events", code=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layout": "avro"}, "meta.flagmart.layout 'avro' is unknown; there are statsig, hackle"),
        ({"sink": "ftp"}, "meta.flagmart.sink 'ftp' is unknown; there are files, amplitude"),
        ({"path": "ftp://u:secret@h/x"}, "meta.flagmart.path ftp://h/x is no folder"),
        ({"dataset": ""}, "meta.flagmart.dataset is '', no text"),
        ({"destination": ""}, "meta.flagmart.destination is '', no text"),
        ({"paht": "x"}, "meta.flagmart.paht is not a setting of this sink"),
    ],
)
def test_a_wrong_setting(project: ExportProject, change: dict[str, str], said: str) -> None:
    project.dbt_build(meta={"statsig_events": {**META["statsig_events"], **change}})
    line = one_line(project, code=1)
    assert f"exposure statsig_events: {said}" in line


def test_a_held_file_names_its_holder(project: ExportProject) -> None:
    with holding(project) as holder:
        done = project.run("export", "statsig_events", "--wait", "0.3")
    first, last = done.stderr.splitlines()
    assert done.returncode == 1
    assert f"is held by process {holder.pid} (" in first
    assert first.endswith("waiting up to 0.3 s")
    assert f"is held by process {holder.pid} (" in last
    assert "try again when it is done" in last


def test_a_held_file_is_waited_for(project: ExportProject) -> None:
    with holding(project):
        waiting = project.start("export", "statsig_events", "--wait", "60")
        assert waiting.stderr is not None
        assert "waiting up to 60 s" in waiting.stderr.readline()
    _, stderr = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, stderr


def test_a_delivery_in_use_names_its_user(project: ExportProject) -> None:
    with holding(project):
        first = project.start("export", "statsig_events", "--wait", "60")
        assert first.stderr is not None
        assert "waiting" in first.stderr.readline()
        line = one_line(project, "statsig_events", code=1)
        assert (
            f"the delivery statsig_events is in use by flagmart export (process {first.pid}" in line
        )
    first.communicate(timeout=60)
    assert first.returncode == 0


@pytest.mark.parametrize("name", ["ledger.sqlite", "spool", "locks", "exports"])
def test_a_place_that_cannot_be_written(project: ExportProject, name: str) -> None:
    # no permission stops root, who may run the tests; a file in a folder's place stops anybody
    (project.data / name).write_text("in the way") if name != "ledger.sqlite" else (
        project.data / name
    ).mkdir()
    assert name in one_line(project, "statsig_events", code=1)


def test_to_needs_one_file_delivery(project: ExportProject, tmp_path: Path) -> None:
    for names in ([], ["segment_tracks"], ["statsig_events", "hackle_events"]):
        assert "--to needs the name of one file delivery" in one_line(
            project, *names, "--to", str(tmp_path / "x"), code=2
        )


def test_a_wait_that_is_no_number_is_wrong_usage(project: ExportProject) -> None:
    assert project.run("export", "--wait", "soon").returncode == 2


def test_the_cause_is_named_before_what_was_skipped_for_it(project: ExportProject) -> None:
    results = {
        "model.flagmart.statsig_events": "skipped",
        "model.flagmart.base_featbit__events": "error",
    }
    project.sql(*build_notes(BUILD, results))
    (report,) = project.export("statsig_events", code=1)
    assert "base_featbit__events ended with 'error'" in report["remarks"][0]


def test_a_model_that_was_never_built_to_its_end_is_refused(project: ExportProject) -> None:
    project.sql(
        *build_notes(BUILD),
        "delete from flagmart_builds.node_results where node_id = 'model.flagmart.statsig_events'",
    )
    (report,) = project.export("statsig_events", code=1)
    assert "statsig_events was never built to its end" in report["remarks"][0]


def test_an_empty_place_is_wrong_usage(project: ExportProject) -> None:
    done = project.call("export", "statsig_events", "--to", "")
    assert done.returncode == 2
    assert "--to is empty" in done.stderr


def test_status_of_a_folder_without_data_is_an_error(project: ExportProject) -> None:
    project.env["FLAGMART_DATA"] = str(project.root / "elsewhere")
    done = project.call("status")
    assert done.returncode == 1
    assert "holds no data yet" in done.stderr
