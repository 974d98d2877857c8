"""What the models must say of a file of Kafka lines, worked out in plain Python."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LEAD = timedelta(hours=26)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Expected:
    """Counts of a stream."""

    read: int = 0
    unreadable: int = 0
    repeats: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    buckets: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """(flag key, variation id, bucket start in ms): evaluations."""


def expect(lines: list[bytes], ingested_at: datetime) -> Expected:
    """Judge every line; of an id that stands twice the first counts."""
    expected = Expected()
    seen: set[str] = set()
    for line in lines:
        expected.read += 1
        try:
            event = json.loads(line)
        except ValueError:
            expected.unreadable += 1
            continue
        if event["uuid"].lower() in seen:
            expected.repeats += 1
            continue
        seen.add(event["uuid"].lower())
        reason = _judge(event, ingested_at)
        if reason:
            expected.outcomes["rejected"] += 1
            expected.reasons[reason] += 1
        elif event["event"] == "FlagValue":
            expected.outcomes["evaluation"] += 1
            properties = json.loads(event["properties"])
            bucket = event["timestamp"] // 900_000_000 * 900_000
            expected.buckets[
                properties["featureFlagKey"],
                properties.get("variationId") or properties["tag_1"],
                bucket,
            ] += 1
        else:
            expected.outcomes["metric"] += 1
    return expected


def _judge(event: dict[str, Any], ingested_at: datetime) -> str | None:
    try:
        properties = json.loads(event["properties"])
    except ValueError:
        return "invalid_properties_json"
    user = properties.get("user") or {}
    key = (
        properties.get("userKeyId")
        or user.get("keyId")
        or user.get("KeyId")
        or properties.get("tag_0")
    )
    if not key:
        return "missing_user_key"
    if event["event"] == "FlagValue" and not (
        properties.get("variationId") or properties.get("tag_1")
    ):
        return "missing_variation_id"
    if event["event"] != "FlagValue" and not (properties.get("eventName") or event["distinct_id"]):
        return "missing_event_name"
    moment = EPOCH + timedelta(microseconds=event["timestamp"])
    if not EARLIEST <= moment <= ingested_at + LEAD:
        return "implausible_timestamp"
    return None
