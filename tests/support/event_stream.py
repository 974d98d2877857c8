"""One stream of events for every store, and what the models make of it."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections import Counter
from typing import TYPE_CHECKING

from support.command import FLAGMART
from support.dbt_project import build, query
from support.landed import ENV

if TYPE_CHECKING:
    from pathlib import Path

_STAGING = (
    "stg_featbit__flag_evaluations",
    "stg_featbit__metric_events",
    "stg_featbit__rejected_events",
)
OTHER_IDS = "ffffffff"
"""What the ids of `under_other_ids` begin with."""


def stream(folder: Path, events: int, *options: str) -> Path:
    """The lines of `flagmart generate`, and some that no generator has."""
    path = folder / "events.jsonl"
    subprocess.run(
        [FLAGMART, "generate", "--events", str(events), "--out", path, "--seed", "7", *options],
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        check=True,
        capture_output=True,
    )
    odd: list[dict[str, object]] = [
        {"properties": '{"userKeyId":"ü < & \\u4e2d","n":1.50,"deep":{"b":[1,2.0],"a":null}}'},
        {"properties": "{}", "distinct_id": ""},
        {"properties": "[1]", "event": "CustomEvent"},
        {"properties": '"text"', "event": "Elsewhere", "timestamp": 0},
    ]
    with path.open("a") as file:
        for number, changes in enumerate(odd):
            envelope: dict[str, object] = {
                "uuid": str(uuid.UUID(int=number + 1)),
                "distinct_id": "d",
                "env_id": ENV,
                "event": "FlagValue",
                "timestamp": 1_702_366_933_320_000,
            }
            file.write(json.dumps(envelope | changes) + "\n")
    return path


def under_other_ids(path: Path) -> Path:
    """The same events once more, so that one build shows both."""
    renamed = path.with_name("renamed.jsonl")
    envelopes = [json.loads(line) for line in path.read_text().splitlines()]
    renamed.write_text(
        "".join(
            json.dumps(event | {"uuid": OTHER_IDS + event["uuid"][8:]}) + "\n"
            for event in envelopes
        )
    )
    return renamed


def both_halves_are_staged_alike(data: Path, *, without: str = "") -> None:
    """Build the staging views: what landed `under_other_ids` gave the rows that all else gave.

    `without` names a column of events that one of both has not.
    """
    build("--select", "base_featbit__events", "stg_featbit__events", *_STAGING, data=data)
    for view in _STAGING:
        # rejects do not have it
        left_out = "" if view == _STAGING[-1] else without
        these, those = (
            _staged(data, view, other_ids=other, without=left_out) for other in (False, True)
        )
        assert these
        assert these == those


def _staged(
    data: Path, view: str, *, other_ids: bool, without: str = ""
) -> Counter[tuple[str, ...]]:
    """Rows of a staging view without their ids, of either half; `without` names more columns."""
    left_out = ", ".join(filter(None, ("event_id", "ingested_at", without)))
    return Counter(
        tuple(map(_value, row))
        for row in query(
            data,
            f"select substr(event_id, 9), * exclude ({left_out}) from {view} "
            "where starts_with(event_id, $1) = $2",
            OTHER_IDS,
            other_ids,
        )
    )


def _value(cell: object) -> str:
    """A cell; what is JSON by its value, since that is what jsonb keeps."""
    try:
        return json.dumps(json.loads(str(cell)), sort_keys=True)
    except ValueError:
        return str(cell)
