"""PostHog's /batch/: events of any age.

Source of every number and rule here: PostHog's documentation of the capture API,
https://posthog.com/docs/api/capture
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flagmart.destinations.endpoint import Endpoint, answer_of, base_url, page

if TYPE_CHECKING:
    from flagmart.destinations.settings import Settings

DEFAULT_HOST = "https://us.i.posthog.com"
MAX_MESSAGES = 5_000
"""Ours: only bytes are limited."""
MAX_BODY_BYTES = 20_000_000
"""Of a request: "less than 20MB", read as the smaller of its two meanings."""


def endpoint(settings: Settings) -> Endpoint:
    """Where and how to send.

    Args:
        settings: `key_env` names the variable with the project's API key; `host_env`, where given,
            the one with the host: https://eu.i.posthog.com, or a server of one's own; `historical`
            is false where events are sent soon after they happened.

    Raises:
        FlagmartError: the key is not set, or the host is no address.
    """
    settings.only("destination", "sink", "host_env", "key_env", "historical")
    key = settings.secret("key_env")
    host = settings.from_environment("host_env", DEFAULT_HOST)
    # as history, so that events of the past hold up none of today's; meant for those that are two
    # days old and more (https://posthog.com/docs/migrate)
    historical = '"historical_migration":true,' if settings.flag("historical", True) else ""
    prefix = f'{{"api_key":{json.dumps(key)},{historical}"batch":['.encode()
    return Endpoint(
        url=base_url(host, str(settings.values.get("host_env", "host"))) + "/batch/",
        headers={"Content-Type": "application/json"},
        secrets=(key,),
        prefix=prefix,
        separator=b",",
        suffix=b"]}",
        max_messages=MAX_MESSAGES,
        max_body_bytes=MAX_BODY_BYTES - 1,
        max_message_bytes=MAX_BODY_BYTES - 1 - len(prefix) - 2,
        objection=objection,
    )


def objection(body: str) -> str | None:
    """Why an answer 200 is none: `{"status": 1}` or `{"status": "Ok"}`."""
    if answer_of(body).get("status", 1) not in (1, "Ok"):
        return "that it was no success"
    return page(body, "PostHog")
