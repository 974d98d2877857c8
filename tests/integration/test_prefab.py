"""Prefab's telemetry beside FeatBit's events, from files to counts, on both engines."""

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from clickhouse_connect.driver.client import Client
from google.protobuf import json_format

from flagmart.ingest.prefab_messages import TelemetryEvents
from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import FLAGMART, START, flagmart
from support.command import environment as command_environment
from support.dbt_project import ROOT, query, run_dbt
from support.landed import event
from support.relations import Rows, different, on_clickhouse, on_duckdb

DATABASE = "prefab"
RELATIONS = (
    "base_prefab__evaluation_counts",
    "stg_prefab__evaluation_counts",
    "fct_event_quality",
    "fct_evaluation_counts",
)
NOON = datetime.fromisoformat("2026-02-01T12:00:00+00:00")
MINUTE = timedelta(minutes=1)


def window(
    start: datetime, minutes: float, *counters: dict[str, Any], key: str = "f", **changes: Any
) -> dict[str, Any]:
    return {
        "start": str(int(start.timestamp() * 1000)),
        "end": str(int((start + minutes * MINUTE).timestamp() * 1000)),
        "summaries": [{"key": key, "type": "FEATURE_FLAG", "counters": counters, **changes}],
    }


def served(count: int, value: bool = True) -> dict[str, Any]:
    return {"count": str(count), "selectedValue": {"bool": value}}


def sent(*windows: dict[str, Any], instance: str = "i") -> dict[str, Any]:
    return {"instanceHash": instance, "events": [{"summaries": each} for each in windows]}


@dataclass
class Engine:
    """One engine, and the data folder of its own."""

    data: Path
    env: dict[str, str] | None = None
    client: Client | None = None

    def prefab(self, at: datetime, *documents: object) -> dict[str, int]:
        path = self.data / "telemetry.jsonl"
        path.write_text("".join(json.dumps(document) + "\n" for document in documents))
        told = flagmart(
            *("ingest", "prefab", "--env", "e", str(path), "--output", "json"),
            data=self.data,
            at=at,
            env=self.env,
        )
        counts = json.loads(told)
        return {name: counts[name] for name in ("read", "landed", "equal_repeats", "skipped")}

    def featbit(self, at: datetime, *events: dict[str, Any]) -> None:
        path = self.data / "events.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in events))
        flagmart("ingest", "files", str(path), data=self.data, at=at, env=self.env)

    def run(self, *arguments: str) -> None:
        selected = ("--select", "+fct_evaluation_counts", "+fct_event_quality")
        ran = run_dbt("run", *selected, *arguments, data=self.data, env=self.env)
        assert ran.returncode == 0, ran.stdout

    def contents(self, columns_from: Path) -> dict[str, Rows]:
        if self.client is None:
            return on_duckdb(self.data, RELATIONS)
        return on_clickhouse(columns_from, self.client, DATABASE, RELATIONS)

    def counts(self) -> set[tuple[Any, ...]]:
        """Source, variation, minutes from noon, and evaluations."""
        statement = (
            "select source, variation_id, bucket_start_ms, evaluations from "
            "{}fct_evaluation_counts where env_id = 'e'"
        )
        found = (
            query(self.data, statement.format(""))
            if self.client is None
            else rows(self.client, statement.format(f"{DATABASE}."))
        )
        noon = int(NOON.timestamp() * 1000)
        return {(source, value, (ms - noon) // 60_000, n) for source, value, ms, n in found}

    def falsify(self, evaluations: int) -> None:
        """Change the one count of January, which shows whether it is counted again."""
        changed = f"evaluations = {evaluations} where bucket_on < '2026-02-01'"
        if self.client is None:
            with duckdb.connect(str(self.data / "flagmart.duckdb")) as connection:
                connection.execute(f"update fct_evaluation_counts set {changed}")
        else:
            self.client.command(
                f"alter table {DATABASE}.fct_evaluation_counts update {changed} "
                "settings mutations_sync = 2"
            )


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Engine]]:
    duck, click = tmp_path_factory.mktemp("duck"), tmp_path_factory.mktemp("click")
    with running(click / "engine") as address, client_of(address) as client:
        yield [Engine(duck), Engine(click, environment(address, DATABASE), client)]


def evaluation(number: int, at: datetime) -> dict[str, Any]:
    properties = {"featureFlagKey": "f", "userKeyId": f"u{number}", "variationId": "true"}
    return event(
        number,
        env_id="e",
        distinct_id="e-f",
        properties=json.dumps(properties),
        timestamp=int(at.timestamp() * 1_000_000),
    )


