from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from support.export_project import BUILD, KEY, ExportProject, build_notes
from support.segment_server import Answer, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNTS = {"read": 310, "landed": 305, "equal_repeats": 2, "conflicting_repeats": 1, "unreadable": 2}


@pytest.fixture
def project(tmp_path: Path) -> ExportProject:
    """305 landed events: 300 accepted, five rejected."""
    made = ExportProject(tmp_path).build()
    made.sql(
        """
        create table base_featbit__events as
        select event_id, 'env-1' as env_id, 'FlagValue' as event,
            if(hash(event_id) % 2 = 0, 'evaluation', 'metric') as outcome,
            null::varchar as reject_reason, ingested_at
        from events
        union all
        select 'r' || i, 'env-1', 'FlagValue', 'rejected', if(i < 3, 'no user', 'no timestamp'),
            '2026-03-05'::timestamp
        from range(5) as t(i)
        """,
        "create table fct_export_exclusions (delivery varchar, event_id varchar, reason varchar)",
    )
    land(made, {"ingested_at": "2026-03-05T00:00:00.000000Z", **COUNTS})
    path = made.project / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("fct_export_exclusions", "fct_evaluation_chart_points"):
        manifest["nodes"][f"model.flagmart.{name}"] = {
            **manifest["nodes"]["model.flagmart.base_featbit__events"],
            "name": name,
            "alias": name,
        }
    path.write_text(json.dumps(manifest))
    return made


def land(project: ExportProject, *runs: dict[str, Any]) -> None:
    folder = project.data / "landing" / "featbit_events"
    folder.mkdir(parents=True, exist_ok=True)
    rest = {"run_id": "r", "source": "file", "files": [], "inputs": []}
    document = {"format": 1, "runs": [rest | run for run in runs]}
    (folder / "manifest.json").write_text(json.dumps(document))


def status(project: ExportProject, *names: str, code: int = 0) -> dict[str, Any]:
    done = project.call("status", "--output", "json", *names)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def broken(found: dict[str, Any]) -> list[str]:
    return [i["name"] for i in found["accounts"] if not i["holds"]]


def test_the_accounts_add_up(project: ExportProject) -> None:
    found = status(project)
    assert found["ingest"] == COUNTS
    accepted = [judged["events"] for judged in found["events"] if judged["outcome"] != "rejected"]
    assert sum(accepted) == 300
    rejected = {"outcome": "rejected", "reject_reason": "no user", "events": 3}
    assert rejected in found["events"]
    assert found["exports"] == {"hackle_events": 300, "segment_tracks": 300, "statsig_events": 300}
    assert [i["name"] for i in found["accounts"]] == [
        "read = landed + repeats + unreadable",
        "landed = accepted + rejected",
        "accepted = exported + excluded (hackle_events)",
        "accepted = exported + excluded (segment_tracks)",
        "accepted = exported + excluded (statsig_events)",
    ]
    assert broken(found) == []
    assert "fct_evaluation_chart_points does not exist yet; left out" in found["remarks"]
    table = project.call("status").stdout
    assert "310 = 305 landed + 2 equal repeats + 1 conflicting repeats + 2 unreadable" in table
    assert "305 = 300 accepted + 5 rejected" in table


def test_each_account_that_does_not_hold_is_said(project: ExportProject) -> None:
    land(project, {"ingested_at": "2026-03-05T00:00:00.000000Z", **COUNTS, "unreadable": 3})
    assert broken(status(project, code=1)) == ["read = landed + repeats + unreadable"]
    land(
        project,
        {"ingested_at": "2026-03-05T00:00:00.000000Z", **COUNTS, "read": 311, "landed": 306},
    )
    assert broken(status(project, code=1)) == ["landed = accepted + rejected"]
    land(project, {"ingested_at": "2026-03-05T00:00:00.000000Z", **COUNTS})
    project.sql("create or replace view hackle_events as select * from statsig_events limit 299")
    assert broken(status(project, code=1)) == ["accepted = exported + excluded (hackle_events)"]
    assert broken(status(project, "statsig_events")) == []
    # two reasons for one event exclude one event
    project.sql(
        "insert into fct_export_exclusions "
        "values ('hackle_events', 'x', 'a'), ('hackle_events', 'x', 'b')"
    )
    found = status(project)
    assert broken(found) == []
    assert {"delivery": "hackle_events", "reason": "a", "events": 1} in found["exclusions"]


def edit_manifest(project: ExportProject, change: Callable[[dict[str, Any]], object]) -> None:
    path = project.project / "target" / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_only_what_promises_an_account_is_asked_for_one(project: ExportProject) -> None:
    test = "test.flagmart.account_of_hackle_events"
    project.sql("create or replace view hackle_events as select * from statsig_events limit 299")
    edit_manifest(project, lambda document: document["nodes"].pop(test))
    found = status(project)
    assert [a["name"] for a in found["accounts"] if "hackle" in a["name"]] == []
    assert found["exports"]["hackle_events"] == 299


