"""A small built project for delivery tests: a DuckDB file and dbt's two artifacts, without dbt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import duckdb

from flagmart.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
KEY = "write-key-never-to-be-seen"
BUILD = "build"
"""The invocation of a build that gives no other."""

META: dict[str, dict[str, str]] = {
    "statsig_events": {
        "destination": "statsig",
        "sink": "files",
        "layout": "statsig",
        "dataset": "events",
        "path": "exports/statsig",
    },
    "hackle_events": {
        "destination": "hackle",
        "sink": "files",
        "layout": "hackle",
        "path": "exports/hackle",
    },
    "segment_tracks": {
        "destination": "segment",
        "sink": "segment",
        "host_env": "SEGMENT_HOST",
        "key_env": "SEGMENT_WRITE_KEY",
    },
}

EVENT_COLUMNS = {
    "statsig_events": "timeuuid",
    "hackle_events": "insert_id",
    "segment_tracks": "event_id",
}
"""Where the models of these have the event's id."""

# one row an event, five a second, so that a day holds whatever is asked for
_STATSIG = """
select
    epoch(occurred_at)::bigint as timestamp,
    'flag_evaluation' as event_name,
    variation as event_value,
    '{"flag":"f1"}' as event_metadata,
    '{"userID":"' || user_key || '","custom":{},"customIDs":{}}' as "user",
    event_id as timeuuid,
    user_key as user_id,
    occurred_at::date as partition_on,
    ingested_at
from events
"""
_HACKLE = """
select
    event_id as insert_id,
    'flag_evaluation' as event_key,
    date_trunc('millisecond', occurred_at) as ts,
    0::decimal(24, 6) as metric_value,
    map {'id': user_key, 'device_id': user_key} as identifiers,
    map {'variation': variation} as event_properties,
    map([], [])::map(varchar, varchar) as user_properties,
    map {'osname': 'server', 'version': '1'} as platform_properties,
    occurred_at::date as partition_on,
    ingested_at
from events
"""
_SEGMENT = """
select
    event_id,
    'featbit:env:' || event_id || ':evaluation' as message_id,
    user_key,
    user_key as partition_key,
    '{"type":"track","messageId":"featbit:env:' || event_id || ':evaluation","userId":"' || user_key
    || '","event":"Feature Flag Evaluation Event","timestamp":"'
    || strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ')
    || '","properties":{"Id":"' || event_id || '","Variation":"' || variation || '"}}' as payload,
    occurred_at,
    ingested_at
from events
"""


