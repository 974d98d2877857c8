"""What the front must know of a statement before the engine sees it.

The engine parses; this only finds words outside of strings, comments and brackets, enough to tell
whether rows come back, where an `INSERT` ends and its data begins, and where `INTO OUTFILE` goes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# ClickHouse's lexer: comments are `--`, `//`, `# `, `#!` and `/* */`; quotes escape by a backslash
# or by doubling; `$tag$ … $tag$` is a string too.
_TOKEN = re.compile(
    rb"""
    (?P<blank> \s+ | (?: -- | // | \#[\ !] ) [^\n]* | /\*.*?\*/ )
  | (?P<word> [A-Za-z_] \w* )
  | (?P<quoted> '(?: [^'\\] | \\. | '' )*' | "(?: [^"\\] | \\. | "" )*" | `(?: [^`\\] | \\. | `` )*`
              | \$ (?P<tag> \w* ) \$ .*? \$ (?P=tag) \$ )
  | (?P<number> \d \w* )
  | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)

ROWS = frozenset({"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"}) | {
    "CHECK",
    "KILL",
}
"""First words of statements that answer with rows."""


class Token(NamedTuple):
    word: str
    """A bare word in upper case, a mark as it stands, or empty for anything quoted or counted."""
    depth: int
    """Brackets open around it."""
    start: int
    end: int


@dataclass(frozen=True)
class Statement:
    """One statement and what it asks of the front."""

    text: bytes
    """Without a closing semicolon."""
    kind: str
    """First word, upper case; `INSERT` also where a `WITH` comes first."""
    format_at: int | None
    """Where a closing `FORMAT` clause begins."""
    format: str | None
    changes_connection: bool
    """Leaves something behind in the connection: a setting, a database, a temporary table."""

    @property
    def answers_rows(self) -> bool:
        return self.kind in ROWS

    def without_sync(self) -> bytes:
        """A `DROP` that does not wait until the data is gone; any other statement as it is."""
        if self.kind != "DROP":
            return self.text
        return re.sub(rb"\s+sync$", b"", self.text, flags=re.IGNORECASE)

    def into(self, path: str, marker: str, format_name: str) -> bytes:
        """The statement with its rows sent to the file `path`.

        Args:
            path: File that the engine opens and writes.
            marker: Put into the text as a comment, by which `KILL QUERY` finds it.
            format_name: Format to write where the statement names none.
        """
        at = len(self.text) if self.format_at is None else self.format_at
        tail = self.text[at:] or f"FORMAT {format_name}".encode()
        clause = f"\nINTO OUTFILE '{path}' TRUNCATE /* {marker} */ ".encode()
        return self.text[:at] + clause + tail


@dataclass(frozen=True)
class Insert:
    """An `INSERT` whose data follows its text."""

    text: bytes
    """Without `FORMAT` or `VALUES`."""
    format: str
    data_at: int
    """Where the data begins."""


class NotOneStatementError(ValueError):
    """No statement at all, or more than one."""


def tokens(sql: bytes) -> Iterator[Token]:
    """Everything but blanks and comments, in order; lazily, for what follows may be data."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup
        if kind == "blank":
            continue
        word = ""
        if kind in ("word", "mark"):
            word = match.group().decode("latin-1").upper()
        if word in (")", "]", "}"):
            depth -= 1
        yield Token(word, depth, match.start(), match.end())
        if word in ("(", "[", "{"):
            depth += 1


def insert_with_data(head: bytes) -> Insert | None:
    """The `INSERT` that `head` begins with, if its data follows; None for any other statement.

    Args:
        head: The beginning of a request's text, long enough to hold the whole statement.
    """
    found = tokens(head)
    first = next(found, None)
    if first is None or first.word != "INSERT":
        return None
    for token in found:
        if token.depth:
            continue
        if token.word == "VALUES":
            return Insert(head[: token.start], "Values", token.end)
        if token.word == "FORMAT":
            name = next(found, None)
            if name is None:
                return None
            text, data = head[: token.start], head[name.end :]
            # ClickHouse's rule: blanks and one line break between the name and the data.
            blanks = re.match(rb"[ \t\f]*\r?\n?", data)
            skipped = blanks.end() if blanks else 0
            named = head[name.start : name.end].decode("latin-1")
            return Insert(text, named, name.end + skipped)
        if token.word in ("SELECT", "WITH", "INFILE"):
            return None
    return None


def parse(sql: bytes) -> Statement:
    """Read a whole statement.

    Raises:
        NotOneStatementError: `sql` holds none, or something after its semicolon.
    """
    found = list(tokens(sql))
    ends = [at for at, token in enumerate(found) if token.word == ";" and not token.depth]
    if ends:
        if ends[0] != len(found) - 1 and any(token.word != ";" for token in found[ends[0] :]):
            raise NotOneStatementError("Multi-statements are not allowed")
        found = found[: ends[0]]
    if not found:
        raise NotOneStatementError("Empty query")
    words = [token.word for token in found]
    kind = next((word for word in words if word != "("), "")
    if kind == "WITH" and any(token.word == "INSERT" and not token.depth for token in found):
        kind = "INSERT"
    format_at, format_name = _closing_format(sql, found)
    return Statement(
        text=sql[: found[-1].end],
        kind=kind,
        format_at=format_at,
        format=format_name,
        changes_connection=kind in ("SET", "USE")
        or words[:2] == ["CREATE", "TEMPORARY"]
        or words[:4] == ["CREATE", "OR", "REPLACE", "TEMPORARY"],
    )


def _closing_format(sql: bytes, found: list[Token]) -> tuple[int, str] | tuple[None, None]:
    """Where the last `FORMAT name` stands, if nothing but `SETTINGS` follows it."""
    for at in range(len(found) - 2, 0, -1):
        token, name = found[at], found[at + 1]
        if token.word == "FORMAT" and not token.depth and name.word:
            rest = found[at + 2 :]
            if rest and rest[0].word != "SETTINGS":
                return None, None
            return token.start, sql[name.start : name.end].decode("latin-1")
    return None, None
