r"""Where one record ends and the next begins, without reading what is in it.

Each framer yields `(line, raw, fault)`: the line a record begins on, its bytes, and why it cannot
be read where the framer already knows (its bytes are then cut to `KEPT`). Damage stays local: a
broken record takes no other with it, and memory holds one record of at most `LARGEST` bytes and a
block.
"""

import re
from collections.abc import Iterator

from flagmart.ingest.sources import Stream

LARGEST = 16 << 20
"""Bytes of the largest record read: MongoDB keeps no larger document, Kafka's default is 1 MB."""
KEPT = 64 << 10
"""Bytes kept of a record that is larger."""

TOO_LARGE = "larger than 16 MB"
CUT_OFF = "cut off where the file is damaged"
STRAY = "not a JSON object"
UNCLOSED = "the array ends before its closing bracket"

Fragment = tuple[int, bytes, str | None]


def lines(stream: Stream) -> Iterator[Fragment]:
    """Each line that is not blank, without its end."""
    number = 1
    rest = b""
    skipping = False
    for block in stream.blocks():
        if skipping:
            end = block.find(b"\n")
            if end < 0:
                continue
            rest, skipping = b"", False
            number += 1
            block = block[end + 1 :]
        parts = (rest + block).split(b"\n")
        rest = parts.pop()
        for part in parts:
            if part and not part.isspace():
                yield number, part, None
            number += 1
        if len(rest) > LARGEST:
            yield number, rest[:KEPT], TOO_LARGE
            skipping = True
    if not skipping and rest and not rest.isspace():
        yield number, rest, CUT_OFF if stream.damage else None


# Everything up to the next bracket that is not inside a string. A line's end ends a string, too:
# JSON has no raw line ends in strings, so a lost quote cannot swallow more than its line.
_FLAT = rb'[^"{}\[\]]*'
_STRING = rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?:"|(?=\n))'
_TO_BRACKET = re.compile(_FLAT + rb"(?:" + _STRING + _FLAT + rb")*")
_BETWEEN = re.compile(rb"[\s,\[\]]*")
# what stands between two elements and belongs to none, up to where another may begin
_STRAY = re.compile(rb'(?:"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?|[^{\n,\[\]"])+')
_CLOSES = {ord("}"): "{", ord("]"): "["}
_BRACE = ord("{")
_QUOTE = ord('"')
_BEHIND = 256


class Splitter:
    """Cuts a JSON array, or JSON objects that follow each other, into its objects.

    Counts brackets outside strings. Where a bracket is missing the count would run on to the end of
    the file; an object that opens where JSON allows none (inside an object, after anything but a
    colon), at a line's start as deep as the first element stood, is taken for the next element.
    What this does not catch is caught when the element grows over `LARGEST` or the file ends: it is
    cut before the next line that looks like the start of an element.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._blocks = stream.blocks()
        self._buffer = b""
        self._at = 0
        self._line = 1
        self._counted = 0
        self._ended = False
        self._indent: bytes | None = None
        self._first = True
        self._open_arrays = 0

    def __iter__(self) -> Iterator[Fragment]:
        """The elements in order."""
        while self._to_next():
            if self._buffer[self._at : self._at + 1] == b"{":
                yield self._element()
            else:
                yield self._stray()
        if self._open_arrays > 0 and not self._stream.damage:
            # cut between two elements: nothing that is there is lost, but something was to follow
            yield self._count_lines(), b"", UNCLOSED

    def _more(self) -> bool:
        """Append a block, dropping what lies before the current place."""
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            return False
        self._count_lines()
        # a little stays, to tell what stands before an opening brace
        keep = max(self._at - _BEHIND, 0)
        self._buffer = self._buffer[keep:] + block
        self._at -= keep
        self._counted = self._at
        return True

    def _count_lines(self) -> int:
        self._line += self._buffer.count(b"\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _to_next(self) -> bool:
        """Move over blanks, commas and the array's own brackets; False at the end."""
        while True:
            match = _BETWEEN.match(self._buffer, self._at)
            if match:
                self._open_arrays += match[0].count(b"[") - match[0].count(b"]")
                self._at = match.end()
            if self._at < len(self._buffer):
                return True
            if not self._more():
                return False

    def _stray(self) -> Fragment:
        while True:
            match = _STRAY.match(self._buffer, self._at)
            # a closing brace that closes nothing, or the like, stands alone
            end = match.end() if match else self._at + 1
            if end < len(self._buffer) or self._ended or end - self._at > LARGEST:
                break
            self._more()
        line = self._count_lines()
        raw = self._buffer[self._at : end]
        self._at = end
        return line, raw[:KEPT].rstrip(), STRAY

    def _element(self) -> Fragment:
        line = self._count_lines()
        if self._first:
            self._indent = self._indentation(self._at)
            self._first = False
        kept: bytes | None = None  # the beginning of an element too large to hold
        scan = self._at
        brackets: list[str] = []
        while True:
            match = _TO_BRACKET.match(self._buffer, scan)
            scan = match.end() if match else scan
            if scan >= len(self._buffer) or self._buffer[scan] == _QUOTE:
                # the end of what is read, maybe inside a string
                if len(self._buffer) - scan > LARGEST:
                    scan = len(self._buffer)
                if kept is None and scan - self._at > LARGEST:
                    if (again := self._next_opening()) is not None:
                        return self._cut(line, again, None)
                    kept = self._buffer[self._at : self._at + KEPT]
                if kept is not None:
                    self._at = scan
                ahead = scan - self._at
                if not self._more():
                    return self._give_up(line, kept)
                scan = self._at + ahead
                continue
            char = self._buffer[scan]
            if char in _CLOSES:
                if _CLOSES[char] in brackets:
                    while brackets.pop() != _CLOSES[char]:
                        pass
            elif char == _BRACE and brackets and self._begins_another(scan, brackets[-1]):
                return self._cut(line, scan, kept)
            else:
                brackets.append(chr(char))
            scan += 1
            if not brackets:
                return self._cut(line, scan, kept)

    def _cut(self, line: int, end: int, kept: bytes | None) -> Fragment:
        raw = self._buffer[self._at : end]
        self._at = end
        if kept is None and len(raw) > LARGEST:
            kept = raw[:KEPT]
        return (line, raw, None) if kept is None else (line, kept, TOO_LARGE)

    def _give_up(self, line: int, kept: bytes | None) -> Fragment:
        """The file ends inside an element: give up as little of it as the text lets us."""
        if kept is None and (again := self._next_opening()) is not None:
            return self._cut(line, again, None)
        fragment = self._cut(line, len(self._buffer), kept)
        return (line, fragment[1][:KEPT], CUT_OFF) if self._stream.damage else fragment

    def _next_opening(self) -> int | None:
        """Where, after the element at hand began, a line looks like the beginning of another."""
        found = self._buffer.find(b"\n" + (self._indent or b"") + b"{", self._at)
        return found + 1 if found >= 0 else None

    def _indentation(self, at: int) -> bytes | None:
        """The blanks before `at`, if nothing else stands before it on its line."""
        begin = self._buffer.rfind(b"\n", 0, at) + 1
        blanks = self._buffer[begin:at]
        return blanks if not blanks.strip() else None

    def _begins_another(self, at: int, inside: str) -> bool:
        """Whether a brace opens where the object or array it stands in allows none."""
        before = self._buffer[max(0, at - _BEHIND) : at].rstrip()[-1:]
        allowed = (b":",) if inside == "{" else (b"[", b",")
        if not before or before in allowed:
            return False
        return self._indent is None or self._indentation(at) == self._indent
