"""`flagmart data-export`: FeatBit.DataExport's four pipelines, from a real ClickHouse, killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from support.clickhouse import server as clickhouse
from support.clickhouse_target import client as client_of
from support.clickhouse_target import rows
from support.featbit_clickhouse import load, make_events
from support.segment_server import SegmentServer, running, split
from support.whole_events import evaluation, metric

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from support.clickhouse.server import Address

ENV = "32f6be54-6796-44dd-bc82-f4824b0da13c"
OTHER_ENV = "528bbb6d-bfaa-4791-afee-789c5ebd96ec"
DATABASE = "featbit"
AFTER = "2023-12-12 07:41:51.288"
MOMENT = datetime(2023, 12, 12, 7, 41, 51, 288_000, tzinfo=UTC)
MS = timedelta(milliseconds=1)
WRITE_KEY = "5G9KbeHdjsq19SqnRZGMkQRB5KnVX7dn"
HUB_KEY = "c2VjcmV0LWtleS1vZi10aGUtaHVi"
HUB = (
    "Endpoint=sb://featbitexportdata.servicebus.windows.net/;SharedAccessKeyName=flagvalueevents;"
    f"SharedAccessKey={HUB_KEY}"
)
PATIENCE = 900
"""Seconds until what hangs is called so; four builds at once take a while on a busy machine."""


@dataclass
class Pipeline:
    """One of the four, by its documented command line."""

    name: str
    server: SegmentServer
    data: Path
    address: Address
    killed_with: list[bytes] = field(default_factory=list)
    """Bodies that had been sent when it was killed."""

    @property
    def event(self) -> str:
        return self.name.partition("To")[0]

    @property
    def folder(self) -> Path:
        return self.data / "data-export" / self.name / ENV

    @property
    def to_segment(self) -> bool:
        return self.name.endswith("Segment")

    def arguments(self) -> list[str]:
        store = (
            f"Host={self.address.host};Protocol=http;Port={self.address.port};Database={DATABASE};"
            f"Username={self.address.user};Password={self.address.password}"
        )
        # FeatBit's documentation shows the write key in base64
        key = b64encode(f"{WRITE_KEY}:".encode()).decode()
        return [
            *("-e", ENV, "-t", AFTER, "-c", store),
            *(["-g", f"WriteKey={key};Host={self.server.url}"] if self.to_segment else []),
            *("-s", "1000", "-i", "100", "-b", "5"),
            *([] if self.to_segment else ["-a", HUB, "--azevthubplan", "Basic"]),
            *([] if self.to_segment else ["--azevthubname", "flagvaluecapture"]),
            *("--eventtype", "CustomEvent", "--pipeline", self.name),
        ]

    def start(self, stack: ExitStack) -> subprocess.Popen[str]:
        """A process that the stack ends at the latest."""
        process = subprocess.Popen(
            [sys.executable, "-m", "flagmart", "data-export", *self.arguments()],
            env=self.environment(),
            cwd=self.data.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.kill)
        return process

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DBT_", "FLAGMART_"))}
        return {
            **kept,
            "FLAGMART_DATA": str(self.data),
            "FLAGMART_DUCKDB_MEMORY": "1GB",
            "EVENT_HUBS_HOST": self.server.url,
        }

    def status(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flagmart", "status", "--output", "json"],
            env=self.environment()
            | {
                "FLAGMART_DATA": str(self.folder),
                "DBT_TARGET_PATH": str(self.folder / "dbt" / "target"),
            },
            cwd=self.data.parent,
            capture_output=True,
            text=True,
            check=False,
        )

    def events(self) -> Counter[str]:
        """Ids of the events that arrived, and how often."""
        return Counter(event_id for body in list(self.server.taken) for event_id in self._ids(body))

    def _ids(self, body: bytes) -> list[str]:
        if not self.to_segment:
            return [element["UserProperties"]["Id"] for element in json.loads(body)]
        sent = [json.loads(text) for _, text in split(body)]
        return [one["properties"]["Id"] for one in sent if one["type"] == "track"]


class SampleExporter:
    """The loop of FeatBit.DataExport: what it has seen so far."""

    def __init__(self, client: Client, event: str) -> None:
        self._client = client
        self._event = event
        self._after = AFTER
        self.seen: set[str] = set()

    def until_empty(self) -> None:
        """Page after page."""
        while page := rows(
            self._client,
            f"select toString(uuid), timestamp from {DATABASE}.events "
            f"where timestamp > '{self._after}' and event = '{self._event}' "
            f"and env_id = '{ENV}' order by timestamp limit 1000",
        ):
            self.seen |= {event_id for event_id, _ in page}
            self._after = page[-1][1].isoformat(" ", timespec="milliseconds")[:23]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[tuple[Client, Address]]:
    with clickhouse.running(tmp_path / "clickhouse") as address, client_of(address) as opened:
        opened.command(f"create database {DATABASE}")
        make_events(opened, DATABASE)
        yield opened, address
        opened.command(f"drop database {DATABASE} sync")


def arguments_below(pid: int) -> Iterator[tuple[str, str]]:
    """The command lines of a process's dbt, as anybody on the machine may read them."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        # not what has begun and is still called as its parent, nor what has ended
        if "flagmart.sync.dbt_child" in line:
            yield line.split()[0], line


def look_on(processes: list[subprocess.Popen[str]], end: float) -> None:
    for process in processes:
        assert process.poll() is None, process.communicate()
    assert time.monotonic() < end
    time.sleep(0.05)


