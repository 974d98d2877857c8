"""Versions of flags and users from files into the landing: what lands, what not, who is killed."""

import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flagmart.ingest import files, version_files
from flagmart.ingest.landed_files import Report
from flagmart.ingest.versions import FLAG, USER
from flagmart.settings import DataFolder
from flagmart.warehouse import manifest
from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment as clickhouse
from support.clickhouse_target import rows as clickhouse_rows
from support.command import FLAGMART, environment, flagmart
from support.landed import ENV, SAMPLES, event, lines

FIXED = "2026-01-31T12:00:00+00:00"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def user(key: str, plan: str, changed: str | None = None, env: str = ENV) -> dict[str, Any]:
    """A row of `end_users`."""
    return {
        "id": "00000000-0000-4000-8000-000000000000",
        "env_id": env,
        "key_id": key,
        "name": f"User {key}",
        "customized_properties": [{"name": "plan", "value": plan}],
        "updated_at": changed,
    }


def land(data: Path, *texts: str, envs: tuple[str, ...] = ()) -> Report:
    paths = []
    for number, text in enumerate(texts):
        paths.append(data.parent / f"{number}.jsonl")
        paths[-1].write_text(text)
    return version_files.ingest(USER, paths, DataFolder(data), envs, dry_run=False)


def counts(report: Report) -> tuple[int, ...]:
    """Read, landed, unchanged, unreadable."""
    assert report.result.total("conflicting_repeats") == 0
    kinds = ("read", "landed", "equal_repeats", "unreadable")
    return tuple(report.result.total(name) for name in kinds)


def rows(data: Path) -> list[dict[str, Any]]:
    """Every landed version that a reader sees, in order of landing."""
    folder = DataFolder(data).landing / "featbit_versions"
    return [
        row
        for file in manifest.read(folder).files
        for row in pq.read_table(folder / file.name).to_pylist()
    ]


def plans(data: Path) -> list[tuple[str, str]]:
    """Key and plan of every landed version, those of a run by key."""
    ordered = sorted(rows(data), key=lambda row: (row["ingested_at"], row["distinct_id"]))
    return [
        (row["distinct_id"], json.loads(json.loads(row["properties"])["attributes"])["plan"])
        for row in ordered
    ]


def test_a_version_lands_when_its_content_is_another(data: Path) -> None:
    assert counts(land(data, lines(user("u", "a"), user("v", "a")))) == (2, 2, 0, 0)
    assert counts(land(data, lines(user("u", "a", "2026-01-01"), user("v", "b")))) == (2, 1, 1, 0)
    # back to what it was: of the newest version it is another
    assert counts(land(data, lines(user("v", "a")))) == (1, 1, 0, 0)
    assert counts(land(data, lines(user("v", "a", env="other")))) == (1, 1, 0, 0)
    assert counts(land(data, lines(user("v", "a")))) == (1, 0, 1, 0)
    assert plans(data) == [("u", "a"), ("v", "a"), ("v", "b"), ("v", "a"), ("v", "a")]
    assert len({row["event_id"] for row in rows(data)}) == 5


def test_of_a_key_that_a_run_has_twice_the_newest_lands(data: Path) -> None:
    january, may = "2026-01-01", "2026-05-01"
    first = lines(user("u", "may", may), user("v", "x"), user("w", "x", may), user("x", "a"))
    second = lines(user("u", "january", january), user("v", "y"), user("w", "y", may))
    assert counts(land(data, first, second)) == (7, 4, 3, 0)
    assert plans(data) == [("u", "may"), ("v", "y"), ("w", "y"), ("x", "a")]
    # the first is as it landed, and not what is newest in this run
    assert counts(land(data, lines(user("x", "a"), user("x", "b")))) == (2, 1, 1, 0)
    assert plans(data)[-1] == ("x", "b")


def test_a_run_is_later_than_every_run_of_every_landing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", FIXED)
    path = data.parent / "events.jsonl"
    moments = []
    for number in range(3):
        report = land(data, lines(user("u", str(number))))
        assert report.result.recorded is not None
        moments.append(report.result.recorded.ingested_at)
        path.write_text(lines(event(number)))
        landed = files.ingest([path], DataFolder(data)).result.recorded
        assert landed is not None
        moments.append(landed.ingested_at)
    assert moments == [f"2026-01-31T12:00:00.{number:06d}Z" for number in range(6)]


def exports(folder: Path) -> dict[str, Path]:
    """The same two users in every format."""
    users = [user("ü,1", "a\nb"), user("2", 'say "no"', "2026-01-02T03:04:05.678Z")]
    documents = [
        {
            "_id": {"$oid": "65e9d2c0f1a2b3c4d5e6f708"},
            "envId": {"$uuid": each["env_id"]},
            "keyId": each["key_id"],
            "name": each["name"],
            "customizedProperties": each["customized_properties"],
            "updatedAt": each["updated_at"] and {"$date": each["updated_at"]},
        }
        for each in users
    ]
    cells = [
        {**each, "customized_properties": json.dumps(each["customized_properties"])}
        for each in users
    ]
    made = {
        "lines": lines(*users),
        "array": json.dumps(users, indent=2),
        "mongoexport": lines(*documents),
        "csv": csv_of(cells, ",", '"'),
        "tsv": csv_of(cells, "\t", ""),
    }
    found = {}
    for name, text in made.items():
        found[name] = folder / name
        found[name].write_text(text)
    found["gzip"] = folder / "gzip"
    found["gzip"].write_bytes(gzip.compress(made["lines"].encode()))
    found["parquet"] = folder / "parquet"
    pq.write_table(pa.Table.from_pylist(cells), found["parquet"])
    found["nested parquet"] = folder / "nested"
    pq.write_table(pa.Table.from_pylist(users), found["nested parquet"])
    return found


