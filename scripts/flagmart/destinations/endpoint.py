"""What the sender must know of an HTTP destination: everything else about it is SQL."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Endpoint:
    """One place that takes batches of messages.

    A body is `prefix`, the messages joined by `separator`, `suffix`; sizes are in encoded bytes.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """Texts that must never be shown: an answer may echo them."""
    prefix: bytes
    separator: bytes
    suffix: bytes
    max_messages: int
    max_body_bytes: int
    max_message_bytes: int
    objection: Callable[[str], str | None]
    """Why an answer with a status of success is none, judged by the beginning of its body."""

    def masked(self, text: str) -> str:
        """`text` without any secret, in whatever form a server may echo one."""
        forms = {form for secret in self.secrets for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            # hex digits of escapes come in both cases; a key in another case is as telling
            text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
        return text


def _forms(secret: str) -> set[str]:
    """The secret as it is, as JSON and percent-encoded; each also without base64's padding."""
    plain = {secret, secret.rstrip("=")} - {""}
    encodings: tuple[Callable[[str], str], ...] = (
        str,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
        quote,
        lambda text: quote(text, safe=""),
        quote_plus,
    )
    return {encode(text) for text in plain for encode in encodings}


def base_url(value: str, variable: str) -> str:
    """The scheme, host and path prefix of `value`, without a slash at the end.

    Args:
        value: `https://host[:port][/prefix]`.
        variable: where it comes from, for the message.

    Raises:
        FlagmartError: it is something else; the message does not repeat it, it may be secret.
    """
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FlagmartError(f"{variable} is no address; write it like https://api.example.com")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise FlagmartError(
            f"{variable} holds more than an address (user, password, query or fragment); "
            "write it like https://api.example.com and keep keys in their own variable"
        )
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
