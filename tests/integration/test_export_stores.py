"""File deliveries into a bucket: a real S3 server, the same files as in a folder."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

from flagmart.delivery import buckets
from flagmart.delivery.buckets import ObjectStore
from flagmart.delivery.export import Options, export
from flagmart.destinations import LAYOUTS
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError
from flagmart.settings import DataFolder
from support import network
from support.export_project import META, SCRIPTS, ExportProject
from support.kills import kill_at_random_moments
from support.s3_server import BUCKET, CREDENTIALS, SECRET, S3Server, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = ["hackle_events", "statsig_events"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with running() as started:
        yield started


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A part of the bucket for one test."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def project(tmp_path: Path, server: S3Server, prefix: str) -> ExportProject:
    project = ExportProject(tmp_path, dict(server.env)).build()
    project.dbt_build(meta=meta(prefix))
    return project


def meta(prefix: str) -> dict[str, dict[str, str]]:
    return {
        name: {**META[name], "path": f"s3://{BUCKET}/{prefix}/{META[name]['path']}"}
        for name in FILES
    }


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def locally(project: ExportProject, folder: str, *arguments: str) -> dict[str, bytes]:
    """What both deliveries hold in a folder of this machine."""
    for name in FILES:
        place = project.root / folder / META[name]["path"]
        project.export(name, "--to", str(place), *arguments)
    return read(project.root / folder)


def test_a_bucket_gets_the_names_and_bytes_of_a_folder(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    reports = project.export(*FILES)
    assert [(r["outcome"], r["parts"], r["rows"]) for r in reports] == [("delivered", 3, 300)] * 2
    assert reports[0]["where"].startswith(f"s3://{BUCKET}/{prefix}/exports/hackle?endpoint=http:")
    assert server.contents(prefix) == locally(project, "folder")
    assert server.contents(prefix)["exports/hackle/dt=2026-03-01/_SUCCESS"] == b""
    assert [r["outcome"] for r in project.export(*FILES)] == ["nothing new"] * 2
    assert project.call("status").stdout.count(f"s3://{BUCKET}/{prefix}/exports/") == 2


def test_the_command_line_may_name_a_bucket(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    del project.env["AWS_ENDPOINT_URL"]
    to = f"s3://{BUCKET}/{prefix}/to?endpoint={server.url}"
    assert project.export("statsig_events", "--to", to)[0]["outcome"] == "delivered"
    assert project.export("statsig_events", "--to", to)[0]["outcome"] == "nothing new"
    assert len(server.contents(f"{prefix}/to")) == 3


def test_the_footer_of_every_file_is_the_declared_schema(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    project.export(*FILES)
    for name in FILES:
        layout = LAYOUTS[META[name]["layout"]](Settings(name, META[name]))
        files = server.contents(f"{prefix}/{META[name]['path']}")
        parquet = {key: body for key, body in files.items() if key.endswith(".parquet")}
        assert len(parquet) == 3
        for body in parquet.values():
            assert pq.ParquetFile(BytesIO(body)).schema_arrow.equals(layout.schema())


def test_late_rows_rewrite_their_days_alone(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    project.add(rows=600, days=6, first_day="2026-02-20", prefix="old")
    server.client.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
    project.export(*FILES)
    before = written(server, prefix)
    for day in ("20", "22", "25"):
        project.add(rows=7, first_day=f"2026-02-{day}", run="2026-03-06 00:00:00", prefix=day)
    assert [(r["parts"], r["rows"]) for r in project.export(*FILES)] == [(3, 321)] * 2
    after = written(server, prefix)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {
        key for key in after for day in ("02-20", "02-22", "02-25") if f"2026-{day}/" in key
    }
    assert server.contents(prefix) == locally(project, "folder")


def written(server: S3Server, prefix: str) -> dict[str, str]:
    """The version each object stands at: another one after every write, of the same bytes too."""
    listed = server.client.list_object_versions(Bucket=BUCKET, Prefix=f"{prefix}/")["Versions"]
    return {
        entry["Key"]: entry["VersionId"]
        for entry in listed
        if entry["IsLatest"] and not entry["Key"].endswith("/")
    }


def test_a_day_that_shrank_is_left_alone_and_named(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    project.export(*FILES)
    before = server.contents(prefix)
    project.sql("delete from events where occurred_at >= '2026-03-03'")
    project.sql("delete from events where occurred_at < '2026-03-01 00:00:00.02'")
    for report in project.export(*FILES, code=3):
        assert [remark.split(";")[0] for remark in report["remarks"]] == [
            "2026-03-01 shrank from 100 to 94 rows",
            "2026-03-03 vanished, 100 rows in place",
        ]
    assert server.contents(prefix) == before
    project.export(*FILES, "--allow-shrink")
    assert server.contents(prefix) == locally(project, "folder")


def test_objects_that_are_gone_are_put_back_and_others_stay(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    project.export(*FILES)
    before = server.contents(prefix)
    key = f"{prefix}/exports/hackle/dt=2026-03-02"
    server.client.delete_object(Bucket=BUCKET, Key=f"{key}/_SUCCESS")
    for name in ("notes.txt", "000000000009.parquet"):
        server.client.put_object(Bucket=BUCKET, Key=f"{key}/{name}", Body=b"x")
    assert [r["parts"] for r in project.export(*FILES)] == [1, 0]
    after = server.contents(prefix)
    assert after.pop("exports/hackle/dt=2026-03-02/notes.txt") == b"x"
    assert after == before


class _DiesError(Exception):
    pass


def test_a_change_cut_short_anywhere_never_shows_a_whole_day(
    project: ExportProject, server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several files a day: while those of two versions stand together there is no _SUCCESS."""
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("flagmart.delivery.partitions.ROW_GROUP_ROWS", 16)
    layout = LAYOUTS["hackle"]
    monkeypatch.setitem(
        LAYOUTS,
        "hackle",
        lambda settings: type(layout(settings))(**{**vars(layout(settings)), "rows_per_file": 48}),
    )
    data = DataFolder(project.data)
    here = Options(project_dir=project.project, allow_shrink=True)
    there = Options(project.project, allow_shrink=True, to=str(project.root / "folder"))
    export(["hackle_events"], here, data)
    day = f"{prefix}/exports/hackle/dt=2026-03-01"
    new = server.contents(day)
    assert len(new) == 4
    for steps in range(8):
        # fewer rows for a while, so that a part is left over
        project.sql(
            f"delete from events where event_id in (select event_id from events where "
            f"occurred_at::date = '2026-03-01' order by all limit {7 - steps})",
            f"update events set variation = '{steps}', "
            f"ingested_at = '2026-03-07'::timestamp + interval {steps} second",
        )
        export(["hackle_events"], there, data)
        old, new = new, read(project.root / "folder/dt=2026-03-01")
        assert new != old
        done = 0

        def counted(name: str, last: int = steps) -> Callable[..., None]:
            real = getattr(ObjectStore, name)

            def step(self: ObjectStore, *arguments: Any) -> None:
                nonlocal done
                if done == last:
                    raise _DiesError
                done += 1
                real(self, *arguments)

            return step

        with monkeypatch.context() as dying:
            dying.setenv("FLAGMART_EXPORT_MEMORY", "1MB")  # one day at a time
            for name in ("put", "put_empty", "remove"):
                dying.setattr(ObjectStore, name, counted(name))
            with pytest.raises(_DiesError):
                export(["hackle_events"], here, data)
        seen = server.contents(day)
        assert "_SUCCESS" not in seen or seen in (old, new)
        export(["hackle_events"], here, data)
        assert server.contents(f"{prefix}/exports/hackle") == read(project.root / "folder")


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    tmp_path: Path, server: S3Server, prefix: str
) -> None:
    kill_at_random_moments(tmp_path, server, prefix, kills=5, chance=random.Random(5))


