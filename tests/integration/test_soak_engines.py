"""The whole way on older releases of ClickHouse, each row and byte as on DuckDB; `make soak`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from support.clickhouse.server import started
from support.clickhouse_project import DATABASE, ClickHouseProject
from support.clickhouse_target import client, environment
from support.command import FLAGMART, flagmart
from support.command import environment as command_environment
from support.dbt_project import ROOT, run_dbt
from support.export_project import META
from support.installation import SEGMENT_KEY, Installation
from support.relations import different, on_clickhouse, on_duckdb
from support.s3_server import BUCKET, CREDENTIALS
from support.s3_server import running as s3_running
from support.segment_server import running as segment_running
from support.wheels import package

pytestmark = pytest.mark.soak

RELEASES = {
    "26.7": "chdb-core==26.7.3",
    "26.5": "chdb-core==26.5.0",
    "26.3": "chdb-core==26.3.0",
    "26.1": "chdb-core==26.1.0",
    "25.8": "chdb==3.7.2",
}
"""ClickHouse's release, and the wheel that has it: of each release the newest there is."""
TOO_OLD = "chdb==3.6.0"
"""The next before those: ClickHouse 25.5."""


def engine(wheel: str) -> Path:
    """The folder with that wheel's engine, half a gigabyte each."""
    return package(wheel, "--no-deps", "--only-binary", ":all:")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One dirty file."""
    folder = tmp_path_factory.mktemp("source")
    path = folder / "events.jsonl"
    options = "--events 6000 --users 90 --flags 4 --days 12 --start 2026-01-01 --seed 7 --dirty 0.3"
    flagmart("generate", *options.split(), "--out", str(path), data=folder)
    return path


@pytest.fixture(scope="module")
def duck(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """What DuckDB makes of the file, and delivered."""
    with segment_running(SEGMENT_KEY) as segment:
        made = Installation(tmp_path_factory.mktemp("duck"), None, segment)
        made.ingest_and_build(source, 0)
        made.export()
        yield made


@pytest.mark.parametrize("release", RELEASES)
def test_an_older_release_gives_the_same_rows_and_files(
    release: str, source: Path, duck: Installation, tmp_path: Path
) -> None:
    with (
        started(tmp_path / "clickhouse", engine(RELEASES[release])) as (address, _),
        segment_running(SEGMENT_KEY) as segment,
        client(address) as opened,
    ):
        assert str(opened.server_version).startswith(f"{release}.")
        click = Installation(tmp_path, environment(address, "older"), segment)
        click.ingest(source, 0)
        # one statement at a time: the engine in older wheels hangs on several
        ran = run_dbt("build", "--threads", "1", data=tmp_path, env=click.env)
        assert ran.returncode == 0, ran.stdout
        theirs = on_clickhouse(duck.data, opened, "older")
        assert different(on_duckdb(duck.data), theirs) == {}
        click.export()
        assert click.files() == duck.files()
        assert sorted(segment.taken) == sorted(duck.segment.taken)
        assert len(segment.ids()) > 4000


@pytest.mark.parametrize("release", RELEASES)
def test_an_older_release_writes_the_same_rows_into_a_bucket(release: str, tmp_path: Path) -> None:
    names = ["hackle_events", "statsig_events"]
    with (
        s3_running() as s3,
        patch.dict(os.environ, CREDENTIALS),  # older wheels know no named collection
        started(tmp_path / "clickhouse", engine(RELEASES[release])) as (address, _),
        client(address) as opened,
    ):
        env = {**s3.env, **environment(address, DATABASE), "FLAGMART_EXPORT_MEMORY": "1MB"}
        meta = {name: {**META[name], "path": f"s3://{BUCKET}/{name}"} for name in names}
        project = ClickHouseProject(tmp_path, env).on(opened, meta)
        reports = project.export(*names, "--pushdown")
        assert [(report["outcome"], report["rows"]) for report in reports] == [
            ("delivered", 300)
        ] * 2
        for name in names:
            done = project.call("verify", name)
            assert done.returncode == 0, done.stdout


def test_a_release_that_is_too_old_is_refused(source: Path, tmp_path: Path) -> None:
    told = "is of release 25.5.2.1, and 25.8 is the oldest that flagmart runs on"
    with started(tmp_path / "clickhouse", engine(TOO_OLD)) as (address, _):
        env = environment(address, "older")
        ran = subprocess.run(
            [FLAGMART, "ingest", "files", source],
            cwd=ROOT,
            env=command_environment(tmp_path) | env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 1
        assert f"ClickHouse at 127.0.0.1:{address.port} {told}" in ran.stderr
        ran = run_dbt("build", data=tmp_path, env=env)
        assert ran.returncode != 0
        assert told in ran.stdout
