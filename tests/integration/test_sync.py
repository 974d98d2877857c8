"""`flagmart sync` from a real PostgreSQL, as installed from the wheel: rounds, kills, failures."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from support.featbit_postgres import load, make_events
from support.own_wheel import unpacked
from support.postgres_server import PASSWORD, PostgresServer, postgres_server
from support.segment_server import Answer, SegmentServer, running
from support.whole_events import evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "write-key-never-to-be-seen"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = 600


@dataclass
class Installed:
    """flagmart from its wheel, started in a folder that holds nothing."""

    folder: Path
    site: Path
    env: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.folder.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "flagmart", *arguments],
            cwd=self.folder,
            env={
                **kept,
                "PYTHONPATH": str(self.site),
                "FLAGMART_LONGEST_WAIT": "0.05",
                "FLAGMART_DUCKDB_MEMORY": "1GB",
                **self.env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, said = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, said)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def place(tmp_path: Path, site: Path) -> Iterator[Installed]:
    made = Installed(tmp_path / "empty", site)
    yield made
    for process in made.started:
        process.kill()


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        made = server.made(f"featbit {uuid.uuid4().hex[:8]}")
        make_events(made)
        yield made


@pytest.fixture
def segment() -> Iterator[SegmentServer]:
    with running(KEY) as server:
        yield server


def put(database: PostgresServer, moments: list[datetime]) -> None:
    load(database, [evaluation(moment, f"u-{n % 7}") for n, moment in enumerate(moments)])


def until(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next round."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    document = json.loads(line)
    assert isinstance(document, dict)
    return document


def test_a_round_that_fails_is_one_line_and_tried_again(place: Installed) -> None:
    place.env["FLAGMART_POSTGRES_URL"] = "postgresql://featbit:hidden@127.0.0.1:1/featbit"
    arguments = ("sync", "segment_tracks", "--source", "postgres")
    once = place.run(*arguments, "--once")
    assert once.returncode == 1
    assert once.stdout == ""
    (line,) = once.stderr.splitlines()
    assert line.startswith("flagmart: round 1: PostgreSQL at 127.0.0.1:1: nobody answers")

    process = place.start(*arguments, "--every", "0.01s", "--output", "json")
    seen = [told(process) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert [(one["round"], one["exit_code"]) for one in seen] == [(1, 1), (2, 1), (3, 1)]
    assert "; tried again in 0.01 s" in said.splitlines()[0]
    assert "flagmart: SIGINT: ends after the step in hand" in said
    assert "hidden" not in said

    del place.env["FLAGMART_POSTGRES_URL"]
    wrong = place.run(*arguments)
    assert wrong.returncode == 2
    assert "no PostgreSQL is named" in wrong.stderr
    wrong = place.run(*arguments, "--every", "soon")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "flagmart: --every 'soon' is no time; write it like 30s, 5m or 1h\n",
    )


def test_installed_in_any_folder_it_keeps_in_step_whatever_happens(
    place: Installed, database: PostgresServer, segment: SegmentServer
) -> None:
    chance = random.Random(11)
    place.env |= {
        "FLAGMART_POSTGRES_URL": database.url,
        "SEGMENT_HOST": segment.url,
        "SEGMENT_WRITE_KEY": KEY,
        "FLAGMART_SWEEP_EVERY": "2",  # what is later than any look-back, it finds
    }
    arguments = ("sync", "segment_tracks", "--source", "postgres", "--output", "json")
    put(database, [START + timedelta(seconds=n // 3) for n in range(300)])

    # the server refuses: what landed and was built goes out in a later round, as it is
    segment.always = Answer(401)
    process = place.start(*arguments, "--every", "0.1s")
    first = told(process)
    assert (first["landed"], first["built"], first["tested"]) == (300, True, True)
    assert first["exit_code"] == 1
    assert len(first["failures"]) == 1
    segment.always = None
    while (later := told(process))["failures"]:
        pass
    assert (later["landed"], later["built"], later["exit_code"]) == (0, False, 0)
    assert [one["rows"] for one in later["deliveries"]] == [300]
    assert len(segment.ids()) == 300

    # killed at any moment, and begun again, while rows come late and in ties
    other = place.run(*arguments, "--once")
    assert other.returncode == 1
    assert "the sync of data is in use by flagmart sync (process " in other.stderr
    put(database, [START + timedelta(seconds=99)] * 50 + [START - timedelta(days=40)] * 5)
    time.sleep(chance.uniform(0.5, 4))
    process.kill()
    process.communicate()

    process = place.start(*arguments, "--every", "0.1s")
    until(lambda: len(segment.ids()) == 355, process)
    while told(process)["deliveries"]:
        pass  # a round in which nothing can be new builds nothing and asks no ledger
    process.terminate()
    out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert {(one["landed"], one["built"]) for one in map(json.loads, out.splitlines())} <= {
        (0, False)
    }

    # from cron likewise, by what the last good build has noted
    (once,) = map(json.loads, place.run(*arguments, "--once").stdout.splitlines())
    assert (once["landed"], once["built"], once["exit_code"]) == (0, False, 0)
    assert [one["outcome"] for one in once["deliveries"]] == ["nothing new"]

    stored = {row[0] for row in database.rows("select id::text from events")}
    assert {name.split(":")[2] for name in segment.ids()} == stored
    # what is written lies in the data folder, and neither beside it nor in the package
    assert [path.name for path in place.folder.iterdir()] == ["data"]
    assert not list((place.site / "flagmart" / "dbt").glob("target*"))
    for path in place.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert KEY.encode() not in content, path
            assert PASSWORD.encode() not in content, path
    status = place.run("status", "--output", "json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["places"][0]["unsent"] == 0
