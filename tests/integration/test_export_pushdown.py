"""`export --pushdown`: ClickHouse writes what an ordinary export would."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from io import BytesIO
from threading import Thread
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from flagmart.delivery.buckets import ObjectStore
from flagmart.delivery.export import Options, export
from flagmart.delivery.report import Outcome
from flagmart.destinations import LAYOUTS
from flagmart.settings import DataFolder
from flagmart.warehouse.clickhouse_objects import Objects
from support import network
from support.clickhouse.server import Address
from support.clickhouse.server import running as clickhouse_running
from support.clickhouse_project import DATABASE, ClickHouseProject
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment
from support.export_project import META
from support.s3_server import BUCKET, CREDENTIALS, SECRET, S3Server
from support.s3_server import running as s3_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

FILES = ["hackle_events", "statsig_events"]
COLLECTION = "flagmart_test_bucket"
THEIRS = {
    "AWS_ACCESS_KEY_ID": "key-of-the-servers-own",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-servers-own",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_running() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server with credentials of its own in its environment."""
    folder = tmp_path_factory.mktemp("clickhouse")
    with (
        patch.dict(os.environ, {**CREDENTIALS, **THEIRS}),
        clickhouse_running(folder) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def client(address: Address) -> Iterator[Client]:
    with client_of(address) as opened:
        opened.command(f"drop named collection if exists {COLLECTION}")
        opened.command(
            f"create named collection {COLLECTION} as "
            f"access_key_id = '{THEIRS['AWS_ACCESS_KEY_ID']}', "
            f"secret_access_key = '{THEIRS['AWS_SECRET_ACCESS_KEY']}'"
        )
        yield opened
        opened.command(f"drop named collection {COLLECTION}")


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A part of the bucket for one test."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def project(
    tmp_path: Path, address: Address, client: Client, s3: S3Server, prefix: str
) -> ClickHouseProject:
    env = {**s3.env, **environment(address, DATABASE)}
    return ClickHouseProject(tmp_path, env).on(client, meta(prefix))


def meta(prefix: str) -> dict[str, dict[str, str]]:
    plain = {"destination": "lake", "sink": "files", "layout": "plain"}
    values = {
        **{name: META[name] for name in FILES},
        "mart": {**plain, "path": "mart", "partition_by": "day"},
        "whole": {**plain, "path": "whole"},
        "timed": {**plain, "path": "timed"},
        "signals": {**plain, "layout": "statsig_signals", "path": "exports/statsig"},
    }
    return {
        name: {
            **own,
            "path": f"s3://{BUCKET}/{prefix}/{own['path']}",
            # the others go with what the server finds by itself
            **({"named_collection": COLLECTION} if name in FILES else {}),
        }
        for name, own in values.items()
    }


def ordinary(project: ClickHouseProject, name: str, folder: str) -> dict[str, bytes]:
    """What an ordinary export puts into a folder of this machine."""
    place = project.root / folder
    project.export(name, "--to", str(place), "--allow-shrink")
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


def assert_same(ours: dict[str, bytes], theirs: dict[str, bytes]) -> None:
    """The same names, rows in the same order, and types; written by ClickHouse in one of them."""
    assert ours.keys() == theirs.keys()
    for name, body in ours.items():
        if not name.endswith(".parquet"):
            assert body == theirs[name] == b""
            continue
        one, other = (pq.ParquetFile(BytesIO(content)) for content in (body, theirs[name]))
        assert one.read().equals(other.read()), name
        assert one.schema_arrow.equals(other.schema_arrow)
        assert one.metadata.created_by.startswith("ClickHouse")
        group = one.metadata.row_group(0)
        assert {group.column(n).compression for n in range(group.num_columns)} == {"SNAPPY"}


