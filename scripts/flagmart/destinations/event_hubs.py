"""Azure Event Hubs over REST: batches of events, signed with a shared access key.

Sources, where no other is named: Microsoft's documentation of the REST API, send-batch-events and
generate-sas-token.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from flagmart.destinations.endpoint import Endpoint, base_url, page
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flagmart.destinations.settings import Settings

MAX_BODY_BYTES = {"basic": 256_000, "standard": 1_000_000}
"""Of a publication, one event or a batch, by tier (event-hubs-tier-limits): 256 KB and 1 MB, read
as the smaller of their two meanings. Premium and Dedicated are as Standard."""
MAX_MESSAGES = 5_000
"""Ours: only bytes are limited."""
TOKEN_SECONDS = 3_600
RENEW_SECONDS = 600
"""Before a token expires, the next request gets a new one: a request may take a while."""

_HUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}[A-Za-z0-9]|[A-Za-z0-9]")
_MEND = "copy it anew from the namespace's or the hub's shared access policies"


@dataclass(frozen=True)
class Connection:
    """What a connection string says."""

    host: str
    key_name: str
    key: str
    """Text that signs as it is, although it looks like base64."""
    signature: str
    """A whole `SharedAccessSignature …` in place of name and key; '' where there is none."""
    hub: str
    """`EntityPath`; '' in a namespace's connection string."""


def connection(text: str, variable: str) -> Connection:
    """Read `Endpoint=sb://host/;SharedAccessKeyName=…;SharedAccessKey=…[;EntityPath=hub]`.

    Args:
        text: a connection string; keys in any case and order, values may hold `=`.
        variable: where it comes from, for the message.

    Raises:
        FlagmartError: something is missing or wrong; the message repeats nothing of it.
    """
    parts = {}
    for part in text.strip().strip(";").split(";"):
        name, sign, value = part.strip().partition("=")
        if not sign or name.lower() in parts:
            raise FlagmartError(f"{variable} is no connection string of Event Hubs; {_MEND}")
        parts[name.lower()] = value
    address = re.fullmatch(r"sb://([A-Za-z0-9.-]+)(?::\d+)?/?", parts.get("endpoint", ""))
    if address is None:
        raise FlagmartError(f"{variable} has no Endpoint=sb://…; {_MEND}")
    if parts.get("usedevelopmentemulator", "").lower() == "true":
        raise FlagmartError(f"{variable} is that of the emulator, which takes nothing over HTTP")
    found = Connection(
        host=address[1],
        key_name=parts.get("sharedaccesskeyname", ""),
        key=parts.get("sharedaccesskey", ""),
        signature=parts.get("sharedaccesssignature", ""),
        hub=parts.get("entitypath", ""),
    )
    if not found.signature and not (found.key_name and found.key):
        raise FlagmartError(
            f"{variable} has neither SharedAccessKeyName and SharedAccessKey nor "
            f"SharedAccessSignature; {_MEND}"
        )
    return found


def shared_access_signature(uri: str, key_name: str, key: str, expires_at: int) -> str:
    """A token that lets whoever has it send below `uri` until `expires_at`, in seconds of 1970."""
    resource = quote_plus(uri)
    digest = hmac.digest(key.encode(), f"{resource}\n{expires_at}".encode(), hashlib.sha256)
    signature = quote_plus(b64encode(digest))
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expires_at}&skn={key_name}"


def signer(
    uri: str, known: Connection, now: Callable[[], float] = time.time
) -> Callable[[], dict[str, str]]:
    """What gives each request its token, made anew before the last one expires."""
    token, expires_at = known.signature, 0

    def sign() -> dict[str, str]:
        nonlocal token, expires_at
        if not known.signature and now() > expires_at - RENEW_SECONDS:
            expires_at = int(now()) + TOKEN_SECONDS
            token = shared_access_signature(uri, known.key_name, known.key, expires_at)
        return {"Authorization": token}

    return sign


def endpoint(settings: Settings) -> Endpoint:
    """Where and how to send.

    Args:
        settings: `connection_env` names the variable with the connection string, `hub_env` the one
            with the hub's name, where the string has no EntityPath; `tier` is that of the
            namespace; `host_env` names the one with another address, for a proxy before Azure.

    Raises:
        FlagmartError: a variable is not set, or not what it should be.
    """
    settings.only("destination", "sink", "connection_env", "hub_env", "host_env", "tier")
    tier = settings.choice("tier", "standard", "basic", "premium", "dedicated")
    variable = settings.need("connection_env")
    text = settings.secret("connection_env")
    known = connection(text, variable)
    hub = settings.from_environment("hub_env", known.hub)
    if known.hub and hub != known.hub:
        raise FlagmartError(
            f"{variable} is for the hub {known.hub} and {settings.need('hub_env')} says {hub}"
        )
    if not _HUB.fullmatch(hub):
        raise FlagmartError(
            f"{variable} names no hub (EntityPath); name it in the variable of hub_env"
        )
    uri = f"https://{known.host}/{quote(hub)}"
    host = base_url(
        settings.from_environment("host_env", f"https://{known.host}"),
        str(settings.values.get("host_env", variable)),
    )
    limit = MAX_BODY_BYTES.get(tier, MAX_BODY_BYTES["standard"])
    return Endpoint(
        url=f"{host}/{quote(hub)}/messages?timeout=60&api-version=2014-01",
        headers={"Content-Type": "application/vnd.microsoft.servicebus.json"},
        secrets=tuple(secret for secret in (text, known.key, known.signature) if secret),
        prefix=b"[",
        separator=b",",
        suffix=b"]",
        max_messages=MAX_MESSAGES,
        max_body_bytes=limit,
        max_message_bytes=limit,
        # 201 with an empty body
        objection=lambda body: page(body, "Event Hubs"),
        sign=signer(uri, known),
        # the hub puts equal keys into one partition; a key goes with a request, not with an event
        batched_by="partition_key",
        batch_headers=lambda key: {"BrokerProperties": json.dumps({"PartitionKey": key})},
    )
