"""Segment's HTTP Tracking API, and whatever speaks it: `/v1/batch` of a host.

Source of every number here: Segment's documentation of the HTTP API,
https://www.twilio.com/docs/segment/connections/sources/catalog/libraries/server/http-api
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

from flagmart.destinations.endpoint import Endpoint, answer_of, base_url, page

if TYPE_CHECKING:
    from flagmart.destinations.settings import Settings

DEFAULT_HOST = "https://api.segment.io"
MAX_MESSAGES = 2_500
"""Of a batch; more is answered 200 and thrown away."""
MAX_BODY_BYTES = 500_000
"""Of a batch: 500 KB, read as the smaller of its two meanings."""
MAX_MESSAGE_BYTES = 32 * 1024
"""Of a message: 32 KB, as Segment's own Python library counts them."""


def endpoint(settings: Settings) -> Endpoint:
    """Where and how to send.

    Args:
        settings: `key_env` names the variable with the write key; `host_env`, where given, the one
            with the host (https://api.segment.io where it is not set), whose path prefix is kept;
            `auth` says where the key stands: `basic` (Segment, RudderStack, Hightouch), `header`
            (X-Write-Key: Jitsu) or `body` (`writeKey`).

    Raises:
        FlagmartError: the key is not set, or the host is no address.
    """
    settings.only("destination", "sink", "host_env", "key_env", "auth")
    auth = settings.choice("auth", "basic", "header", "body")
    key = settings.secret("key_env")
    host = settings.from_environment("host_env", DEFAULT_HOST)
    # Basic auth is the write key as user with an empty password: the colon belongs to it.
    token = b64encode(f"{key}:".encode()).decode("ascii")
    headers = {
        "basic": {"Authorization": f"Basic {token}"},
        "header": {"X-Write-Key": key},
        "body": {},
    }
    write_key = f'"writeKey":{json.dumps(key)},' if auth == "body" else ""
    return Endpoint(
        url=base_url(host, str(settings.values.get("host_env", "host"))) + "/v1/batch",
        headers={**headers[auth], "Content-Type": "application/json"},
        secrets=(token, key),
        # no sentAt: Segment would shift every timestamp by its difference from the time of arrival
        prefix=f'{{{write_key}"batch":['.encode(),
        separator=b",",
        suffix=b"]}",
        max_messages=MAX_MESSAGES,
        max_body_bytes=MAX_BODY_BYTES,
        max_message_bytes=MAX_MESSAGE_BYTES,
        objection=objection,
    )


def objection(body: str) -> str | None:
    """Why an answer 200 is neither Segment's `{"success": true}` nor the `OK` of its like."""
    if answer_of(body).get("success") is False:
        return "that it was no success"
    return page(body, "Segment")
