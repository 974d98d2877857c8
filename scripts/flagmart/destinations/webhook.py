"""Any address that takes messages by HTTP; all of it stands in the settings of the delivery."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from flagmart.destinations.endpoint import Endpoint, base_url, page
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from flagmart.destinations.settings import Settings

MAX_MESSAGES = 500
MAX_BODY_BYTES = 1_000_000
"""What most servers and the proxies before them take; ours to choose, as nobody documents it."""

_OWN_HEADERS = ("content-encoding", "content-length", "content-type", "host", "transfer-encoding")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def endpoint(settings: Settings) -> Endpoint:
    """Where and how to send.

    Args:
        settings: `url_env` names the variable with the address; `method` is POST or PUT; `headers`
            gives for each header the variable with its value; `envelope` is `array`, `object` with
            the array under `key`, or `lines` (NDJSON); `content_type` where it is not that of the
            envelope; `max_messages`, `max_body_bytes` and `max_message_bytes` of a request;
            `compression` is `none` or `gzip`.

    Raises:
        FlagmartError: a variable is not set or no address, or a setting is wrong.
    """
    settings.only(
        *("destination", "sink", "url_env", "method", "headers", "envelope", "key", "content_type"),
        *("max_messages", "max_body_bytes", "max_message_bytes", "compression"),
    )
    url = settings.from_environment("url_env")
    envelope = settings.choice("envelope", "array", "object", "lines")
    if envelope != "object" and "key" in settings.values:
        raise FlagmartError(
            f"exposure {settings.exposure}: meta.flagmart.key is for envelope: object"
        )
    content_type = "application/json"
    prefix, separator, suffix = "[", ",", "]"
    if envelope == "object":
        prefix, suffix = f"{{{json.dumps(settings.optional('key', 'events'))}:[", "]}"
    elif envelope == "lines":
        content_type = "application/x-ndjson"
        prefix, separator, suffix = "", "\n", "\n"
    headers = _headers(settings)
    max_body_bytes = settings.number("max_body_bytes", MAX_BODY_BYTES)
    return Endpoint(
        # base_url drops a slash at the end, which some servers insist on
        url=base_url(url, settings.need("url_env")) + "/" * url.endswith("/"),
        headers={**headers, "Content-Type": settings.optional("content_type", content_type)},
        # `Bearer token`: an answer may well repeat the token alone
        secrets=tuple(part for value in headers.values() for part in (value, value.split()[-1])),
        prefix=prefix.encode(),
        separator=separator.encode(),
        suffix=suffix.encode(),
        max_messages=settings.number("max_messages", MAX_MESSAGES),
        max_body_bytes=max_body_bytes,
        max_message_bytes=settings.number("max_message_bytes", max_body_bytes),
        objection=lambda body: page(body, "a receiver of messages"),
        gzip=settings.choice("compression", "none", "gzip") == "gzip",
        method=settings.choice("method", "POST", "PUT"),
    )


def _headers(settings: Settings) -> dict[str, str]:
    headers = {}
    for name, variable in settings.texts("headers").items():
        if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise FlagmartError(
                f"exposure {settings.exposure}: meta.flagmart.headers names {name!r}, "
                "which is no header of yours to set"
            )
        headers[name] = settings.header(variable, "headers")
    return headers
