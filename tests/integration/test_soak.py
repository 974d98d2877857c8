"""What takes too long for every run: many kills, and memory as data grows; `make soak`."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import hostile_server, s3_server
from support.command import FLAGMART, environment, flagmart
from support.dbt_project import ROOT, build, query
from support.export_project import ExportProject
from support.hostile_server import HostileServer
from support.hostility import deliver_through, made_hostile
from support.kills import kill_at_random_moments
from support.landed import ids
from support.message_kills import kill_while_sending
from support.segment_server import SegmentServer, running
from support.signal_kills import kill_before_days_are_finished

pytestmark = pytest.mark.soak


@pytest.fixture
def server() -> Iterator[SegmentServer]:
    with running("key") as state:
        yield state


def peak_kilobytes(*arguments: str, data: Path) -> int:
    """The largest resident memory of `flagmart ARGUMENTS`."""
    with subprocess.Popen(
        [FLAGMART, *arguments],
        cwd=ROOT,
        env=environment(data),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 3)
    return usage.ru_maxrss


def test_memory_stays_flat_as_data_grows(tmp_path: Path) -> None:
    peaks: dict[str, list[int]] = {"ingest": [], "export": []}
    for events in (2_000_000, 6_000_000):
        data = tmp_path / str(events)
        data.mkdir()
        source = str(data / "events.jsonl")
        flagmart("generate", "--events", str(events), "--days", "60", "--out", source, data=data)
        peaks["ingest"].append(peak_kilobytes("ingest", "files", source, data=data))
        Path(source).unlink()
        build("--select", "+exposure:statsig_events", "+exposure:hackle_events", data=data)
        deliveries = ("statsig_events", "hackle_events")
        peaks["export"].append(peak_kilobytes("export", *deliveries, data=data))
    for small, large in peaks.values():
        assert large < 1.5 * small, peaks
        assert large < 1_000_000, peaks


def test_ingest_killed_at_random_moments_lands_every_id_once(tmp_path: Path) -> None:
    chance = random.Random(1)
    source = tmp_path / "events.jsonl"
    options = ["--events", "200000", "--seed", "3"]
    flagmart("generate", *options, "--out", str(source), data=tmp_path)
    expected = sorted(json.loads(line)["uuid"] for line in source.read_bytes().splitlines())
    killed = 0
    for _ in range(30):
        process = subprocess.Popen(
            [FLAGMART, "ingest", "files", str(source)],
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.2, 4.0))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed > 10
    flagmart("ingest", "files", str(source), data=tmp_path)
    assert sorted(ids(tmp_path)) == expected


def test_a_build_killed_at_random_moments_ends_like_one_that_was_not(tmp_path: Path) -> None:
    chance = random.Random(2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for data in (whole, broken):
        data.mkdir()
        for part in range(3):
            source = str(data / f"{part}.jsonl")
            options = ["--events", "20000", "--seed", str(part), "--dirty", "0.05"]
            flagmart("generate", *options, "--out", source, data=data)
            flagmart("ingest", "files", source, data=data)
            for _ in range(5 if data is broken else 0):
                process = subprocess.Popen(
                    [ROOT / ".venv/bin/dbt", "run"],
                    cwd=ROOT,
                    env=environment(data),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                time.sleep(chance.uniform(2.0, 8.0))
                process.send_signal(signal.SIGKILL)
                process.wait()
        build(data=data)
    for table in ("base_featbit__events", "fct_evaluation_counts", "fct_evaluation_chart_points"):
        rows = f"select * from {table} order by all"
        assert query(whole, rows) == query(broken, rows)


def test_a_delivery_into_a_bucket_killed_at_random_moments_is_never_half_a_day(
    tmp_path: Path,
) -> None:
    with s3_server.running() as bucket:
        kill_at_random_moments(tmp_path, bucket, "soak", kills=50, chance=random.Random(6))


def test_finished_days_killed_at_random_moments_never_stand_beside_half_a_delivery(
    tmp_path: Path,
) -> None:
    kill_before_days_are_finished(tmp_path, kills=50, chance=random.Random(8))


def test_segment_killed_at_random_moments_loses_nothing(
    tmp_path: Path, server: SegmentServer
) -> None:
    project = ExportProject(tmp_path, {"SEGMENT_HOST": server.url, "SEGMENT_WRITE_KEY": "key"})
    repeats = kill_while_sending(project, server, kills=100, chance=random.Random(4))
    print(f"{repeats:,} of {len(server.ids()):,} messages came twice")


def test_a_hostile_server_loses_doubles_and_changes_nothing_of_200_000(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_hostile(monkeypatch)
    with hostile_server.running(HostileServer(seed=13, share=0.2)) as state:
        deliver_through(ExportProject(tmp_path), state, 200_000)
