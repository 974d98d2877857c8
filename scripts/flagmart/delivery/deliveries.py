"""Deliveries as dbt's artifacts describe them, judged by what the engine says was built."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flagmart import settings
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError, UsageError
from flagmart.project import target_folder
from flagmart.warehouse.protocol import Build, Relation, Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

# what went wrong itself first, then what was left out or cut short because of it
_BAD = ("error", "fail", "runtime error", "partial success", "unfinished", "skipped")
_CHECKS = {"test", "unit_test"}
_BUILT = {"model", "seed", "snapshot"}

PACKAGE = "flagmart"
"""The dbt project that makes the events, be it the user's project itself or one that it imports."""
_ACCOUNT = "accounts_for_every_event"
_INSTALL_PATH = re.compile(r"^packages-install-path:\s*[\"']?([^\"'#\n]+)", re.MULTILINE)

UNFINISHED = "dbt's last run did not finish; run `dbt build` again"


@dataclass(frozen=True)
class Delivery:
    """One exposure that flagmart delivers."""

    name: str
    settings: Settings
    relation: Relation
    model: str
    """Unique id of the node that makes the relation."""
    concerned: frozenset[str]
    """Unique ids of the nodes that must be sound: its model, what that is made from, their tests.
    """
    code: str
    """A digest of whatever may change the rows beside the data: code, seeds, vars."""
    built_by: str
    """Invocation of dbt that built all of its lineage from this code; '' where none is known."""
    accounted_as: str | None = None
    """Its name in fct_export_exclusions, where its model promises to account for every event."""
    event_column: str | None = None
    """The column of its relation with the event's id, where its model promises that."""

    @property
    def destination(self) -> str:
        """The user's own name for where it goes."""
        return self.settings.need("destination")

    @property
    def sink(self) -> str:
        """`files`, or a sink of destinations/."""
        return self.settings.need("sink")

    def refusal(self, build: Build) -> str | None:
        """Why it must not go out as it was built, if so."""
        if not build.finished:
            return UNFINISHED
        bad = [
            (_BAD.index(status), node_id)
            for node_id in sorted(self.concerned)
            if (status := build.statuses.get(node_id, "")) in _BAD
        ]
        if bad:
            place, node_id = min(bad)
            return (
                f"{node_id.split('.')[2]} ended with {_BAD[place]!r} when dbt last ran it; "
                "mend it and run `dbt build`"
            )
        if self.model not in build.statuses:
            return f"{self.relation} was never built to its end; run `dbt build`"
        return None

    def fingerprint(self, build: Build) -> str:
        """The digest of the code that these rows come from; '' where that is not known.

        Artifacts may be newer than what was built: every command of dbt writes them anew.
        """
        return self.code if self.built_by and self.built_by == build.invocation_id else ""


@dataclass(frozen=True)
class Built:
    """An open engine whose last build may go out."""

    warehouse: Warehouse
    fingerprint: str
    """Of the code the delivery's rows come from; see Delivery.fingerprint."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """The same of every delivery of the project, by name."""
    build: Build | None = None
    """The one these are of; None: not to be compared."""

    def refuse_another(self) -> None:
        """See that the engine still holds this build.

        A build notes its beginning before it changes anything, so what was read before this is of
        this build. Only ClickHouse lets one in here.

        Raises:
            FlagmartError: dbt has begun to build anew.
        """
        if self.build is not None and self.warehouse.build() != self.build:
            raise FlagmartError(
                "dbt ran while this was reading; run the export again when it is done"
            )


@dataclass(frozen=True)
class Project:
    """What flagmart needs to know of a dbt project."""

    deliveries: tuple[Delivery, ...]
    relations: dict[str, Relation]
    """Of every model and seed of flagmart's own, by its name."""

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


def read_project(project_dir: Path) -> Project:
    """Read the project's manifest.json and, where there is one, run_results.json.

    Raises:
        UsageError: the environment names no engine.
        FlagmartError: no manifest, no JSON, made for another engine, or an exposure that is no
            delivery by its own words.
    """
    folder = target_folder(project_dir)
    manifest = _manifest(folder / "manifest.json")
    results = _results(folder / "run_results.json")
    invocation = manifest.get("metadata", {}).get("invocation_id", "")
    if results.get("metadata", {}).get("invocation_id") != invocation:
        invocation = ""
    built = {
        result["unique_id"]
        for result in results.get("results", [])
        if result["status"] == "success"
    }
    files = _project_files(project_dir)
    if _changed_since(results, files):
        invocation = ""
    outside = json.dumps(
        [
            {package: path.read_text(encoding="utf-8") for package, path in files.items()},
            results.get("args", {}).get("vars") or {},
        ],
        sort_keys=True,
    )
    root = manifest.get("metadata", {}).get("project_name", PACKAGE)
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
        # a package whose settings are out of sight may have other ones since the last export
        seen = {_package(node_id) for node_id in lineage} <= {root, *files}
        deliveries.append(
            Delivery(
                name=name,
                settings=Settings(name, values),
                relation=_relation(manifest["nodes"][model]),
                model=model,
                concerned=frozenset(_concerned(manifest, model, lineage, set(models.values()))),
                code=_code(manifest, lineage, outside),
                built_by=invocation if seen and _tables(manifest, lineage) <= built else "",
                **_account(manifest, model),
            )
        )
    return Project(tuple(sorted(deliveries, key=lambda d: d.name)), _relations(manifest))


