from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from flagmart.delivery.deliveries import read_project
from flagmart.errors import FlagmartError, UsageError
from support.export_project import META, ExportProject

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


def deliveries(project: ExportProject) -> dict[str, Delivery]:
    return {d.name: d for d in read_project(project.project).deliveries}


def test_exposures_with_meta_are_deliveries(project: ExportProject) -> None:
    found = deliveries(project)
    assert list(found) == sorted(META)
    assert found["statsig_events"].destination == "statsig"
    assert str(found["statsig_events"].relation) == "main.statsig_events"
    assert all(d.refused is None for d in found.values())


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
    project.write_artifacts(results={node: status})
    found = deliveries(project)
    assert {name for name, d in found.items() if d.refused} == refused
    name = node.split(".")[2]
    assert all(name in (d.refused or "") for d in found.values() if d.refused)


def test_warnings_and_no_results_refuse_nothing(project: ExportProject) -> None:
    project.write_artifacts(results={"test.flagmart.unique_base": "warn"})
    assert not any(d.refused for d in deliveries(project).values())
    (project.project / "target" / "run_results.json").unlink()
    assert not any(d.refused for d in deliveries(project).values())


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
        ("run_results.json", {"args|vars": {"flagmart_env_ids": ["x"]}}),
    ],
)
def test_code_and_vars_change_the_fingerprint(
    project: ExportProject, file: str, change: dict[str, Any]
) -> None:
    before = {name: d.fingerprint for name, d in deliveries(project).items()}
    assert before == {name: d.fingerprint for name, d in deliveries(project).items()}
    edit(project, file, change)
    after = {name: d.fingerprint for name, d in deliveries(project).items()}
    assert all(before[name] != after[name] for name in before)


def test_another_model_leaves_the_fingerprint_alone(project: ExportProject) -> None:
    before = deliveries(project)["statsig_events"].fingerprint
    edit(project, "manifest.json", {"nodes|model.flagmart.hackle_events|checksum|checksum": "2"})
    assert deliveries(project)["statsig_events"].fingerprint == before


def test_the_project_file_changes_the_fingerprint(project: ExportProject) -> None:
    before = deliveries(project)["statsig_events"].fingerprint
    (project.project / "dbt_project.yml").write_text("vars: {a: 1}\n")
    assert deliveries(project)["statsig_events"].fingerprint != before


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
    before = deliveries(project)["statsig_events"].fingerprint
    seed.write_text("a\n2\n")
    assert deliveries(project)["statsig_events"].fingerprint != before


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