FIRST = [
    sent(
        window(NOON, 10, served(5), served(5), served(2, value=False)),
        window(NOON + 10 * MINUTE, 10, served(7)),
        window(NOON - timedelta(days=20), 1, served(11)),
    ),
    sent(window(NOON, 10, served(5)), instance="j"),
    sent(window(NOON, 10, served(1_000)), instance="k")
    | {"events": [{"clientStats": {"start": "1"}}]},
    sent(window(NOON, 10, served(1_000), type="CONFIG")),
]
LATE = [
    # an SDK that never moves its start on: all of it counts where the process began
    sent(window(NOON + 5 * MINUTE, 60, served(13))),
    sent(
        window(NOON + MINUTE, -1, served(17)),
        window(NOON + timedelta(days=90), 1, served(17)),
        window(datetime.fromisoformat("1970-01-01T00:00:00+00:00"), 1, served(17)),
        window(NOON, 2, served(-17), {"count": 3, "selectedIndex": 2}, {"count": 4}),
    ),
]


def test_no_late_run_of_either_source_is_lost(engines: list[Engine]) -> None:
    found = []
    for engine in engines:
        # the clocks stand still: two runs of one name, one in each landing
        for _ in range(2):
            assert engine.prefab(START, *FIRST) in (
                {"read": 8, "landed": 6, "equal_repeats": 0, "skipped": 2},
                {"read": 8, "landed": 0, "equal_repeats": 6, "skipped": 2},
            )
        engine.featbit(START, evaluation(1, NOON))
        engine.featbit(START + timedelta(hours=2), evaluation(2, NOON + 20 * MINUTE))
        engine.run()
        expected = {
            ("featbit", "true", 0, 1),
            ("featbit", "true", 15, 1),
            ("prefab", "true", 0, 22),
            ("prefab", "false", 0, 2),
            ("prefab", "true", -20 * 24 * 60, 11),
        }
        assert engine.counts() == expected

        # older than the newest run that is built of the other source
        assert engine.prefab(START + timedelta(hours=1), *LATE)["landed"] == 7
        # in a bucket that has both sources
        engine.featbit(START + timedelta(hours=3), evaluation(3, NOON + MINUTE))
        engine.falsify(12)
        engine.run()
        expected ^= {
            ("featbit", "true", 0, 1),
            ("featbit", "true", 0, 2),
            ("prefab", "true", 0, 22),
            ("prefab", "true", 0, 35),
            ("prefab", "index:2", 0, 3),
            # what no new row touches is not written again
            ("prefab", "true", -20 * 24 * 60, 11),
            ("prefab", "true", -20 * 24 * 60, 12),
        }
        assert engine.counts() == expected
        engine.falsify(11)

        incremental = engine.contents(engines[0].data)
        engine.run("--full-refresh")
        assert different(incremental, engine.contents(engines[0].data)) == {}
        found.append(incremental)
    assert different(*found) == {}
    assert dict(
        query(
            engines[0].data,
            "select coalesce(reject_reason, warning), cast(sum(events) as bigint) "
            "from fct_event_quality where source = 'prefab' group by all",
        )
    ) == {
        None: 7,
        "summary_longer_than_bucket": 1,
        "end_before_start": 1,
        "implausible_timestamp": 2,
        "implausible_count": 1,
        "missing_variation_id": 1,
    }


def test_both_engines_keep_what_does_not_land_apart_for_each_landing(
    engines: list[Engine],
) -> None:
    at = START + timedelta(days=1)
    for engine in engines:
        engine.prefab(at, {"events": 1}, sent(window(NOON, 1, served(1)), instance="z"))
        engine.featbit(at, {"no": "event"})
        found = sorted(engine.data.glob(f"rejects/**/{at:%Y%m%d}*.jsonl"))
        assert len(found) == 2, "two runs of one name, one in each landing"
        assert {json.loads(path.read_text())["text"] for path in found} == {
            '{"events": 1}',
            '{"no": "event"}',
        }


def run(data: Path, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [FLAGMART, "ingest", "prefab", *map(str, arguments)],
        cwd=ROOT,
        env=command_environment(data),
        input=stdin,
        capture_output=True,
        check=False,
    )
    return subprocess.CompletedProcess(
        ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode()
    )