def read_relations(project_dir: Path) -> dict[str, Relation]:
    """Every model and seed of flagmart's own by its name, as the project's manifest.json has it.

    Raises:
        UsageError: the environment names no engine.
        FlagmartError: no manifest, no JSON, or made for another engine.
    """
    return _relations(_manifest(target_folder(project_dir) / "manifest.json"))


def relation_named(relations: dict[str, Relation], name: str) -> Relation:
    """One of `read_relations`.

    Raises:
        FlagmartError: the project was built before this model was there.
    """
    try:
        return relations[name]
    except KeyError:
        raise FlagmartError(
            f"the project was built without flagmart's model {name}; run `dbt build`"
        ) from None


def _relations(manifest: dict[str, Any]) -> dict[str, Relation]:
    return {
        node["name"]: _relation(node)
        for node_id, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed") and _package(node_id) == PACKAGE
    }


def _manifest(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise FlagmartError(f"{path} does not exist; run `dbt build` first") from error
    except ValueError as error:
        raise FlagmartError(f"{path} is no JSON ({error}); run `dbt build` again") from error
    if not isinstance(document, dict):
        raise FlagmartError(f"{path} is no dbt artifact; run `dbt build` again")
    made_for, engine = document.get("metadata", {}).get("adapter_type"), settings.engine()
    if made_for is not None and made_for != engine:
        raise FlagmartError(
            f"{path} was made for {made_for} and DBT_TARGET says {engine}; "
            f"run `dbt build` with DBT_TARGET={engine}, or set DBT_TARGET={made_for}"
        )
    return document


def _results(path: Path) -> dict[str, Any]:
    """What dbt's last command ran; nothing where that is not known, or just being written."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _package(node_id: str) -> str:
    """The dbt project a node belongs to, as its unique id says: `model.flagmart.x`."""
    return node_id.split(".")[1]


def _project_files(project_dir: Path) -> dict[str, Path]:
    """Each dbt_project.yml, where vars stand: the project's own under '', its packages' by name."""
    root = project_dir / "dbt_project.yml"
    if not root.exists():
        return {}
    found = _INSTALL_PATH.search(root.read_text(encoding="utf-8"))
    folder = project_dir / (found[1].strip() if found else "dbt_packages")
    return {"": root} | {path.parent.name: path for path in folder.glob("*/dbt_project.yml")}


def _changed_since(results: dict[str, Any], files: dict[str, Path]) -> bool:
    """Whether a file was written after the run began: its vars are not those of what was built."""
    began = results.get("metadata", {}).get("invocation_started_at")
    if began is None:
        return False
    # a copy may keep its old st_mtime, st_ctime says when it came here
    known = [path.stat() for path in files.values()]
    newest = max((max(stat.st_mtime, stat.st_ctime) for stat in known), default=0.0)
    return newest > datetime.fromisoformat(began).timestamp()


def _account(manifest: dict[str, Any], model: str) -> dict[str, str]:
    """What the model's test that every event is accounted for says of it, if it has one."""
    for node in manifest["nodes"].values():
        test = node.get("test_metadata") or {}
        if node.get("attached_node") == model and test.get("name") == _ACCOUNT:
            said = test["kwargs"]
            return {"accounted_as": str(said["delivery"]), "event_column": str(said["event_id"])}
    return {}


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


def _tables(manifest: dict[str, Any], lineage: set[str]) -> set[str]:
    """Those of the lineage that dbt makes something of in the engine."""
    return {
        node_id
        for node_id in lineage
        if (node := manifest["nodes"][node_id])["resource_type"] in _BUILT
        and node.get("config", {}).get("materialized") != "ephemeral"
    }


def _code(manifest: dict[str, Any], lineage: set[str], outside: str) -> str:
    digest = hashlib.sha256(outside.encode())
    for node_id in sorted(lineage):
        digest.update(f"\0{node_id}\0{_checksum(manifest['nodes'][node_id])}".encode())
    # all of them: which ones a model is said to depend on changes with how dbt rendered it
    for macro_id, macro in sorted(manifest.get("macros", {}).items()):
        digest.update(f"\0{macro_id}\0{macro.get('macro_sql', '')}".encode())
    return digest.hexdigest()


def _checksum(node: dict[str, Any]) -> str:
    checksum = node.get("checksum", {})
    if checksum.get("name") == "path" and node.get("root_path"):
        # dbt gives a large seed's path in place of its content's checksum
        with (Path(node["root_path"]) / node["original_file_path"]).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return str(checksum.get("checksum", ""))


def _concerned(
    manifest: dict[str, Any], model: str, lineage: set[str], delivered: set[str]
) -> set[str]:
    """The lineage, and the tests that speak of this delivery.

    A test does where it reads the delivery's model, or an ancestor without the model of a delivery
    beside this one: the account of one delivery does not hold up another.
    """
    beside = delivered - lineage
    tests = set()
    for node_id, node in [*manifest["nodes"].items(), *manifest.get("unit_tests", {}).items()]:
        parents = set(node.get("depends_on", {}).get("nodes", []))
        if node["resource_type"] in _CHECKS and (
            model in parents or (parents & lineage and not parents & beside)
        ):
            tests.add(node_id)
    return lineage | tests
