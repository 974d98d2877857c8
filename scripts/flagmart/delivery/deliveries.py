"""Deliveries, as dbt's artifacts describe them: exposures, and how their models fared."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError, UsageError
from flagmart.warehouse.protocol import Relation

_BAD = {"error", "fail", "skipped", "runtime error", "partial success"}
_CHECKS = {"test", "unit_test"}


@dataclass(frozen=True)
class Delivery:
    """One exposure that flagmart delivers."""

    name: str
    settings: Settings
    relation: Relation
    fingerprint: str
    """Changes with whatever may change the rows beside the data: code, seeds, vars."""
    refused: str | None
    """Why it must not go out: what failed in dbt's last run."""

    @property
    def destination(self) -> str:
        """The user's own name for where it goes."""
        return self.settings.need("destination")

    @property
    def sink(self) -> str:
        """`files`, or a sink of destinations/."""
        return self.settings.need("sink")


@dataclass(frozen=True)
class Project:
    """What flagmart needs to know of a dbt project."""

    deliveries: tuple[Delivery, ...]
    relations: dict[str, Relation]
    """Of every model and seed, by its name."""

    def chosen(self, names: list[str]) -> list[Delivery]:
        """The deliveries with these names, in the project's order; all of them where none is given.

        Raises:
            UsageError: a name that is no delivery; lists those there are.
            FlagmartError: the project declares no delivery at all.
        """
        known = [delivery.name for delivery in self.deliveries]
        for name in names:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise UsageError(f"{name!r} is no delivery of this project; it has {listed}")
        if not known:
            raise FlagmartError(
                "the project declares no delivery: none of its exposures has config.meta.flagmart"
            )
        return [d for d in self.deliveries if not names or d.name in names]


def target_folder(project_dir: Path) -> Path:
    """Where dbt leaves its artifacts: `DBT_TARGET_PATH`, or `target` in the project."""
    return project_dir / (os.environ.get("DBT_TARGET_PATH") or "target")


def read_project(project_dir: Path) -> Project:
    """Read the project's manifest.json and, where there is one, run_results.json.

    Raises:
        FlagmartError: no manifest, no JSON, or an exposure that is no delivery by its own words.
    """
    folder = target_folder(project_dir)
    manifest = _read(folder / "manifest.json")
    if manifest is None:
        raise FlagmartError(f"{folder / 'manifest.json'} does not exist; run `dbt build` first")
    results = _read(folder / "run_results.json") or {}
    failed = {
        result["unique_id"]: str(result["status"])
        for result in results.get("results", [])
        if result["status"] in _BAD
    }
    project_file = project_dir / "dbt_project.yml"
    outside = json.dumps(
        [
            project_file.read_text(encoding="utf-8") if project_file.exists() else "",
            results.get("args", {}).get("vars") or {},
        ],
        sort_keys=True,
    )
    exposures = [
        (exposure, values)
        for exposure in manifest.get("exposures", {}).values()
        if isinstance(values := exposure.get("config", {}).get("meta", {}).get("flagmart"), dict)
    ]
    models = {exposure["name"]: _model_of(exposure) for exposure, _ in exposures}
    deliveries = []
    for exposure, values in exposures:
        name, model = exposure["name"], models[exposure["name"]]
        if model not in manifest["nodes"]:
            raise FlagmartError(f"exposure {name}: {model} is not in the manifest; run `dbt build`")
        lineage = _lineage(manifest, model)
        deliveries.append(
            Delivery(
                name=name,
                settings=Settings(name, values),
                relation=_relation(manifest["nodes"][model]),
                fingerprint=_fingerprint(manifest, lineage, outside),
                refused=_refusal(manifest, model, lineage, set(models.values()), failed),
            )
        )
    relations = {
        node["name"]: _relation(node)
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed")
    }
    return Project(tuple(sorted(deliveries, key=lambda d: d.name)), relations)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FlagmartError(f"{path} is no JSON ({error}); run `dbt build` again") from error
    if not isinstance(document, dict):
        raise FlagmartError(f"{path} is no dbt artifact; run `dbt build` again")
    return document


def _model_of(exposure: dict[str, Any]) -> str:
    nodes = exposure["depends_on"]["nodes"]
    if len(nodes) != 1:
        raise FlagmartError(
            f"exposure {exposure['name']}: a delivery depends on exactly one model, "
            f"this one on {len(nodes)}"
        )
    return str(nodes[0])


def _relation(node: dict[str, Any]) -> Relation:
    return Relation(node["schema"], node.get("alias") or node["name"])


def _lineage(manifest: dict[str, Any], model: str) -> set[str]:
    """The model and everything it is made from."""
    seen: set[str] = set()
    waiting = [model]
    while waiting:
        node = waiting.pop()
        if node in seen or node not in manifest["nodes"]:
            continue
        seen.add(node)
        waiting.extend(manifest["nodes"][node].get("depends_on", {}).get("nodes", []))
    return seen


def _fingerprint(manifest: dict[str, Any], lineage: set[str], outside: str) -> str:
    digest = hashlib.sha256(outside.encode())
    macros: set[str] = set()
    for node_id in sorted(lineage):
        node = manifest["nodes"][node_id]
        digest.update(f"\0{node_id}\0{_checksum(node)}".encode())
        macros.update(node.get("depends_on", {}).get("macros", []))
    waiting = sorted(macros)
    while waiting:
        for parent in (
            manifest.get("macros", {})
            .get(waiting.pop(), {})
            .get("depends_on", {})
            .get("macros", [])
        ):
            if parent not in macros:
                macros.add(parent)
                waiting.append(parent)
    for macro_id in sorted(macros):
        macro = manifest.get("macros", {}).get(macro_id, {})
        digest.update(f"\0{macro_id}\0{macro.get('macro_sql', '')}".encode())
    return digest.hexdigest()


def _checksum(node: dict[str, Any]) -> str:
    checksum = node.get("checksum", {})
    if checksum.get("name") == "path" and node.get("root_path"):
        # dbt gives a large seed's path in place of its content's checksum
        with (Path(node["root_path"]) / node["original_file_path"]).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return str(checksum.get("checksum", ""))


def _refusal(
    manifest: dict[str, Any],
    model: str,
    lineage: set[str],
    delivered: set[str],
    failed: dict[str, str],
) -> str | None:
    for node_id, status in sorted(failed.items()):
        if node_id in lineage or _concerns(manifest, node_id, model, lineage, delivered):
            name = node_id.split(".")[2]
            return f"{name} ended with {status!r} in dbt's last run; mend it and run `dbt build`"
    return None


def _concerns(
    manifest: dict[str, Any], node_id: str, model: str, lineage: set[str], delivered: set[str]
) -> bool:
    """Whether a failed test speaks of this delivery.

    It does where it reads the delivery's model, or an ancestor without any other delivery's model:
    the account of one delivery does not hold up another.
    """
    node = manifest["nodes"].get(node_id) or manifest.get("unit_tests", {}).get(node_id)
    if not node or node["resource_type"] not in _CHECKS:
        return False
    parents = set(node.get("depends_on", {}).get("nodes", []))
    return model in parents or bool(parents & lineage and not parents & delivered)
