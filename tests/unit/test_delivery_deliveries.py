from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from flagmart.delivery.deliveries import read_project
from flagmart.errors import FlagmartError, UsageError
from flagmart.warehouse.protocol import Build
from support.export_project import BUILD, META, ExportProject

if TYPE_CHECKING:
    from pathlib import Path

    from flagmart.delivery.deliveries import Delivery


@pytest.fixture
def project(tmp_path: Path) -> ExportProject:
    made = ExportProject(tmp_path)
    made.write_artifacts()
    return made


@pytest.fixture(autouse=True)
def _no_target_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBT_TARGET_PATH", raising=False)


def built(results: dict[str, str] | None = None, invocation: str = BUILD) -> Build:
    models = dict.fromkeys((f"model.flagmart.{name}" for name in META), "success")
    return Build(invocation, finished=True, statuses=models | (results or {}))


def deliveries(project: ExportProject) -> dict[str, Delivery]:
    return {d.name: d for d in read_project(project.project).deliveries}


def test_exposures_with_meta_are_deliveries(project: ExportProject) -> None:
    found = deliveries(project)
    assert list(found) == sorted(META)
    assert found["statsig_events"].destination == "statsig"
    assert str(found["statsig_events"].relation) == "main.statsig_events"
    assert all(d.refusal(built()) is None for d in found.values())


@pytest.mark.parametrize("status", ["error", "fail", "skipped", "runtime error", "partial success"])
@pytest.mark.parametrize(
    ("node", "refused"),
    [
        (
            "model.flagmart.base_featbit__events",
            {"hackle_events", "segment_tracks", "statsig_events"},
        ),
        ("model.flagmart.statsig_events", {"statsig_events"}),
        ("test.flagmart.not_null_statsig", {"statsig_events"}),
        ("test.flagmart.unique_base", {"hackle_events", "segment_tracks", "statsig_events"}),
        # it speaks of base, too, but as part of one delivery's account
        ("test.flagmart.accounts_of_hackle", {"hackle_events"}),
    ],
)
def test_what_failed_refuses_what_depends_on_it(
    project: ExportProject, node: str, status: str, refused: set[str]
) -> None:
    said = {name: d.refusal(built({node: status})) for name, d in deliveries(project).items()}
    assert {name for name, reason in said.items() if reason} == refused
    name = node.split(".")[2]
    assert all(name in reason for reason in said.values() if reason)


@pytest.mark.parametrize("status", ["success", "pass", "warn", "no-op"])
def test_what_did_not_fail_refuses_nothing(project: ExportProject, status: str) -> None:
    results = {"test.flagmart.unique_base": status, "model.flagmart.statsig_events": status}
    assert not any(d.refusal(built(results)) for d in deliveries(project).values())


def test_what_is_no_node_any_more_refuses_nothing(project: ExportProject) -> None:
    results = {"test.flagmart.gone": "fail", "model.flagmart.gone": "error"}
    assert not any(d.refusal(built(results)) for d in deliveries(project).values())


def test_a_run_that_did_not_finish_refuses_everything(project: ExportProject) -> None:
    build = Build(BUILD, finished=False, statuses={})
    assert all(
        "did not finish; run `dbt build` again" in (d.refusal(build) or "")
        for d in deliveries(project).values()
    )


def fingerprints(project: ExportProject, invocation: str = BUILD) -> dict[str, str]:
    found = deliveries(project)
    return {name: d.fingerprint(built(invocation=invocation)) for name, d in found.items()}


def test_only_code_that_was_built_has_a_fingerprint(project: ExportProject) -> None:
    assert all(fingerprints(project).values())
    # another run of dbt is in the engine than the one that wrote the artifacts
    assert not any(fingerprints(project, "another").values())
    edit(project, "run_results.json", {"metadata|invocation_id": "another"})
    assert not any(fingerprints(project).values())
    assert not any(fingerprints(project, "another").values())


