"""How far stores have been read: a small file each, replaced in one step once all has landed.

A checkpoint saves work and never decides what lands: ids do. One that is lost, damaged or older
than the landing means that more ids are looked at again, and nothing else.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flagmart import durable, settings, talk
from flagmart.settings import DataFolder, Engine

FORMAT = 1
REFUSED_KEPT = 10_000
"""Ids remembered of rows that are no events, the newest; their file stays below half a megabyte."""


@dataclass(frozen=True)
class Checkpoint:
    """What the next run can rely on."""

    state: Mapping[str, Any] = field(default_factory=dict)
    """The store's own notes, empty where nothing is known; JSON."""
    runs_since_sweep: int = 0
    landed: str | None = None
    """The newest run of the landing by then; where it is gone, the landing is another one."""
    refused: tuple[str, ...] = ()
    """Ids of rows that went to the reject file, so that they do not go there every time."""


def path(data: DataFolder, kind: str, label: str) -> Path:
    """The file of a store read into the landing of today's engine.

    Its name tells no more of the addresses than a digest.
    """
    landing = "duckdb"
    if settings.engine() is Engine.CLICKHOUSE:
        server = settings.clickhouse()
        landing = f"{server} {server.landing}"
    digest = hashlib.sha256(f"{label} {landing}".encode()).hexdigest()[:16]
    return data.checkpoints / f"{kind}-{digest}.json"


def read(data: DataFolder, kind: str, label: str) -> Checkpoint | None:
    """The checkpoint of a store; None where there is none that can be read."""
    place = path(data, kind, label)
    try:
        document: Any = json.loads(place.read_bytes())
        if document["format"] != FORMAT or document["store"] != label:
            raise ValueError("of another format")
        return Checkpoint(
            dict(document["state"]),
            int(document["runs_since_sweep"]),
            document["landed"],
            tuple(map(str, document["refused"])),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        talk.say(f"{place}: not a checkpoint ({error}); all ids of {label} are looked at again")
        return None


def write(data: DataFolder, kind: str, label: str, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a store in one step that outlives a power cut.

    Raises:
        FlagmartError: the folder cannot be made.
    """
    data.ensure(data.checkpoints)
    place = path(data, kind, label)
    document = {
        "format": FORMAT,
        "kind": kind,
        "store": label,
        "runs_since_sweep": checkpoint.runs_since_sweep,
        "landed": checkpoint.landed,
        "state": checkpoint.state,
        "refused": checkpoint.refused[-REFUSED_KEPT:],
    }
    temporary = place.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    durable.sync_file(temporary)
    temporary.replace(place)
    durable.sync_folder(data.checkpoints)
