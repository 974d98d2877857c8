"""One state of the dbt project: what dbt says is in it, and its tables built on sample data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Iterable

_DBT = str(Path(sys.executable).with_name("dbt"))
# deliveries and shapes that are built on request, too
_VARS = "{flagmart_further_deliveries: all, flagmart_experiment_tools: all}"
_CLOCK = "2026-03-01T00:00:00Z"
"""Of every ingest: after all that the generator writes, and the same on both sides."""


@dataclass(frozen=True)
class Side:
    """The project in one state, with a data folder of its own."""

    name: str
    """For people: `base` or `head`."""
    code: Path
    """The repository in that state."""
    data: Path

    @property
    def target(self) -> Path:
        """Where dbt leaves its manifest."""
        return self.data / "target"

    @property
    def duckdb(self) -> Path:
        """What was built."""
        return self.data / "flagmart.duckdb"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of dbt, of which `parse` or `touched` must have written one."""
        read: dict[str, Any] = json.loads((self.target / "manifest.json").read_text("utf-8"))
        return read

    @property
    def relations(self) -> dict[str, str]:
        """Quoted name of the table or view of each model, by its unique id."""
        return {
            key: ".".join(f'"{part}"' for part in (node["schema"], node["alias"]))
            for key, node in self.manifest["nodes"].items()
            if node["resource_type"] == "model"
        }

    @property
    def deliveries(self) -> dict[str, dict[str, Any]]:
        """Each delivery's exposure, by its unique id."""
        return {
            key: exposure
            for key, exposure in self.manifest["exposures"].items()
            if "flagmart" in exposure["config"].get("meta", {})
        }

    def parse(self) -> None:
        """Have dbt write its manifest."""
        self._dbt("parse")

    def touched(self, base: Side) -> set[str]:
        """Unique ids of what differs from `base` and of all that depends on it, by dbt."""
        told = self._dbt(
            *("ls", "--select", "state:modified+", "--state", str(base.target)),
            *("--output", "json", "--output-keys", "unique_id"),
        )
        return {json.loads(line)["unique_id"] for line in told.splitlines() if line[:1] == "{"}

    def build(self, sample: Path, models: Iterable[str]) -> None:
        """Ingest `sample` and build the models of these names with all they are made from."""
        names = sorted(models)
        if not names:
            return
        # 3: some lines are no events, which the sample has on purpose
        self.flagmart("ingest", "files", str(sample), codes=(0, 3))
        self._dbt(
            *("build", "--exclude-resource-type", "test", "unit_test"),
            *("--select", *(f"+{name}" for name in names)),
        )

    def flagmart(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        """Run the command, as it is in this state."""
        self._run("flagmart", [sys.executable, "-m", "flagmart"], arguments, codes)

    @property
    def environment(self) -> dict[str, str]:
        """For what runs in this state: DuckDB, and nothing of the user's own data."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DBT_", "FLAGMART_"))}
        return {
            **kept,
            "PYTHONPATH": str(self.code / "scripts"),
            "FLAGMART_DATA": str(self.data),
            "FLAGMART_NOW": _CLOCK,
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.data / "logs"),
        }

    def _dbt(self, verb: str, *arguments: str) -> str:
        return self._run("dbt", [_DBT, "--quiet"], (verb, "--vars", _VARS, *arguments))

    def _run(
        self,
        name: str,
        command: list[str],
        arguments: tuple[str, ...],
        codes: tuple[int, ...] = (0,),
    ) -> str:
        self.data.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.code,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            said = (done.stdout + done.stderr).strip()
            raise FlagmartError(
                f"{name} {arguments[0]} failed in the state of {self.name}; mend that first. "
                f"It says:\n{said[-2000:]}"
            )
        return done.stdout