@dataclass
class ExportProject:
    """A project folder and a data folder beside it."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def duckdb(self) -> Path:
        return self.data / "flagmart.duckdb"

    def build(self, *, days: int = 3, rows: int = 300) -> ExportProject:
        """`rows` events over `days` days, one ingest run; writes artifacts, too."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.sql(
            """
            create table events (
                event_id varchar, user_key varchar, variation varchar,
                occurred_at timestamp, ingested_at timestamp
            )
            """
        )
        self.add(rows=rows, days=days)
        self.sql(
            f"create view statsig_events as {_STATSIG}",
            f"create view hackle_events as {_HACKLE}",
            f"create view segment_tracks as {_SEGMENT}",
        )
        self.dbt_build()
        return self

    def add(
        self,
        *,
        rows: int,
        days: int = 1,
        first_day: str = "2026-03-01",
        run: str = "2026-03-05 00:00:00",
        prefix: str = "a",
    ) -> None:
        """One more ingest run."""
        self.sql(
            (
                """
                insert into events
                select
                    $prefix || '-' || lpad(i::varchar, 8, '0'),
                    'user-' || (i % 97),
                    case when i % 3 = 0 then 'on' else 'Ünïcode ✓' end,
                    $first_day::timestamp + to_days((i % $days)::int)
                        + to_microseconds((i * 1237) % 86000000000),
                    $run::timestamp
                from range($rows) as t(i)
                """,
                {
                    "prefix": prefix,
                    "first_day": first_day,
                    "days": days,
                    "rows": rows,
                    "run": run,
                },
            )
        )

    def sql(self, *statements: str | tuple[str, dict[str, Any]]) -> None:
        with duckdb.connect(str(self.duckdb)) as connection:
            for statement in statements:
                if isinstance(statement, tuple):
                    connection.execute(*statement)
                else:
                    connection.execute(statement)

    def rows(self, statement: str) -> list[Any]:
        with duckdb.connect(str(self.duckdb)) as connection:
            return list(connection.execute(statement).fetchall())

    def dbt_build(
        self,
        meta: Mapping[str, Mapping[str, object]] | None = None,
        results: dict[str, str] | None = None,
        checksum: str = "1",
    ) -> None:
        """What a `dbt build` leaves beside its relations; see `write_artifacts`."""
        self.sql(*build_notes(BUILD, results))
        self.write_artifacts(meta, results, checksum)

    def write_artifacts(
        self,
        meta: Mapping[str, Mapping[str, object]] | None = None,
        results: dict[str, str] | None = None,
        checksum: str = "1",
        invocation: str = BUILD,
    ) -> None:
        """manifest.json and run_results.json as dbt 1.11 writes them, as far as they are read.

        Args:
            meta: `meta.flagmart` by exposure.
            results: status by unique id, beside the models that succeeded.
            checksum: of every model.
            invocation: the run of dbt that wrote them; one that did not build is a `dbt compile`.
        """
        target = self.project / "target"
        target.mkdir(parents=True, exist_ok=True)
        meta = dict(META if meta is None else meta)
        base = "model.flagmart.base_featbit__events"
        nodes: dict[str, Any] = {base: _model("base_featbit__events", [], checksum)}
        for name in ("stg_featbit__rejected_events", "fct_export_exclusions"):
            nodes[f"model.flagmart.{name}"] = _model(name, [base], checksum)
        for name in {**META, **meta}:
            nodes[f"model.flagmart.{name}"] = _model(name, [base], checksum)
        for name, parents in {
            "not_null_statsig": ["model.flagmart.statsig_events"],
            "unique_base": [base],
            "accounts_of_hackle": [base, "model.flagmart.hackle_events"],
        }.items():
            nodes[f"test.flagmart.{name}"] = {
                "name": name,
                "resource_type": "test",
                "depends_on": {"nodes": parents, "macros": []},
            }
        for name, column in EVENT_COLUMNS.items():
            nodes[f"test.flagmart.account_of_{name}"] = {
                "name": f"account_of_{name}",
                "resource_type": "test",
                "attached_node": f"model.flagmart.{name}",
                "test_metadata": {
                    "name": "accounts_for_every_event",
                    "kwargs": {"delivery": name, "event_id": column},
                },
                "depends_on": {"nodes": [f"model.flagmart.{name}"], "macros": []},
            }
        manifest = {
            "metadata": {"invocation_id": invocation, "project_name": "flagmart"},
            "nodes": nodes,
            "unit_tests": {},
            "macros": {
                f"macro.flagmart.{name}": {"macro_sql": "select 1", "depends_on": {"macros": []}}
                for name in ("m", "unused")
            },
            "exposures": {
                f"exposure.flagmart.{name}": {
                    "name": name,
                    "depends_on": {"nodes": [f"model.flagmart.{name}"], "macros": []},
                    "config": {"enabled": True, "meta": {"flagmart": values}},
                }
                for name, values in meta.items()
            },
        }
        statuses = dict.fromkeys(nodes, "success") | (results or {})
        run_results = {
            "metadata": {"invocation_id": invocation},
            "args": {"vars": {}},
            "results": [{"unique_id": key, "status": value} for key, value in statuses.items()],
        }
        (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        (target / "run_results.json").write_text(json.dumps(run_results), encoding="utf-8")
        (self.project / "dbt_project.yml").write_text("name: flagmart\n", encoding="utf-8")

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        return {
            **kept,
            "PYTHONPATH": str(SCRIPTS),
            "FLAGMART_DATA": str(self.data),
            "FLAGMART_LONGEST_WAIT": "0.05",
            "SEGMENT_WRITE_KEY": KEY,
            **self.env,
        }

    def command(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        return [
            sys.executable,
            "-m",
            "flagmart",
            verb,
            "--project-dir",
            str(self.project),
            *rest,
        ]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As `run`, but in this process: quicker by the time Python takes to start."""
        command = self.command(*arguments)[2:]
        out, talk = StringIO(), StringIO()
        with (
            patch.dict(os.environ, self.environment(), clear=True),
            patch.object(sys, "argv", command),
            redirect_stdout(out),
            redirect_stderr(talk),
        ):
            try:
                main()
                code: object = 0
            except SystemExit as end:
                code = end.code
        return subprocess.CompletedProcess(
            command, int(str(code or 0)), out.getvalue(), talk.getvalue()
        )

    def export(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """`flagmart export … --output json`, which must end with `code`."""
        return self._reports("export", *arguments, code=code)

    def replay(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """`flagmart replay … --output json`, likewise."""
        return self._reports("replay", *arguments, code=code)

    def dead_letters(self, *names: str) -> list[dict[str, Any]]:
        """What `flagmart replay --dry-run` lists."""
        done = self.call("replay", "--dry-run", *names)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def status(self, name: str) -> dict[str, Any]:
        """`flagmart status … --output json`."""
        done = self.call("status", "--output", "json", name)
        document = json.loads(done.stdout)
        assert isinstance(document, dict)
        return document

    def _reports(self, verb: str, *arguments: str, code: int) -> list[dict[str, Any]]:
        done = self.call(verb, "--output", "json", *arguments)
        assert done.returncode == code, f"{done.returncode}: {done.stderr}{done.stdout}"
        reports = json.loads(done.stdout)
        assert isinstance(reports, list)
        return reports


def build_notes(
    invocation: str, results: dict[str, str] | None = None, state: str = "finished"
) -> list[str | tuple[str, dict[str, Any]]]:
    """Statements that note a build in the engine as the project's hooks do.

    Args:
        invocation: of dbt.
        results: status by unique id; a node without one succeeded.
        state: `running` for a build that did not get to its end.
    """
    models = dict.fromkeys((f"model.flagmart.{name}" for name in META), "success")
    statuses = models | (results or {})
    return [
        "create schema if not exists flagmart_builds",
        (
            "create or replace table flagmart_builds.builds as "
            "select $invocation::varchar as invocation_id, $state::varchar as state",
            {"invocation": invocation, "state": state},
        ),
        (
            "create or replace table flagmart_builds.node_results as "
            "select unnest($nodes::varchar[]) as node_id, unnest($statuses::varchar[]) as status",
            {"nodes": list(statuses), "statuses": list(statuses.values())},
        ),
    ]


def _model(name: str, parents: list[str], checksum: str) -> dict[str, Any]:
    return {
        "name": name,
        "alias": name,
        "resource_type": "model",
        "database": "flagmart",
        "schema": "main",
        "checksum": {"name": "sha256", "checksum": checksum},
        "depends_on": {"nodes": parents, "macros": ["macro.flagmart.m"]},
    }