@pytest.mark.parametrize("place", ["Segment", "AzureEventHub"])
def test_its_pipelines_killed_and_started_again_lose_nothing(
    tmp_path: Path, client: tuple[Client, Address], place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store, address = client
    # seven a millisecond, so that the end of every page lies within a tie
    early = [
        *(evaluation(MOMENT + MS * (n // 7), f"u-{n % 40}", ENV) for n in range(2_100)),
        *(metric(MOMENT + MS * (n // 7), f"u-{n % 40}", ENV) for n in range(1_400)),
        *(evaluation(MOMENT - MS * n, "long ago", ENV) for n in range(10)),
        *(metric(MOMENT + MS * n, "u-1", ENV, "PageView") for n in range(5)),
        *(evaluation(MOMENT + MS * n, "u-1", OTHER_ENV) for n in range(5)),
    ]
    load(store, DATABASE, early)
    samples = {event: SampleExporter(store, event) for event in ("FlagValue", "CustomEvent")}
    for sample in samples.values():
        sample.until_empty()

    with ExitStack() as stack:
        pipelines = []
        for kind in ("FlagValue", "CustomEvent"):
            server = stack.enter_context(running(WRITE_KEY))
            if place != "Segment":
                server.key_header = ("User-Agent", "flagmart")
            server.delay = PATIENCE
            pipelines.append(Pipeline(f"{kind}To{place}", server, tmp_path / "data", address))

        # killed in the midst of the first request
        end = time.monotonic() + PATIENCE
        processes = [pipeline.start(stack) for pipeline in pipelines]
        children: dict[str, str] = {}
        while not all(pipeline.server.taken for pipeline in pipelines):
            children |= {pid: line for p in processes for pid, line in arguments_below(p.pid)}
            look_on(processes, end)
        for process, pipeline in zip(processes, pipelines, strict=True):
            process.kill()
            process.communicate()
            pipeline.killed_with = list(pipeline.server.taken)
            pipeline.server.delay = 0.0

        assert len(children) == len(pipelines)
        for line in children.values():
            assert "flagmart_messages_after" in line
            assert WRITE_KEY not in line
            assert HUB_KEY not in line

        # late rows, and more of a millisecond that was read before
        late = [
            *(evaluation(MOMENT + MS * 5, "u-2", ENV) for _ in range(20)),
            *(metric(MOMENT + MS * 5, "u-2", ENV) for _ in range(20)),
        ]
        load(store, DATABASE, late)
        for sample in samples.values():
            sample.until_empty()
        stored = {
            event: {
                event_id
                for (event_id,) in rows(
                    store,
                    f"select toString(uuid) from {DATABASE}.events where env_id = '{ENV}' "
                    f"and event = '{event}' and timestamp > '{AFTER}'",
                )
            }
            for event in samples
        }
        end = time.monotonic() + PATIENCE
        processes = [pipeline.start(stack) for pipeline in pipelines]
        while not all(p.events().keys() >= stored[p.event] for p in pipelines):
            look_on(processes, end)
        for process in processes:
            process.terminate()
        said = [process.communicate(timeout=PATIENCE) for process in processes]
        assert [process.returncode for process in processes] == [0, 0]

        for pipeline, (out, talk) in zip(pipelines, said, strict=True):
            check(pipeline, stored[pipeline.event])
            assert "round 1: 40 events landed, built, " in out
            assert talk.count("on the command line") == 2
            assert "flagmart: -s, -i without effect" in talk
            for secret in (WRITE_KEY, HUB_KEY, address.password):
                assert secret not in out + talk

    lost = {event: len(stored[event] - samples[event].seen) for event in stored}
    assert all(count > 20 for count in lost.values())
    with capsys.disabled():
        print(
            f"\n{sum(map(len, stored.values())):,} events for {place}, both pipelines killed once: "
            f"data-export lost 0, the sample exporter's loop lost {sum(lost.values()):,}"
        )


def check(pipeline: Pipeline, stored: set[str]) -> None:
    """What arrived is what was to arrive, and nothing knows a key."""
    events = pipeline.events()
    assert events.keys() == stored
    flying = Counter(event_id for body in pipeline.killed_with for event_id in pipeline._ids(body))
    assert events - flying == Counter(stored)
    if pipeline.to_segment:
        sent: dict[str, bytes] = {}
        for name, text in pipeline.server.messages():
            assert sent.setdefault(name, text) == text
        users = {json.loads(text)["userId"] for name, text in sent.items() if "identify" in name}
        assert users == {f"u-{n}" for n in range(40)}
    for path in pipeline.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (WRITE_KEY, HUB_KEY, pipeline.address.password):
                assert secret.encode() not in content, path
    done = pipeline.status()
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert all(account["holds"] for account in found["accounts"])
    assert {place["unsent"] for place in found["places"]} == {0}
    with duckdb.connect(str(pipeline.folder / "flagmart.duckdb"), read_only=True) as opened:
        delivery = "segment_tracks" if pipeline.to_segment else "event_hub_events"
        excluded = dict(
            opened.execute(
                "select reason, count(*) from fct_export_exclusions where delivery = ? group by 1",
                [delivery],
            ).fetchall()
        )
    evaluations = 2_130
    metrics, views = 1_420, 5
    assert excluded == {
        # seven, or ten older ones besides and one of the same moment
        "not_after_chosen_time": 17 if pipeline.event == "FlagValue" else 7,
        "event_not_chosen": metrics + views
        if pipeline.event == "FlagValue"
        else evaluations + views,
    }


def test_a_wrong_command_line_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "flagmart", "data-export", "-e", ENV, "-t", "today"),
            *("-c", "Host=ch", "-g", f"WriteKey={WRITE_KEY}", "--pipeline", "FlagValueToSegment"),
        ],
        env={**os.environ, "FLAGMART_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "flagmart: -t 'today' is no time; write it like 2023-12-12 07:41:51.288\n"
    )
    assert not (tmp_path / "data").exists()