def test_one_counter_from_files_of_every_form_counts_once(tmp_path: Path) -> None:
    document = sent(window(NOON, 10, served(5)))
    text = json.dumps(document)
    message = json_format.ParseDict(document, TelemetryEvents()).SerializeToString()
    files = {
        "lines.jsonl": f"{text}\n\n{text}\n".encode(),
        "array.json": f"[{text},\n{text}]".encode(),
        "pretty.json": json.dumps([document], indent=4).encode(),
        "lines.jsonl.gz": gzip.compress(f"{text}\n".encode()),
        "binary": message,
        "binary.gz": gzip.compress(message),
        "empty": b"",
    }
    source = tmp_path / "telemetry"
    source.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content)
    ran = run(tmp_path / "data", "--env", "e", source, "-", "--output", "json", stdin=message)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["read"], told["landed"], told["equal_repeats"]) == (9, 1, 8)
    assert {Path(each["path"]).name: each["format"] for each in told["inputs"]} == {
        "lines.jsonl": "JSON lines",
        "array.json": "JSON array",
        "pretty.json": "JSON array",
        "lines.jsonl.gz": "JSON lines",
        "binary": "binary",
        "binary.gz": "binary",
        "empty": "empty",
        "stdin": "binary",
    }


def test_wrong_input_says_what_is_wrong_and_the_rest_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad"
    text = json.dumps(sent(window(NOON, 10, served(5))))
    good.write_text(f'{text}\n{{"key"\n{json.dumps(window(NOON, 1, served(1)))}\n')

    ran = run(data, good)
    assert ran.returncode == 2
    assert "--env" in ran.stderr
    ran = run(data, "--env", " ", good)
    assert ran.returncode == 2
    assert "--env is empty" in ran.stderr
    ran = run(data, "--env", "e", tmp_path / "nowhere")
    assert ran.returncode == 2
    assert not data.exists()

    ran = run(data, "--env", "e", "--dry-run", good)
    assert (ran.returncode, data.exists()) == (3, False)
    assert "3 records read, 1 of them counters; nothing landed" in ran.stderr

    bad.mkdir()
    contents = (b"env_id,event\n1,2\n", b"\xff\xfe{\0", b"\x00", b"plain", b"PAR1")
    for number, content in enumerate(contents):
        (bad / str(number)).write_bytes(content)
    ran = run(data, "--env", "e", bad)
    assert ran.returncode == 1
    assert ran.stderr.count("neither JSON nor a binary TelemetryEvents message") == len(contents)

    ran = run(data, "--env", "e", bad, good, "--output", "json")
    assert ran.returncode == 3
    told = json.loads(ran.stdout)
    assert [(each["read"], each["landed"]) for each in told["inputs"]] == [
        *[(0, 0)] * len(contents),
        (3, 1),
    ]
    assert told["inputs"][-1]["reasons"] == {
        "malformed JSON": 1,
        "neither instanceHash nor --instance: equal summaries of two instances would count once": 1,
    }
    assert [
        json.loads(line)["line"] for line in Path(told["rejects"]).read_text().splitlines()
    ] == [2, 3]

    good.write_text(text)
    assert run(data, "--env", "e", good).returncode == 0
    assert run(data, "--env", "e", good, "--detailed-exitcode").returncode == 4
    good.write_bytes(gzip.compress(text.encode())[:-9])
    ran = run(data, "--env", "e", good)
    assert ran.returncode == 3
    assert "its gzip data is damaged or cut off" in ran.stderr


def test_a_run_that_is_killed_leaves_nothing_for_readers(tmp_path: Path) -> None:
    source = tmp_path / "telemetry.jsonl"
    source.write_text(json.dumps(sent(window(NOON, 10, served(5)))))
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from flagmart.ingest.prefab import Choice, ingest\n"
        "from flagmart.settings import DataFolder\n"
        "from flagmart.warehouse import manifest\n"
        "manifest.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"ingest([Path({str(source)!r})], DataFolder(Path({str(tmp_path / 'data')!r})), "
        "Choice('e'))\n"
    )
    killed = subprocess.run(
        [ROOT / ".venv/bin/python", "-c", code], env={**os.environ}, check=False
    )
    assert killed.returncode == -9
    ran = run(tmp_path / "data", "--env", "e", source, "--output", "json")
    assert json.loads(ran.stdout)["landed"] == 1
    landing = tmp_path / "data/landing/prefab_counters"
    assert len(list(landing.iterdir())) == 2, "the manifest and one file"