def csv_of(cells: list[dict[str, Any]], delimiter: str, quote: str) -> str:
    """As PostgreSQL writes CSV, or with `quote` '' as ClickHouse writes TSV."""

    def spelled(value: str | None) -> str:
        if value is None:
            return "" if quote else r"\N"
        if quote:
            return f'"{value.replace(quote, 2 * quote)}"'
        return value.replace("\\", r"\\").replace("\n", r"\n").replace("\t", r"\t")

    table = [list(cells[0]), *(list(each.values()) for each in cells)]
    return "".join(delimiter.join(map(spelled, row)) + "\n" for row in table)


def test_every_format_gives_the_same_versions(data: Path) -> None:
    data.parent.mkdir(exist_ok=True)
    contents = {}
    for name, path in exports(data.parent).items():
        folder = data / name
        report = version_files.ingest(USER, [path], DataFolder(folder), (), dry_run=False)
        assert counts(report) == (2, 2, 0, 0), name
        contents[name] = [
            (row["env_id"], row["distinct_id"], row["properties"], row["occurred_at"])
            for row in rows(folder)
        ]
    assert all(found == contents["lines"] for found in contents.values()), contents
    assert [row[1] for row in contents["lines"]] == ["ü,1", "2"]


def test_what_is_no_version_is_rejected_and_files_of_another_kind_refused(data: Path) -> None:
    report = land(data, lines(user("u", "a"), event(1), "{", user("", "a")))
    assert counts(report) == (4, 1, 0, 3)
    assert report.result.rejects is not None
    told = [json.loads(line) for line in report.result.rejects.read_text().splitlines()]
    assert [(fact["line"], fact["reason"]) for fact in told] == [
        (2, "no user: it lacks key_id"),
        (3, "malformed JSON"),
        (4, "a user without a key"),
    ]
    wrong = [SAMPLES / "clickhouse_events.csv", SAMPLES / "clickhouse_events.parquet"]
    report = version_files.ingest(FLAG, wrong, DataFolder(data), (), dry_run=False)
    assert [file.refused for file in report.files] == [
        "neither JSON, nor parquet, nor CSV or TSV with FeatBit's columns in its first line"
    ] * 2
    path = data.parent / "half.csv"
    path.write_text("key,name\nf,x\n")
    (file,) = version_files.ingest(FLAG, [path], DataFolder(data), (), dry_run=False).files
    assert file.refused == "a table without variations; export feature_flags with all its columns"


KILLS = [
    ("flagmart.warehouse.parquet_landing._ParquetRun.append", 2),
    ("flagmart.warehouse.unchanged.find", 1),
    ("flagmart.warehouse.parquet_landing._ParquetRun._publish", 1),
    ("flagmart.warehouse.parquet_landing._ParquetRun._publish", 2),
    ("flagmart.warehouse.manifest.write", 1),
    ("pathlib.Path.replace", 1),
    ("shutil.rmtree", 1),
]
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from flagmart.warehouse import parquet_landing, unchanged
from flagmart.ingest import version_files
from flagmart.ingest.versions import USER
from flagmart.settings import DataFolder
parquet_landing.GROUP_ROWS, parquet_landing.FILE_ROWS, version_files.ROWS = 10, 20, 7
if os.environ.get("DBT_TARGET") == "clickhouse":
    from flagmart.warehouse import clickhouse_landing
    clickhouse_landing.GROUP_ROWS = 10
target, times, data, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
parts = target.split(".")
depth = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules)
owner = sys.modules[".".join(parts[:depth])]
for part in parts[depth:-1]:
    owner = getattr(owner, part)