def test_an_account_goes_by_the_name_that_the_test_gives(project: ExportProject) -> None:
    """As where two deliveries take the rows of one model to two places."""
    test = "test.flagmart.account_of_hackle_events"
    project.sql(
        "create or replace view hackle_events as select * from statsig_events limit 299",
        "insert into fct_export_exclusions values ('by_another_name', 'x', 'a')",
    )
    assert broken(status(project, code=1)) == ["accepted = exported + excluded (hackle_events)"]
    edit_manifest(
        project,
        lambda document: document["nodes"][test]["test_metadata"]["kwargs"].update(
            delivery="by_another_name"
        ),
    )
    found = status(project)
    assert broken(found) == []
    assert {"delivery": "by_another_name", "reason": "a", "events": 1} in found["exclusions"]


def test_a_run_that_is_not_built_yet_is_no_fault(project: ExportProject) -> None:
    land(
        project,
        {"ingested_at": "2026-03-05T00:00:00.000000Z", **COUNTS},
        {**COUNTS, "ingested_at": "2026-03-06T00:00:00.000000Z"},
    )
    found = status(project)
    assert broken(found) == []
    assert "305 landed events are not built yet; run `dbt build`" in found["remarks"]


def test_what_was_delivered_and_what_was_not(project: ExportProject) -> None:
    project.env["FLAGMART_NOW"] = "2026-03-07T08:00:00Z"
    assert "statsig_events was never delivered" in status(project)["remarks"]
    with running(KEY) as server:
        project.env["SEGMENT_HOST"] = server.url
        project.export()
        project.add(rows=4, run="2026-03-08 00:00:00", prefix="new")
        server.always = Answer(400)
        project.export("segment_tracks", code=1)
        places = {place["delivery"]: place for place in status(project, code=1)["places"]}
    assert {name: (p["rows"], p["unsent"]) for name, p in places.items()} == {
        "hackle_events": (300, 104),  # the day that grew is not there as it is now
        "segment_tracks": (300, 4),
        "statsig_events": (300, 104),
    }
    assert places["statsig_events"]["delivered_at"] == "2026-03-07T08:00:00+00:00"
    assert places["statsig_events"]["where"] == str(project.data / "exports/statsig")
    assert places["segment_tracks"]["where"] == f"{server.url}/v1/batch"


def unsent(project: ExportProject) -> dict[str, int]:
    return {p["delivery"]: p["unsent"] for p in status(project)["places"]}


def test_status_and_a_dry_run_agree_on_what_there_is_to_do(project: ExportProject) -> None:
    files = ["hackle_events", "statsig_events"]
    project.export(*files)

    def looked_at() -> dict[str, list[str]]:
        reports = project.export(*files, "--dry-run")
        return {r["delivery"]: r["detail"]["looked_at"] for r in reports}

    assert unsent(project) == dict.fromkeys(files, 0)
    assert looked_at() == {"hackle_events": [], "statsig_events": []}
    shutil.rmtree(project.data / "exports/statsig/events/2026-03-02")
    (project.data / "exports/hackle/dt=2026-03-01/_SUCCESS").unlink()
    assert unsent(project) == {"hackle_events": 100, "statsig_events": 100}
    assert looked_at() == {"hackle_events": ["2026-03-01"], "statsig_events": ["2026-03-02"]}
    project.export(*files)
    # code that may be another than what was built
    path = project.project / "target" / "manifest.json"
    document = json.loads(path.read_text())
    document["metadata"]["invocation_id"] = "compile"
    path.write_text(json.dumps(document))
    assert unsent(project) == dict.fromkeys(files, 300)
    assert {name: len(days) for name, days in looked_at().items()} == dict.fromkeys(files, 3)


def test_days_that_lost_rows_are_said(project: ExportProject) -> None:
    project.export("statsig_events")
    project.sql("create or replace table events as from events where occurred_at < '2026-03-03'")
    remarks = status(project, code=1)["remarks"]
    assert any(
        remark.startswith("statsig_events: 2026-03-03 vanished, 100 rows in place")
        for remark in remarks
    )


def test_a_folder_it_never_went_to_is_said(project: ExportProject, tmp_path: Path) -> None:
    project.export("statsig_events", "--to", str(tmp_path / "elsewhere"))
    where = project.data / "exports/statsig"
    assert f"statsig_events was never delivered to {where}" in status(project)["remarks"]


def test_what_would_be_refused_is_said(project: ExportProject) -> None:
    project.sql(*build_notes(BUILD, {"test.flagmart.not_null_statsig": "fail"}))
    said = [remark for remark in status(project)["remarks"] if "would not go out" in remark]
    (remark,) = said
    assert remark.startswith("statsig_events would not go out: not_null_statsig ended with 'fail'")
    project.sql(*build_notes("second", state="running"))
    remarks = status(project)["remarks"]
    assert remarks.count("dbt's last run did not finish; run `dbt build` again") == 1
    project.sql("drop schema flagmart_builds cascade")
    assert any("flagmart_builds.builds is not in" in line for line in status(project)["remarks"])


def test_nothing_built_yet(tmp_path: Path) -> None:
    project = ExportProject(tmp_path)
    project.data.mkdir()
    project.write_artifacts()
    land(project, {"ingested_at": "2026-03-05T00:00:00.000000Z", **COUNTS})
    found = status(project)
    assert found["ingest"]["landed"] == 305
    assert any("flagmart.duckdb does not exist yet" in remark for remark in found["remarks"])


def test_an_unknown_delivery_is_wrong_usage(project: ExportProject) -> None:
    done = project.call("status", "nope")
    assert done.returncode == 2
    assert "'nope' is no delivery" in done.stderr