@pytest.mark.parametrize("content", [None, "", "[]", '{"results": ['])
def test_unknown_results_mean_unknown_code(project: ExportProject, content: str | None) -> None:
    path = project.project / "target" / "run_results.json"
    path.unlink() if content is None else path.write_text(content)
    assert not any(fingerprints(project).values())


def test_a_run_that_built_only_a_part_says_nothing_of_the_rest(project: ExportProject) -> None:
    """As `dbt test` and `dbt run --select` do: the manifest may hold code nobody has built."""
    path = project.project / "target" / "run_results.json"
    document = json.loads(path.read_text())
    document["results"] = [
        result
        for result in document["results"]
        if result["unique_id"] != "model.flagmart.hackle_events"
    ]
    path.write_text(json.dumps(document))
    known = {name for name, fingerprint in fingerprints(project).items() if fingerprint}
    assert known == {"segment_tracks", "statsig_events"}


def test_what_dbt_adds_while_rendering_leaves_the_fingerprint_alone(project: ExportProject) -> None:
    before = fingerprints(project)
    edit(
        project,
        "manifest.json",
        {
            "nodes|model.flagmart.statsig_events|depends_on|macros": [
                "macro.flagmart.m",
                "macro.flagmart.unused",
            ]
        },
    )
    assert fingerprints(project) == before


def edit(project: ExportProject, name: str, change: dict[str, Any]) -> None:
    path = project.project / "target" / name
    document = json.loads(path.read_text())
    for key, value in change.items():
        *parents, last = key.split("|")
        place = document
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (
            "manifest.json",
            {"nodes|model.flagmart.base_featbit__events|checksum|checksum": "2"},
        ),
        ("manifest.json", {"macros|macro.flagmart.m|macro_sql": "select 2"}),
        # no model depends on it by dbt's word, as those that are dispatched to
        ("manifest.json", {"macros|macro.flagmart.unused|macro_sql": "select 2"}),
        ("run_results.json", {"args|vars": {"flagmart_env_ids": ["x"]}}),
    ],
)
def test_code_and_vars_change_the_fingerprint(
    project: ExportProject, file: str, change: dict[str, Any]
) -> None:
    before = fingerprints(project)
    assert before == fingerprints(project)
    edit(project, file, change)
    after = fingerprints(project)
    assert all(before[name] != after[name] for name in before)


def test_another_model_leaves_the_fingerprint_alone(project: ExportProject) -> None:
    before = fingerprints(project)["statsig_events"]
    edit(project, "manifest.json", {"nodes|model.flagmart.hackle_events|checksum|checksum": "2"})
    assert fingerprints(project)["statsig_events"] == before


def test_the_project_file_changes_the_fingerprint(project: ExportProject) -> None:
    before = fingerprints(project)["statsig_events"]
    (project.project / "dbt_project.yml").write_text("vars: {a: 1}\n")
    assert fingerprints(project)["statsig_events"] != before


def as_a_package(project: ExportProject, install_path: str = "dbt_packages") -> Path:
    """Make it the project of a user who imports flagmart; the package's dbt_project.yml."""
    edit(project, "manifest.json", {"metadata|project_name": "acme"})
    path = project.project / install_path / "flagmart" / "dbt_project.yml"
    path.parent.mkdir(parents=True)
    path.write_text("vars: {a: 1}\n")
    return path


@pytest.mark.parametrize("setting", ["", "packages-install-path: 'else/where' # here\n"])
def test_a_packages_own_vars_change_the_fingerprint(project: ExportProject, setting: str) -> None:
    package = as_a_package(project, "else/where" if setting else "dbt_packages")
    with (project.project / "dbt_project.yml").open("a") as file:
        file.write(setting)
    before = fingerprints(project)
    assert all(before.values())
    package.write_text("vars: {a: 2}\n")
    after = fingerprints(project)
    assert all(after.values())
    assert all(before[name] != after[name] for name in before)