@pytest.mark.parametrize("name", [*FILES, "mart", "whole"])
def test_clickhouse_writes_the_rows_and_types_of_an_ordinary_export(
    project: ClickHouseProject, s3: S3Server, prefix: str, name: str
) -> None:
    path = f"{prefix}/{meta('')[name]['path'].split('/', 4)[4]}"
    (planned,) = project.export(name, "--pushdown", "--dry-run")
    assert planned["outcome"] == "would deliver"
    days = 1 if name == "whole" else 3
    assert list(planned["detail"]["written"].values()) == [300 // days] * days
    assert s3.contents(prefix) == {}

    (report,) = project.export(name, "--pushdown")
    assert (report["outcome"], report["parts"], report["rows"]) == ("delivered", days, 300)
    there = s3.contents(path)
    assert_same(there, ordinary(project, name, "folder"))
    done = project.call("verify", name)
    assert done.returncode == 0, done.stdout + done.stderr
    for more in ((), ("--pushdown",)):
        assert project.export(name, *more)[0]["outcome"] == "nothing new"
    assert s3.contents(path) == there
    # besides those pyarrow leaves an empty object in the name of a folder it removed something from
    assert set(s3.keys(prefix)) - {f"{path}/{key}" for key in there} == {f"{path}/.partial/{name}/"}


def test_late_rows_rewrite_their_days_alone(
    project: ClickHouseProject, s3: S3Server, prefix: str
) -> None:
    project.insert(rows=600, days=6, first_day="2026-02-20", prefix="old")
    project.export(*FILES, "--pushdown")
    before = s3.contents(prefix)
    for day in ("20", "22"):
        project.insert(rows=7, first_day=f"2026-02-{day}", run="2026-03-06 00:00:00", prefix=day)
    assert [(r["parts"], r["rows"]) for r in project.export(*FILES, "--pushdown")] == [(2, 214)] * 2
    after = s3.contents(prefix)
    assert {key for key in after if after[key] != before[key]} == {
        key
        for key in after
        if key.endswith(".parquet") and ("2026-02-20/" in key or "2026-02-22/" in key)
    }
    for name in FILES:
        assert project.call("verify", name).returncode == 0


def _in_small_files(monkeypatch: pytest.MonkeyPatch, **changed: int) -> None:
    layout = LAYOUTS["hackle"]
    monkeypatch.setattr("flagmart.delivery.partitions.ROW_GROUP_ROWS", 16)
    monkeypatch.setitem(
        LAYOUTS,
        "hackle",
        lambda settings: type(layout(settings))(**{**vars(layout(settings)), **changed}),
    )


def _here(project: ClickHouseProject, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Exports Hackle's days by pushdown in this process, a day at a time."""
    for variable, value in project.environment().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("FLAGMART_EXPORT_MEMORY", "1MB")
    options = Options(project_dir=project.project, allow_shrink=True, pushdown=True)
    return lambda: export(["hackle_events"], options, DataFolder(project.data))[0]


def test_a_day_of_many_rows_is_numbered_files_and_one_that_is_left_over_goes(
    project: ClickHouseProject, s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_small_files(monkeypatch, rows_per_file=48)
    export_here = _here(project, monkeypatch)
    for files in (3, 2):
        assert export_here().outcome is Outcome.DELIVERED
        there = s3.contents(f"{prefix}/exports/hackle")
        assert_same(there, ordinary(project, "hackle_events", "folder"))
        assert len([key for key in there if key.startswith("dt=2026-03-01/0")]) == files
        project.do(
            "alter table main.events delete where toDate(occurred_at) = '2026-03-01' "
            "and endsWith(event_id, '5') settings mutations_sync = 2",
            "alter table main.events update ingested_at = '2026-03-06 00:00:00' where 1 "
            "settings mutations_sync = 2",
        )


def test_files_are_no_larger_than_the_layout_allows(
    project: ClickHouseProject, s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.insert(rows=4000, prefix="more")
    ordinarily = ordinary(project, "hackle_events", "folder")
    whole = ordinarily["dt=2026-03-01/000000000000.parquet"]
    limit = 60_000
    _in_small_files(monkeypatch, bytes_per_file=limit)
    assert _here(project, monkeypatch)().outcome is Outcome.DELIVERED
    there = s3.contents(f"{prefix}/exports/hackle")
    parts = [there[key] for key in sorted(there) if key.startswith("dt=2026-03-01/0")]
    assert len(parts) > 1
    assert max(map(len, parts)) <= limit
    rows = [row for part in parts for row in pq.read_table(BytesIO(part)).to_pylist()]
    assert rows == pq.read_table(BytesIO(whole)).to_pylist()
    assert project.call("verify", "hackle_events").returncode == 0


class _DiesError(Exception):
    pass


def test_cut_short_anywhere_it_never_shows_a_whole_day_and_is_made_good(
    project: ClickHouseProject, s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _in_small_files(monkeypatch, rows_per_file=48)
    export_here = _here(project, monkeypatch)
    export_here()
    day = f"{prefix}/exports/hackle/dt=2026-03-01"
    new = s3.contents(day)
    assert len(new) == 4
    cut = 0
    for steps in range(9):
        project.do(
            f"alter table main.events update variation = '{steps}', "
            f"ingested_at = '2026-03-07 00:00:{steps:02d}' where 1 settings mutations_sync = 2"
        )
        old, done = new, 0

        def counted(owner: type, name: str, last: int = steps) -> Callable[..., object]:
            real = getattr(owner, name)

            def step(self: object, *arguments: object) -> object:
                nonlocal done
                if done == last:
                    raise _DiesError
                done += 1
                return real(self, *arguments)

            return step

        with monkeypatch.context() as dying:
            for owner, names in (
                (ObjectStore, ("copy", "put_empty", "remove")),
                (Objects, ("write",)),
            ):
                for name in names:
                    dying.setattr(owner, name, counted(owner, name))
            with pytest.raises(_DiesError):
                export_here()
        seen = s3.contents(day)
        if steps < 3:  # all of it is written beside before a file of the day's is touched
            assert seen == old
        export_here()
        new = s3.contents(day)
        assert new != old
        assert "_SUCCESS" not in seen or seen in (old, new)
        cut += seen not in (old, new)
    assert cut > 2
    assert s3.contents(f"{prefix}/exports/hackle/.partial") == {}
    assert_same(
        s3.contents(f"{prefix}/exports/hackle"), ordinary(project, "hackle_events", "folder")
    )


def test_killed_in_the_middle_the_next_export_goes_on(
    project: ClickHouseProject, s3: S3Server, prefix: str
) -> None:
    project.insert(rows=40_000, days=20, first_day="2026-01-01", prefix="many")
    project.env["FLAGMART_EXPORT_MEMORY"] = "1MB"
    process = project.start("export", "hackle_events", "--pushdown")
    path = f"{prefix}/exports/hackle"

    def whole() -> list[str]:
        return [key for key in s3.keys(path) if key.endswith("_SUCCESS")]

    while len(whole()) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    days = len(whole())
    assert days < 23
    (report,) = project.export("hackle_events", "--pushdown")
    assert report["parts"] in (
        23 - days,
        24 - days,
    )  # one may have been in place, not in the ledger
    assert_same(s3.contents(path), ordinary(project, "hackle_events", "folder"))
    assert s3.contents(f"{path}/.partial") == {}


def test_what_a_killed_export_left_running_is_stopped(
    project: ClickHouseProject, s3: S3Server, prefix: str, client: Client
) -> None:
    path = f"{prefix}/exports/hackle"
    ended: list[Exception | None] = []

    def orphan() -> None:
        try:
            client.command(
                f"insert into function s3({COLLECTION}, url = {{url:String}}, format = 'Parquet') "
                "select sleepEachRow(0.05) from numbers(2000)",
                {"url": f"{s3.url}/{BUCKET}/{path}/.partial/hackle_events/2026-03-01/x.parquet"},
                settings={
                    "max_block_size": 1,
                    "log_comment": f"flagmart export s3://{BUCKET}/{path}/dt={{day}}"
                    f"?endpoint={s3.url}",
                },
            )
            ended.append(None)
        except ClickHouseError as error:
            ended.append(error)

    running = Thread(target=orphan)
    running.start()
    while not client.command(
        "select count() from system.processes where query like '%sleepEachRow(0%' "
        "and query not like '%system.processes%'"
    ):
        assert running.is_alive()
        time.sleep(0.02)
    project.export("hackle_events", "--pushdown")
    running.join(20)
    (error,) = ended
    assert getattr(error, "code", None) == 394  # QUERY_WAS_CANCELLED
    assert s3.contents(f"{path}/.partial") == {}


def test_a_build_under_it_leaves_every_day_as_it_was(
    project: ClickHouseProject, s3: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_here = _here(project, monkeypatch)
    export_here()
    before = s3.contents(prefix)
    project.insert(rows=50, run="2026-03-06 00:00:00", prefix="late")
    real = Objects.write

    def as_a_build_begins(self: Objects, *arguments: Any) -> None:
        real(self, *arguments)
        project.do(
            "alter table main_builds.builds update state = 'running' where 1 "
            "settings mutations_sync = 2"
        )

    with monkeypatch.context() as building:
        building.setattr(Objects, "write", as_a_build_begins)
        report = export_here()
    assert report.outcome is Outcome.FAILED
    assert report.remarks == (
        "dbt ran while this was reading; run the export again when it is done",
    )
    seen = s3.contents(prefix)
    assert {key: body for key, body in seen.items() if ".partial" not in key} == before
    project.do(
        "alter table main_builds.builds update state = 'finished' where 1 "
        "settings mutations_sync = 2"
    )
    assert (export_here().parts, project.call("verify", "hackle_events").returncode) == (1, 0)


def one_line(project: ClickHouseProject, *arguments: str, code: int) -> str:
    done = project.call("export", "--pushdown", *arguments)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_what_it_cannot_promise_is_refused_before_anything_is_done(
    project: ClickHouseProject, s3: S3Server, prefix: str
) -> None:
    for arguments, said in (
        ([], "segment_tracks has none; name the deliveries"),
        (["hackle_events", "segment_tracks"], "segment_tracks has none; name the deliveries"),
        (["signals"], "signals has none; name the deliveries"),
        (["hackle_events", "--to", "folder"], "hackle_events goes to "),
        (["hackle_events", "--to", "gs://bucket/folder"], "goes to gs://bucket/folder"),
        (["hackle_events", "--to", "s3://bucket/a*b"], "letters, digits"),
        (["hackle_events", "--to", "s3://bucket/a b"], "letters, digits"),
        (["hackle_events", "--to", "s3://bucket/a{b,c}"], "letters, digits"),
    ):
        assert said in one_line(project, *arguments, code=2)
    # ClickHouse has no timestamp without a zone, in parquet
    for more in ((), ("--dry-run",)):
        line = one_line(project, "timed", *more, code=1)
        assert "isAdjustedToUTC=false" in line
        assert "export it without --pushdown" in line
    project.env["DBT_TARGET"] = "duckdb"
    assert "DBT_TARGET=clickhouse" in one_line(project, "hackle_events", code=2)
    assert s3.contents(prefix) == {}


def test_a_server_that_may_not_write_is_one_clear_error(
    project: ClickHouseProject, s3: S3Server, prefix: str
) -> None:
    with s3.denied("s3:PutObject", f"{prefix}/exports/hackle/.partial/hackle_events/2026-03-02/*"):
        project.env["FLAGMART_EXPORT_MEMORY"] = "1MB"
        line = one_line(project, "hackle_events", code=1)
        assert "docs/clickhouse.md has what the server needs" in line
        assert "2026-03-02" in line
    days = {key.split("/")[2] for key in s3.contents(prefix)}
    # the one after it may have been under way
    assert {"dt=2026-03-01"} <= days <= {"dt=2026-03-01", "dt=2026-03-03"}
    assert project.export("hackle_events", "--pushdown")[0]["parts"] == 3 - len(days)
    project.write_artifacts(
        {"statsig_events": {**meta(prefix)["statsig_events"], "named_collection": "none-such"}}
    )
    assert "none-such" in one_line(project, "statsig_events", code=1)
    assert not [key for key in s3.contents(prefix) if "statsig" in key]


def test_no_credentials_of_this_machine_reach_the_server(
    project: ClickHouseProject, address: Address
) -> None:
    with network.to(f"http://{address.host}:{address.port}") as way:
        project.env["FLAGMART_CLICKHOUSE_HOST"] = "127.0.0.1"
        project.env["FLAGMART_CLICKHOUSE_PORT"] = way.url.rpartition(":")[2]
        done = project.call("export", *FILES, "--pushdown", "--output", "json")
        assert done.returncode == 0, done.stderr
        sent = way.carried.decode("latin-1")
    assert sent.count("insert into function s3") == 6
    ledger = (project.data / "ledger.sqlite").read_bytes().decode("latin-1")
    for secret in (SECRET, CREDENTIALS["AWS_ACCESS_KEY_ID"], *THEIRS.values()):
        assert secret not in done.stdout + done.stderr + ledger + sent
