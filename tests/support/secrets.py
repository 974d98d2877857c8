"""Keys that can be told wherever they turn up, and servers that say again what they were told."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from support.segment_server import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.segment_server import Request

_MARK = "never2bSeen"
"""In every key; letters and digits alone, so that no encoding but base64 changes it."""


def keys(*variables: str) -> dict[str, str]:
    """A key for each variable; with what JSON, addresses and base64 spell in their own ways."""
    return {name: f'{name[:4]}-{_MARK}{number}/+"\\=' for number, name in enumerate(variables)}


@dataclass
class Leaks:
    """What was told in secret, and a look through everything else for it."""

    known: dict[str, str]
    """Keys by variable."""
    signed: set[str] = field(default_factory=set)
    """What requests were signed with."""

    def note(self, requests: Iterable[Request]) -> None:
        """Of requests: tokens and signatures, which are as good as the key."""
        for request in requests:
            scheme, _, token = request.headers.get("Authorization", "").rpartition(" ")
            if scheme == "Basic":
                self.signed.add(token.rstrip("="))
            for part in token.split("&"):
                name, _, signature = part.partition("=")
                if name == "sig":
                    self.signed |= {signature, unquote(signature), unquote(signature).rstrip("=")}

    def of(self, text: str, where: object) -> list[str]:
        """What is wrong with `text`; nothing is."""
        # base64 of one text has three forms, by where it begins; the ends hang on what is beside
        mark = _MARK.encode()
        forms = {b64encode(b"\0" * shift + mark)[4 * (shift > 0) :][:12] for shift in range(3)}
        found = {_MARK.lower()} & {_MARK.lower() if _MARK.lower() in text.lower() else ""}
        found |= {form.decode() for form in forms if form.decode() in text}
        found |= {token for token in self.signed if token in text}
        return [f"{where}: {one} in {_around(text, one)!r}" for one in sorted(found)]

    def below(self, folder: Path) -> list[str]:
        """The same of every file, and of what parquet and Arrow compressed."""
        wrong = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            wrong += self.of(path.read_bytes().decode("latin-1"), path)
            if path.suffix in (".parquet", ".arrow"):
                for column in _columns(path):
                    wrong += self.of("\n".join(map(str, column.to_pylist())), path)
        return wrong


def _columns(path: Path) -> list[pa.ChunkedArray]:
    if path.suffix == ".parquet":
        return list(pq.read_table(path).columns)
    with pa.ipc.open_file(path) as file:
        return list(file.read_all().columns)


def _around(text: str, one: str) -> str:
    place = text.lower().find(one.lower())
    return text[max(0, place - 60) : place + 60]


def indiscreet(request: Request, way: str) -> Answer:
    """An answer that repeats what a request was signed with.

    Args:
        request: of any destination.
        way: how it is refused: `key`, `server`, `size`, `row` or `elsewhere`.
    """
    told = [
        value
        for name, value in request.headers.items()
        if name in ("Authorization", "X-Write-Key") or name.lower() == "statsig-api-key"
    ]
    if request.body[:1] != b"\x1f":
        told.append(request.body[:90].decode("utf-8", "replace"))
    plain = [b64decode(t.split()[1]).decode() for t in told if t.startswith("Basic ")]
    said = " ".join([*plain, *told])
    match way:
        case "key":
            return Answer(401, body=f"unknown: {said}")
        case "server":
            return Answer(500, body=f"oops {quote_plus(said)} {quote(said)}")
        case "size":
            return Answer(413, body=json.dumps({"too large": said}))
        case "elsewhere":
            return Answer(302, {"Location": f"/there?{quote(said)}"}, body=said)
    return Answer(
        400,
        body=json.dumps(
            {
                "code": 400,
                "error": said,
                # as Mixpanel and Amplitude name single messages; to all others it is one text
                "num_records_imported": 2,
                "failed_records": [{"index": 0, "field": said, "message": said}],
                "events_with_invalid_fields": {said: [0]},
            }
        ),
    )
