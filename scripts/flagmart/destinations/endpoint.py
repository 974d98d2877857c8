"""What the sender must know of an HTTP destination: everything else about it is SQL."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Callable

_SIGNATURE = re.compile(r"\b(sig(?:=|%3D))[^&\s\"'<]+", re.IGNORECASE)
"""Of a shared access signature, in a header or an address."""


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
    final: tuple[int, ...] = ()
    """Statuses after which the same request is not tried again, though others would be; one of
    success, where the answer objects."""
    splits: tuple[int, ...] = (413,)
    """Statuses after which a batch is sent as two halves, and a message alone counts as refused."""
    refused: Callable[[int, str, int], dict[int, str] | None] = lambda _status, _body, _count: None
    """What an answer (status, body, number of messages) says of single messages: the reason by the
    place in the batch of each that was refused, all others being taken; None where it says nothing
    of them and the status alone counts."""
    culprits: Callable[[int, str, int], dict[int, str] | None] = lambda _status, _body, _count: None
    """As `refused`, of an answer that took none of the batch: the reason by the place of each
    message that spoilt it, all others being sent again without these."""
    sign: Callable[[], dict[str, str]] = field(default=dict, repr=False)
    """Further headers, asked for before each request: a token that expires."""
    gzip: bool = False
    """Whether bodies are compressed; limits count the bytes before."""
    method: str = "POST"
    in_order: bool = False
    """Whether each request waits for the one before it, since order tells."""
    batched_by: str | None = None
    """A column of the relation, text, whose value is one for all messages of a batch."""
    batch_headers: Callable[[str], dict[str, str]] = lambda _: {}
    """Further headers of a batch, by that value."""

    def masked(self, text: str) -> str:
        """`text` without any secret, in whatever form a server may echo one."""
        forms = {form for secret in self.secrets for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            # hex digits of escapes come in both cases; a key in another case is as telling
            text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
        # what `sign` makes of a key is good for as long as its token
        return _SIGNATURE.sub(r"\1***", text)


def is_page(body: str) -> bool:
    """Whether it is one: a wrong host, a proxy or a page to log in answers 200 to anything."""
    return body.lstrip().startswith("<")


def page(body: str, whose: str) -> str | None:
    """Why an answer of success is none, where it is a page."""
    if is_page(body):
        return f"with a page and not as {whose} does; is the host right?"
    return None


def answer_of(body: str) -> dict[str, Any]:
    """The JSON object that `body` is; empty where it is none, or cut short."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # the second of brackets without end
        return {}
    return document if isinstance(document, dict) else {}


def _forms(secret: str) -> set[str]:
    """The secret as it is, as JSON and percent-encoded; each also without base64's padding.

    And one in the other, as when the body it stood in is repeated in an address.
    """
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
    once = {encode(text) for text in plain for encode in encodings}
    return {encode(text) for text in once for encode in encodings}


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