def test_a_large_file_goes_in_parts_and_is_there_as_a_whole_or_not(
    tmp_path: Path, server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    address = f"s3://{BUCKET}/{prefix}"
    store = ObjectStore(buckets.parse(address, address))
    old = random.Random(1).randbytes(25 << 20)
    (tmp_path / "old").write_bytes(old)
    store.put(tmp_path / "old", "file")
    assert server.read(f"{prefix}/file") == old
    assert "-" in server.client.head_object(Bucket=BUCKET, Key=f"{prefix}/file")["ETag"]
    # killed in the middle of another
    code = (
        "import sys, pathlib; from flagmart.delivery import buckets; a = sys.argv[1]; "
        "buckets.ObjectStore(buckets.parse(a, a)).put(pathlib.Path(sys.argv[2]), 'file')"
    )
    (tmp_path / "new").write_bytes(os.urandom(200 << 20))
    process = subprocess.Popen(
        [sys.executable, "-c", code, address, str(tmp_path / "new")],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
    )
    while f"{prefix}/file" not in server.unfinished():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert server.read(f"{prefix}/file") == old
    assert (tmp_path / "new").exists()


def test_a_file_that_cannot_be_read_to_its_end_leaves_no_object(
    server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed or collected, pyarrow's stream would make an object of the part that was read."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    address = f"s3://{BUCKET}/{prefix}"
    store = ObjectStore(buckets.parse(address, address))
    # a file whose first byte is an input/output error
    with pytest.raises(FlagmartError, match="/proc/self/mem cannot be read: Input/output error"):
        store.put(Path("/proc/self/mem"), "file")
    gc.collect()
    assert server.contents(prefix) == {}


def one_line(project: ExportProject, *arguments: str, code: int = 1) -> str:
    done = project.call("export", *arguments)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    everything = done.stdout + done.stderr + ledger_text(project)
    for secret in (SECRET, CREDENTIALS["AWS_ACCESS_KEY_ID"]):
        assert secret not in everything
    return line


def ledger_text(project: ExportProject) -> str:
    return (project.data / "ledger.sqlite").read_bytes().decode("latin-1")


def test_a_denied_bucket_is_one_clear_error_and_the_next_run_is_right(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    with server.denied("s3:PutObject", f"{prefix}/exports/hackle/dt=2026-03-02/*"):
        line = one_line(project, "hackle_events")
        assert f"hackle_events: s3://{BUCKET}/{prefix}/exports/hackle" in line
        assert "cannot write dt=2026-03-02/000000000000.parquet" in line
        assert "see that the credentials may list, write and delete there" in line
        days = {key.split("/")[0] for key in server.contents(f"{prefix}/exports/hackle")}
        assert "dt=2026-03-01" in days
        assert "dt=2026-03-02" not in days
    (report,) = project.export("hackle_events")
    assert report["parts"] == 3 - len(days)
    expected = {k: v for k, v in locally(project, "folder").items() if "hackle" in k}
    assert server.contents(prefix) == expected


def test_a_network_lost_on_the_way_is_one_clear_error_and_the_next_run_is_right(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    with network.to(server.url) as way:
        project.env["AWS_ENDPOINT_URL"] = way.url
        project.env["FLAGMART_EXPORT_MEMORY"] = "1MB"  # one day at a time
        way.allowance = 15_000
        line = one_line(project, "hackle_events")
        assert f"s3://{BUCKET}/{prefix}/exports/hackle" in line
        assert "run the export again once the store can be reached" in line
        cut = server.contents(prefix)
        assert 0 < len(cut) < 6
        way.allowance = None
        (report,) = project.export("hackle_events")
        assert report["outcome"] == "delivered"
        assert report["parts"] < 3
    expected = {k: v for k, v in locally(project, "folder").items() if "hackle" in k}
    assert server.contents(prefix) == expected
    assert cut.items() <= expected.items()


def test_status_goes_on_where_a_store_is_away(project: ExportProject, server: S3Server) -> None:
    with network.to(server.url) as way:
        project.env["AWS_ENDPOINT_URL"] = way.url
        project.export("hackle_events")
        way.allowance = 0
        done = project.call("status")
        assert "cannot list: " in done.stdout + done.stderr
        assert f"s3://{BUCKET}/" in done.stdout
        assert done.returncode == 0


@pytest.mark.parametrize(
    "variable", ["AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"]
)
def test_what_a_store_says_is_passed_on_without_secrets(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, SECRET)
    said = f"403 for https://host/x?sv=1&sig=abc%2Fdef: {SECRET} (Request ID: 1)\n is wrong"
    assert buckets.reason(OSError(said)) == (
        "403 for https://host/x?*** *** is wrong; "
        "see that the credentials may list, write and delete there"
    )


def test_no_bucket_and_no_credentials_say_so(project: ExportProject) -> None:
    line = one_line(project, "statsig_events", "--to", "s3://nowhere/x")
    assert "s3://nowhere/x" in line
    assert "make the bucket, or mend the address" in line


def test_a_full_disk_is_one_clear_error_and_the_next_run_is_right(
    project: ExportProject, server: S3Server, prefix: str
) -> None:
    """The system's own limit on the size of a file fails a write as a full disk does."""
    project.add(rows=40_000, first_day="2026-03-03", prefix="large")
    done = subprocess.run(
        project.command("export", "hackle_events"),
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{project.data}" in line
    assert "File too large" in line
    assert "make room" in line
    assert server.contents(prefix) == {}
    assert project.export("hackle_events")[0]["rows"] == 40_300


def test_two_exports_at_once_the_second_says_who_is_at_it(
    project: ExportProject, server: S3Server
) -> None:
    with network.to(server.url) as way:
        project.env["AWS_ENDPOINT_URL"] = way.url
        first = project.start("export", "hackle_events")
        lock = project.data / "locks" / "delivery-hackle_events.holder"
        while not lock.exists():
            time.sleep(0.005)
        first.send_signal(signal.SIGSTOP)
        try:
            line = one_line_without_ledger(project, "hackle_events")
        finally:
            first.send_signal(signal.SIGCONT)
            first.communicate(timeout=60)
        assert f"is in use by flagmart export (process {first.pid}" in line
        assert first.returncode == 0


def one_line_without_ledger(project: ExportProject, *arguments: str) -> str:
    done = project.call("export", *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("s3://key:secret@bucket/x", "meta.flagmart.path s3://bucket/x: an address has no user"),
        ("s3://bucket/x?secret=y", "s3://bucket/x: an address ends with its folder"),
        ("s3://bucket/../x", "leads out of the bucket"),
        ("s3://bucket/x?endpoint=http://u:secret@h", "its endpoint is no https://host:port"),
        ("abfs://container/x", "names no storage account"),
        ("s4://bucket/x", "no folder of this machine and no address of a bucket"),
    ],
)
def test_a_wrong_address_is_refused_without_its_secret(
    project: ExportProject, path: str, said: str
) -> None:
    project.dbt_build(meta={"statsig_events": {**META["statsig_events"], "path": path}})
    line = one_line_without_ledger(project, "statsig_events")
    assert said in line
    assert "secret" not in line


def test_each_spelling_of_an_address_is_one_place() -> None:
    def place(address: str, **variables: str) -> str:
        with patch.dict(os.environ, variables):
            return str(buckets.parse(address, address))

    assert place("s3://b/x//y/./z/") == "s3://b/x/y/z"
    assert place("s3://b") == place("s3://b/") == "s3://b"
    assert place("gs://b/x") == "gs://b/x"
    whole = "abfs://c@account.dfs.core.windows.net/x"
    assert place(whole) == place("abfs://c/x", AZURE_STORAGE_ACCOUNT="account") == whole
    # in the open only where the endpoint says so
    for endpoint in ("store:9000", "https://store:9000", "https://store:9000/"):
        named = place("s3://b/x", AWS_ENDPOINT_URL=endpoint)
        assert named == "s3://b/x?endpoint=https://store:9000"
        assert place(named) == named
    plain = place("s3://b/x", AWS_ENDPOINT_URL_S3="http://store:9000")
    assert plain == "s3://b/x?endpoint=http://store:9000"