original = getattr(owner, parts[-1])
def killing(*given, **named):
    global times
    times -= 1
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*given, **named)
setattr(owner, parts[-1], killing)
version_files.ingest(USER, [path], DataFolder(data), (), dry_run=False)
"""


def killed_run(data: Path, path: Path, target: str, times: int) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, target, str(times), str(data), str(path)],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


@pytest.mark.parametrize(("target", "times"), KILLS)
def test_a_killed_run_is_made_good_by_the_next(data: Path, target: str, times: int) -> None:
    before = [user(f"{n:03}", "a") for n in range(60)]
    land(data, lines(*before))
    path = data.parent / "x.jsonl"
    path.write_text(lines(*(user(f"{n:03}", "ab"[n % 2]) for n in range(100))))
    killed_run(data, path, target, times)
    done = target == "shutil.rmtree"
    assert len(rows(data)) == (130 if done else 60), "readers never see a part"
    report = version_files.ingest(USER, [path], DataFolder(data), (), dry_run=False)
    assert counts(report) == (100, 0 if done else 70, 100 if done else 30, 0)
    changed = [(f"{n:03}", "ab"[n % 2]) for n in range(100) if n % 2 or n >= 60]
    assert plans(data) == [(each["key_id"], "a") for each in before] + changed
    left = {path.name for path in (data / "landing/featbit_versions").iterdir()}
    assert left == {
        manifest.NAME,
        *(file.name for file in manifest.read(data / "landing/featbit_versions").files),
    }


ON_CLICKHOUSE = "flagmart.warehouse.clickhouse_landing._ClickHouseRun"
MAY, JANUARY = "2026-05-01", "2026-01-01"
ROUNDS = (
    ([user("u", "a"), user("v", "a"), user("w", "x")],),
    ([user("u", "a", MAY), user("v", "b"), user("v", "b", env="other")],),
    ([user("v", "a"), user("x", "may", MAY)], [user("x", "january", JANUARY), user("y", "1")]),
    ([user("y", "2"), user("y", "3"), user("w", "x"), user("w", "y", MAY), user("w", "z", MAY)],),
    ([user("y", "3"), user("w", "z"), user("v", "a"), user("u", "a")],),
)
"""What runs read, each some files; of the last nothing is new."""


def test_clickhouse_lands_the_same_versions_also_after_kills(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", FIXED)
    kept = "event_id, env_id, event, distinct_id, properties, ingested_at, run_id, source_ref"
    with running(tmp_path / "engine") as address, client_of(address) as client:
        found = []
        for env in ({}, clickhouse(address, "versions")):
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            found.append([counts(land(data, *(lines(*some) for some in each))) for each in ROUNDS])
        assert found[0] == found[1]
        assert [landed for _, landed, _, _ in found[0]] == [3, 2, 3, 2, 0]
        names = kept.split(", ")
        ours = [tuple(row[name] for name in names) for row in rows(data)]
        select = f"select {kept} from versions_landing.landed_versions"
        theirs = [
            (*row[:5], row[5].replace(tzinfo=None), *row[6:])
            for row in clickhouse_rows(client, select)
        ]
        assert sorted(ours) == sorted(theirs)
        # a run that is killed at any of these is as if it had never been
        path = tmp_path / "more.jsonl"
        path.write_text(lines(*(user(f"{n:03}", "a") for n in range(40))))
        for target, times in (("append", 2), ("_find_unchanged", 1), ("_move", 1)):
            killed_run(data, path, f"{ON_CLICKHOUSE}.{target}", times)
        report = version_files.ingest(USER, [path], DataFolder(data), (), dry_run=False)
        assert counts(report) == (40, 40, 0, 0)
        count = "select count(), count(distinct event_id) from versions_landing.landed_versions"
        assert clickhouse_rows(client, count) == [(50, 50)]
        tables = clickhouse_rows(
            client, "select name from system.tables where database = 'versions_landing'"
        )
        assert sorted(tables) == [("landed_versions",), ("version_ingest_runs",)]


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    sample = str(SAMPLES / "docs_flags.json")
    env = json.loads((SAMPLES / "docs_flags.json").read_text())[0]["envId"]
    asked = ("ingest", "flags", sample, "--output", "json")
    dry = json.loads(flagmart(*asked, "--dry-run", data=tmp_path / "none"))
    assert (dry["dry_run"], dry["read"], dry["landed"], dry["run_id"]) == (True, 5, 5, None)
    assert not (tmp_path / "none").exists()
    told = [json.loads(flagmart(*asked, data=tmp_path)) for _ in range(2)]
    names = ("read", "landed", "unchanged", "skipped", "unreadable")
    assert [[each[name] for name in names] for each in told] == [[5, 5, 0, 0, 0], [5, 0, 5, 0, 0]]
    assert told[0]["inputs"][0]["format"] == "JSON array"
    others = json.loads(flagmart(*asked, "--env", ENV, data=tmp_path))
    assert [others[name] for name in names] == [5, 0, 0, 5, 0]
    chosen = json.loads(flagmart(*asked, "--env", ENV, "--env", env, data=tmp_path))
    assert [chosen[name] for name in names] == [5, 0, 5, 0, 0]
    flagmart("ingest", "flags", sample, "--detailed-exitcode", data=tmp_path, codes=(4,))
    assert "UNCHANGED" in flagmart("ingest", "flags", sample, data=tmp_path)


WRONG = {
    "nothing": ((), "name either files or --source postgres|mongodb; nothing was read"),
    "both": (("x", "--source", "postgres"), "name either files or --source"),
    "an empty environment": (("x", "--env", ""), "--env is empty"),
    "no such file": (("x",), "x: no such file or folder; nothing was ingested"),
}


@pytest.mark.parametrize(("arguments", "told"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_told(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    ran = subprocess.run(
        [FLAGMART, "ingest", "users", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert told in ran.stderr
