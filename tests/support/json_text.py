"""JSON as the models read it, in plain Python: the rule that both engines keep.

A text is accepted where it is one object by RFC 8259 with blanks around it, and beyond that

- a comma may stand before a closing bracket, and NaN, inf and infinity, in any case and with a
  minus, may stand for a value: DuckDB takes both;
- a `\\u` escape of half a surrogate pair makes the text invalid, as both engines have it;
- more than `MOST_CONTAINERS` objects and arrays make the text invalid.

Of two equal keys the first counts, whatever it holds.
"""

import json
import math
import re
from collections.abc import Iterator
from enum import Enum, auto

MOST_CONTAINERS = 1_000

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+)
    | (?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*")
    | (?P<word>(?:true|false|null)|-?(?i:nan|infinity|inf))
    | (?P<number>-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?)
    | (?P<mark>[]{}[:,])
    """,
    re.VERBOSE,
)
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class _Await(Enum):
    VALUE = auto()
    ITEM = auto()
    """A value of an array, or its end."""
    KEY = auto()
    """A key of an object, or its end."""
    COLON = auto()
    END = auto()
    """A comma or a closing bracket."""


class InvalidError(ValueError):
    """The text is no JSON by the rule above."""


def members(text: str) -> dict[str, str | None] | None:
    """The members of the object that `text` is, as the models read them; None where it is none.

    A string gives its characters, null gives None, a number with a point or an exponent the fewest
    digits that say it; true, false and whole numbers stand as written. A container gives its
    members without blanks: see `same`.
    """
    if not text.lstrip(" \t\r\n").startswith("{"):
        return None
    try:
        return _read(text)
    except InvalidError:
        return None


def same(one: object, other: object) -> bool:
    """Whether two engines read a field alike.

    The text of a container, which FeatBit never writes where the models expect text, may be spelled
    as the engine does: 1.0, 1 or "1.0", -0.0 or 0, a line separator bare or as an escape.
    """
    if one == other:
        return True
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    if one[:1] not in ("[", "{") or one[:1] != other[:1]:
        return False
    try:
        return [*map(_meant, *zip(*_tokens(one), strict=True))] == [
            *map(_meant, *zip(*_tokens(other), strict=True))
        ]
    except InvalidError:
        return False


def _meant(kind: str, token: str) -> object:
    text = _characters(token) if kind == "string" else token
    try:
        return repr(float(text) + 0.0)  # as text, for NaN equals nothing; and -0.0 is 0.0
    except ValueError:
        return text


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise InvalidError(place)
        place = found.end()
        if found.lastgroup != "blank":
            yield str(found.lastgroup), found.group()


def _read(text: str) -> dict[str, str | None]:
    read: dict[str, str | None] = {}
    open_: list[str] = []  # the brackets that are still to close
    containers = 0
    awaited = _Await.VALUE
    key = ""
    nested: list[str] = []  # the parts of the member of the outermost object that is being read

    def keep(value: str | None) -> None:
        read.setdefault(key, value)
        nested.clear()

    for kind, token in _tokens(text):
        if awaited is _Await.COLON:
            if token != ":":
                raise InvalidError(token)
            awaited = _Await.VALUE
            if len(open_) > 1:
                nested.append(":")
        elif kind == "mark" and token in "]}":
            if awaited in (_Await.VALUE, _Await.COLON):
                raise InvalidError(token)
            if not open_ or open_.pop() != token:
                raise InvalidError(token)
            if nested[-1:] == [","]:
                nested.pop()
            awaited = _Await.END
            if open_:
                nested.append(token)
                if len(open_) == 1:
                    keep("".join(nested))
        elif kind == "mark" and token == ",":
            if awaited is not _Await.END or not open_:
                raise InvalidError(token)
            awaited = _Await.KEY if open_[-1] == "}" else _Await.ITEM
            if len(open_) > 1:
                nested.append(",")
        elif awaited is _Await.KEY:
            if kind != "string":
                raise InvalidError(token)
            awaited = _Await.COLON
            if len(open_) == 1:
                key = _characters(token)
            else:
                nested.append(_string(_characters(token)))
        elif awaited not in (_Await.VALUE, _Await.ITEM):
            raise InvalidError(token)
        elif kind == "mark":
            if token not in "[{":
                raise InvalidError(token)
            containers += 1
            if containers > MOST_CONTAINERS:
                raise InvalidError(token)
            if open_:
                nested.append(token)
            open_.append("}" if token == "{" else "]")
            awaited = _Await.KEY if token == "{" else _Await.ITEM
        else:
            awaited = _Await.END
            value = _scalar(kind, token)
            if len(open_) == 1:
                keep(value)
            elif open_:
                nested.append(_nested_scalar(kind, token, value))
    if open_ or awaited is not _Await.END:
        raise InvalidError("cut short")
    return read


def _characters(token: str) -> str:
    text = str(json.loads(token))
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidError(token)
    return text


def _string(text: str) -> str:
    def escape(found: re.Match[str]) -> str:
        return _SHORT.get(found.group()) or f"\\u{ord(found.group()):04X}"

    return '"' + _ESCAPED.sub(escape, text) + '"'


def _scalar(kind: str, token: str) -> str | None:
    if kind == "string":
        return _characters(token)
    if kind == "word":
        return None if token == "null" else token
    if not re.search("[.eE]", token):
        return "0" if token == "-0" else token
    number = float(token)
    return token if math.isinf(number) else repr(number)


def _nested_scalar(kind: str, token: str, value: str | None) -> str:
    if kind == "string":
        return _string(value or "")
    return value or "null"