def test_vars_that_are_newer_than_the_build_are_not_what_was_built(project: ExportProject) -> None:
    """Else rows of the old vars would go out as those of the new, and stay when these are built."""
    began = "metadata|invocation_started_at"
    package = as_a_package(project)
    edit(project, "run_results.json", {began: "2999-01-01T00:00:00.000000Z"})
    assert all(fingerprints(project).values())
    edit(project, "run_results.json", {began: "2001-01-01T00:00:00.000000Z"})
    assert not any(fingerprints(project).values())
    # unpacked with the time that its archive says
    for path in (package, project.project / "dbt_project.yml"):
        os.utime(path, (0, 0))
    assert not any(fingerprints(project).values())


def test_a_package_whose_vars_are_out_of_sight_has_no_fingerprint(project: ExportProject) -> None:
    as_a_package(project).unlink()
    assert not any(fingerprints(project).values())


def test_a_delivery_made_from_another_stands_and_falls_with_it(project: ExportProject) -> None:
    parents = "nodes|model.flagmart.segment_tracks|depends_on|nodes"
    edit(project, "manifest.json", {parents: ["model.flagmart.statsig_events"]})
    failed = built({"test.flagmart.not_null_statsig": "fail"})
    said = {name for name, d in deliveries(project).items() if d.refusal(failed)}
    assert said == {"segment_tracks", "statsig_events"}


def test_a_model_of_the_users_is_not_taken_for_one_of_ours(project: ExportProject) -> None:
    node = {"name": "base_featbit__events", "resource_type": "model", "schema": "acme"}
    edit(project, "manifest.json", {"nodes|model.acme.base_featbit__events": node})
    relation = read_project(project.project).relations["base_featbit__events"]
    assert str(relation) == "main.base_featbit__events"


def test_a_large_seed_counts_by_its_content(project: ExportProject) -> None:
    seed = project.project / "seeds" / "big.csv"
    seed.parent.mkdir()
    seed.write_text("a\n1\n")
    edit(
        project,
        "manifest.json",
        {
            "nodes|seed.flagmart.big": {
                "name": "big",
                "resource_type": "seed",
                "schema": "main",
                "checksum": {"name": "path", "checksum": "seeds/big.csv"},
                "root_path": str(project.project),
                "original_file_path": "seeds/big.csv",
            },
            "nodes|model.flagmart.base_featbit__events|depends_on|nodes": ["seed.flagmart.big"],
        },
    )
    results = json.loads((project.project / "target" / "run_results.json").read_text())["results"]
    results.append({"unique_id": "seed.flagmart.big", "status": "success"})
    edit(project, "run_results.json", {"results": results})
    before = fingerprints(project)["statsig_events"]
    seed.write_text("a\n2\n")
    assert fingerprints(project)["statsig_events"] != before


def test_an_unknown_name_lists_the_known(project: ExportProject) -> None:
    with pytest.raises(UsageError, match=r"'nope'.*hackle_events, segment_tracks, statsig_events"):
        read_project(project.project).chosen(["statsig_events", "nope"])


def test_no_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        FlagmartError, match=r"manifest\.json does not exist; run `dbt build` first"
    ):
        read_project(tmp_path)


def test_the_target_folder_may_lie_elsewhere(
    project: ExportProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.project / "target").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "elsewhere"))
    assert len(read_project(project.project).deliveries) == len(META)


def test_an_exposure_of_two_models_is_no_delivery(project: ExportProject) -> None:
    edit(
        project,
        "manifest.json",
        {
            "exposures|exposure.flagmart.statsig_events|depends_on|nodes": [
                "model.flagmart.statsig_events",
                "model.flagmart.hackle_events",
            ]
        },
    )
    with pytest.raises(FlagmartError, match=r"exposure statsig_events: .* exactly one model"):
        read_project(project.project)
