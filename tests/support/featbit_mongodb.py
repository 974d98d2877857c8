"""FeatBit's collection of events in MongoDB."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pymongo.collection import Collection

_LOADED_AT_ONCE = 5_000


def load(events: Collection[dict[str, Any]], lines: Iterable[str]) -> None:
    """Put events of `flagmart generate` there, as FeatBit writes them."""
    left = iter(lines)
    while some := list(islice(left, _LOADED_AT_ONCE)):
        events.insert_many(list(map(_document, some)))


def _document(line: str) -> dict[str, Any]:
    event = json.loads(line)
    properties = json.loads(event["properties"])
    return {
        "_id": event["uuid"],
        **{name: event[name] for name in ("distinct_id", "env_id", "event")},
        # a text there is the JSON itself
        "properties": event["properties"] if isinstance(properties, str) else properties,
        "timestamp": datetime.fromtimestamp(event["timestamp"] / 1_000_000, UTC),
    }
