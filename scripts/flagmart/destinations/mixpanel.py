"""Mixpanel's /import: events of any age, of which it refuses single ones.

Source of every number and rule here: Mixpanel's documentation of Import Events,
https://docs.mixpanel.com/reference/import-events
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from flagmart.destinations.endpoint import Endpoint, answer_of, base_url, page

if TYPE_CHECKING:
    from flagmart.destinations.settings import Settings

DEFAULT_HOST = "https://api.mixpanel.com"
MAX_MESSAGES = 2_000
MAX_BODY_BYTES = 10_000_000
"""Of a batch, uncompressed: 10 MB, read as the smaller of its two meanings."""
MAX_MESSAGE_BYTES = 1_000_000


def endpoint(settings: Settings) -> Endpoint:
    """Where and how to send.

    Args:
        settings: `key_env` names the variable with the project token; `host_env`, where given, the
            one with the host: https://api-eu.mixpanel.com or https://api-in.mixpanel.com for
            projects that live there.

    Raises:
        FlagmartError: the token is not set, or the host is no address.
    """
    settings.only("destination", "sink", "host_env", "key_env")
    key = settings.secret("key_env")
    host = settings.from_environment("host_env", DEFAULT_HOST)
    # the token as user with an empty password
    token = b64encode(f"{key}:".encode()).decode("ascii")
    return Endpoint(
        # without strict, what is wrong is answered 200 and thrown away
        url=base_url(host, str(settings.values.get("host_env", "host"))) + "/import?strict=1",
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        secrets=(token, key),
        prefix=b"[",
        separator=b",",
        suffix=b"]",
        max_messages=MAX_MESSAGES,
        max_body_bytes=MAX_BODY_BYTES,
        max_message_bytes=MAX_MESSAGE_BYTES,
        objection=objection,
        refused=refused,
        gzip=True,
    )


def objection(body: str) -> str | None:
    """Why an answer 200 is none: `{"code": 200, "num_records_imported": 2000, "status": "OK"}`."""
    answer = answer_of(body)
    if answer.get("code", 200) != 200 or answer.get("error") or answer.get("failed_records"):
        return "that it was no success"
    return page(body, "Mixpanel")


def refused(status: int, body: str, count: int) -> dict[int, str] | None:
    """The events of a batch answered 400 that it refused; all others it took.

    `{"code": 400, "num_records_imported": 1999, "failed_records": [{"index": 0, "$insert_id": "…",
    "field": "properties.time", "message": "…"}], "status": "Bad Request"}`: believed only where
    the two figures are those of the batch.
    """
    answer = answer_of(body)
    records, taken = answer.get("failed_records"), answer.get("num_records_imported")
    if status != 400 or not isinstance(records, list) or not records:
        return None
    found: dict[int, str] = {}
    for record in records:
        place = record.get("index") if isinstance(record, dict) else None
        if not isinstance(place, int) or not 0 <= place < count:
            return None
        found[place] = f"{record.get('field', '')}: {record.get('message', '')}"
    return found if taken == count - len(found) else None
