"""What the sender must know of an HTTP destination: everything else about it is SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from flagmart.errors import FlagmartError


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

    def masked(self, text: str) -> str:
        """`text` without any secret."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


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
