"""Amplitude's batch event upload: events of any age.

Sources: Amplitude's documentation, analytics/batch-event-upload (limits, answers) and
analytics/http-api-batching-retries ("remove those events and resend the rest").
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flagmart.destinations.endpoint import Endpoint, answer_of, base_url, page

if TYPE_CHECKING:
    from flagmart.destinations.settings import Settings

DEFAULT_HOST = "https://api2.amplitude.com"
MAX_MESSAGES = 2_000
MAX_BODY_BYTES = 20_000_000
"""Of a batch: 20 MB, read as the smaller of its two meanings."""

_CULPRITS = {
    "events_with_invalid_fields": "is not valid",
    "events_with_missing_fields": "is missing",
    "events_with_invalid_id_lengths": "is too short",
}
"""Each is a mapping of field to places in the batch."""


def endpoint(settings: Settings) -> Endpoint:
    """Where and how to send.

    Args:
        settings: `key_env` names the variable with the project's API key; `host_env`, where given,
            the one with the host: https://api.eu.amplitude.com for projects that live there.

    Raises:
        FlagmartError: the key is not set, or the host is no address.
    """
    settings.only("destination", "sink", "host_env", "key_env")
    key = settings.secret("key_env")
    host = settings.from_environment("host_env", DEFAULT_HOST)
    prefix = f'{{"api_key":{json.dumps(key)},"events":['.encode()
    return Endpoint(
        url=base_url(host, str(settings.values.get("host_env", "host"))) + "/batch",
        headers={"Content-Type": "application/json"},
        secrets=(key,),
        prefix=prefix,
        separator=b",",
        suffix=b"]}",
        max_messages=MAX_MESSAGES,
        max_body_bytes=MAX_BODY_BYTES,
        max_message_bytes=MAX_BODY_BYTES - len(prefix) - 2,
        objection=objection,
        culprits=culprits,
    )


def objection(body: str) -> str | None:
    """Why an answer 200 is none: `{"code": 200, "events_ingested": 2000, …}`."""
    answer = answer_of(body)
    if answer.get("code", 200) != 200 or answer.get("error"):
        return "that it was no success"
    return page(body, "Amplitude")


def culprits(status: int, body: str, count: int) -> dict[int, str] | None:
    """The events of a batch answered 400 for whose sake it took none.

    `{"code": 400, "error": "…", "events_with_invalid_fields": {"time": [3, 4]},
    "events_with_missing_fields": {"event_type": [7]}}`. Without such lists the request as a whole
    was wrong, most often its key.
    """
    if status != 400:
        return None
    answer = answer_of(body)
    found: dict[int, str] = {}
    for name, what in _CULPRITS.items():
        fields = answer.get(name)
        if not isinstance(fields, dict):
            continue
        for field, places in fields.items():
            for place in places if isinstance(places, list) else [None]:
                if not isinstance(place, int) or not 0 <= place < count:
                    return None
                found.setdefault(place, f"{field} {what}")
    return found or None
