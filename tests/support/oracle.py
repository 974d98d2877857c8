"""What the models must say of events, worked out in plain Python."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from support import json_text

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LEAD = timedelta(hours=26)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

REASONS = (
    "invalid_properties_json",
    "missing_env_id",
    "unknown_event",
    "missing_flag_key",
    "missing_user_key",
    "missing_variation_id",
    "missing_event_name",
    "missing_timestamp",
    "implausible_timestamp",
)
"""Every reason there is, in the order in which they are looked for."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Envelope:
    """A landed event."""

    env_id: str
    event: str
    distinct_id: str
    properties: str
    occurred_at: datetime | None


@dataclass(frozen=True)
class Judged:
    """What the base layer must say of it; fields are named as the columns are."""

    outcome: str
    reject_reason: str | None
    properties: str
    env_id: str
    flag_key: str
    variation_id: str
    user_key: str
    user_name: str | None
    event_name: str
    numeric_value: float | None
    send_to_experiment: bool


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
    """Judge every line of Kafka's; of an id that stands twice the first counts."""
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
        envelope = Envelope(
            env_id=event["env_id"] or "",
            event=event["event"] or "",
            distinct_id=event["distinct_id"] or "",
            properties=event["properties"],
            occurred_at=EPOCH + timedelta(microseconds=event["timestamp"]),
        )
        judged = judge(envelope, ingested_at)
        expected.outcomes[judged.outcome] += 1
        if judged.reject_reason:
            expected.reasons[judged.reject_reason] += 1
        elif judged.outcome == "evaluation":
            bucket = event["timestamp"] // 900_000_000 * 900_000
            expected.buckets[judged.flag_key, judged.variation_id, bucket] += 1
    return expected


def judge(envelope: Envelope, ingested_at: datetime) -> Judged:
    """What the base layer must make of one event that landed at `ingested_at`."""
    found = json_text.members(envelope.properties)
    fields = found or {}
    evaluation = envelope.event == "FlagValue"
    metric = envelope.event in ("CustomEvent", "PageView", "Click")

    text = fields.get
    held = text("user") or ""
    user = (json_text.members(held) if held.startswith("{") else None) or {}

    env_id = envelope.env_id or text("envId") or ""
    user_key = text("userKeyId") or user.get("keyId") or user.get("KeyId") or text("tag_0") or ""
    tagged_name = text("tag_3") if evaluation else text("tag_2")
    user_name = text("userName") or user.get("name") or user.get("Name") or tagged_name or None
    flag_key = variation_id = event_name = ""
    value: float | None = None
    send = False
    if evaluation:
        flag_key = (
            text("featureFlagKey")
            or _behind(env_id, text("flagId"))
            or _behind(env_id, envelope.distinct_id)
            or ""
        )
        variation_id = text("variationId") or text("tag_1") or ""
        # since v6 there are no tags, and what is stored counts for experiments
        tagged = any(text(f"tag_{number}") is not None for number in range(4))
        stated = (text("sendToExperiment"), text("tag_2"), "false" if tagged else "true")
        send = next(said for said in stated if said is not None).lower() == "true"
    elif metric:
        event_name = text("eventName") or envelope.distinct_id
        value = _number(text("numericValue") if text("numericValue") is not None else text("tag_1"))

    moment = envelope.occurred_at
    faults = (
        found is None,
        not env_id,
        not evaluation and not metric,
        evaluation and not flag_key,
        not user_key,
        evaluation and not variation_id,
        metric and not event_name,
        moment is None,
        moment is not None and not EARLIEST <= moment <= ingested_at + LEAD,
    )
    reason = next((REASONS[number] for number, found in enumerate(faults) if found), None)
    return Judged(
        outcome="rejected" if reason else "evaluation" if evaluation else "metric",
        reject_reason=reason,
        properties=envelope.properties if reason else "",
        env_id=env_id,
        flag_key=flag_key,
        variation_id=variation_id,
        user_key=user_key,
        user_name=user_name,
        event_name=event_name,
        numeric_value=value,
        send_to_experiment=send,
    )


def _behind(env_id: str, text: str | None) -> str | None:
    """The flag key in `<env id>-<flag key>`."""
    prefix = env_id + "-"
    return text.removeprefix(prefix) if env_id and text and text.startswith(prefix) else None


def _number(text: str | None) -> float | None:
    if text in ("true", "false"):
        return float(text == "true")
    if text is None or not _NUMBER.fullmatch(text) or math.isinf(float(text)):
        return None
    return float(text)
