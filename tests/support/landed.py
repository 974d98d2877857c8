"""Read back what ingest has landed, and write what it reads."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flagmart.settings import DataFolder
from flagmart.warehouse import manifest
from flagmart.warehouse.manifest import LandedRun

SAMPLES = Path(__file__).parents[1] / "data" / "featbit"
ENV = "32f6be54-6796-44dd-bc82-f4824b0da13c"


def event(number: int, **changes: object) -> dict[str, Any]:
    """A Kafka envelope; `number` makes its id and its time."""
    properties = json.dumps({"flagId": f"{ENV}-f", "userKeyId": f"user {number}"})
    return {
        "uuid": f"00000000-0000-4000-8000-{number:012d}",
        "distinct_id": f"{ENV}-f",
        "env_id": ENV,
        "event": "FlagValue",
        "properties": properties,
        "timestamp": 1_702_366_933_320_000 + number * 1_000,
        **changes,
    }


def lines(*events: object) -> str:
    """JSON lines; text goes in as it is."""
    return "".join((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in events)


def runs(data: Path) -> tuple[LandedRun, ...]:
    """The complete runs."""
    return tuple(manifest.all_runs(DataFolder(data).landing / "featbit_events"))


def rows(data: Path) -> list[dict[str, Any]]:
    """Every landed row that a reader sees, in order of landing."""
    folder = DataFolder(data).landing / "featbit_events"
    return [
        row
        for file in manifest.read(folder).files
        for row in pq.read_table(folder / file.name).to_pylist()
    ]


def ids(data: Path) -> list[str]:
    """Every landed id."""
    return [row["event_id"] for row in rows(data)]


def rejects(data: Path) -> list[tuple[int | None, str]]:
    """Line and reason of every reject of every run."""
    folder = DataFolder(data).rejects / "featbit_events"
    return [
        (fact["line"], fact["reason"])
        for path in sorted(folder.glob("*.jsonl"))
        for fact in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    ]


def names(data: Path) -> set[str]:
    """What lies in the landing and in the rejects' folder, hidden or not."""
    folders = (DataFolder(data).landing, DataFolder(data).rejects)
    return {path.name for folder in folders for path in folder.glob("featbit_events/*")}
