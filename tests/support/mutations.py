r"""Real records, spoilt: what FeatBit's versions write, with faults put in by chance from a seed.

Record `index` of a seed is always the same, and needs no other record to be made: first come the
`CORNERS`, one fault each, in every field that matters, then records with one to four faults.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from support.oracle import EARLIEST, EPOCH, LEAD, Envelope

SAMPLES = Path(__file__).parents[1] / "data" / "featbit"

Members = list[tuple[str, str]]
"""The members of an object: key and value as JSON text, so that what is no JSON can stand there."""

NUMBERS = (
    *("0", "-0", "0.0", "-0.0", "0e5", "1.0", "1.50", "1e2", "1E+20", "1e15", "1e16", "1e17"),
    *("1e20", "1e21", "123456789012345680000.0", "123456789012345678.0", "100000000000000000.5"),
    *("0.10000000149011612", "0.30000000000000004", "0.1234567890123456789", "1.2345678901234567"),
    *("0.0001", "0.00001", "0.000001", "1e-5", "1e-7", "1.5e-7", "123.456e-10", "2.5e15"),
    *("9007199254740991", "9007199254740993", "9007199254740993.0", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "12345678901234567890123"),
    *("1e308", "1.7976931348623157e308", "1.7976931348623159e308", "1e309", "1e999", "-1e999"),
    *("1e99999999999999999999", "1e-99999999999999999999", "5e-324", "2e-324", "1e-400", "-1e-400"),
    *("2.2250738585072011e-308", "2.2250738585072014e-308", "4.35", "0.1", "16777216", "1e23"),
    *("8.41e21", "9.5e-5", "1" + "0" * 399, "1" * 400 + ".5", "0." + "0" * 399 + "1e400"),
    *("-1.5", "5e0", "100", "7.038531e-26", "179769313486231580793e289", "0." + "123456789" * 9),
)
NO_NUMBERS = (
    *("+1", ".5", "1.", "01", "-01", "00", "0x10", "-", "1e", "1e+", "1.e5", "--1", "1_000", "1,5"),
    *("NaN", "nan", "-nan", "Infinity", "-Infinity", "inf", "-INF", "iNfInItY", "nanx", "infinit"),
    *("TRUE", "True", "Null", "undefined", "None", "'x'", "x", "", "1 2", "1x", "truex", "@"),
    *("1/*c*/", "1//c\n", "#1", "\u00a01", "\u20031", "\u00851", "\x0c1", "\x0b1", "\ufeff1"),
)
STRINGS = (
    *('""', '" "', '"x"', '"true"', '"FALSE"', '"null"', '"NaN"', '"Infinity"', '"1.5"', '"1,5"'),
    *(
        '"1E+20"',
        '" 1"',
        '"1 "',
        '"1\\n"',
        '"0x10"',
        '"+1"',
        '"1e999"',
        '"1e-400"',
        '"007"',
        '"1."',
    ),
    *(r'"a\u0000b"', r'"\ud800"', r'"\udc00"', r'"\ud800\ud800"', r'"\ud800\ud83d\ude80"'),
    *(r'"\udc00\ud800"', r'"\ud83d\ude80"', r'"\\ud800"', r'"\\\ud800"', r'"\x"', r'"\a"', r'"\0"'),
    *(r'"\u12"', r'"\u12G4"', r'"\U0041"', r'"\'"', r'"\""', r'"\\"', r'"\/"', r'"\b\f\n\r\t"'),
    *(r'"\u2028\u2029\u0085\u00a0"', '"\u2028\u2029\u0085\u00a0"', '"\ufeff\ufffe\uffff"'),
    *(
        '"a\nb"',
        '"a\tb"',
        '"a\x01b"',
        '"a\x1fb"',
        '"a\x7fb"',
        '"a\x00b"',
        '"a\\\nb"',
        '"abc',
        'abc"',
    ),
    *(
        '"\U0001f680 Zoë"',
        '"a,}"',
        '"a , ]"',
        '":NaN,"',
        '"[[[{{{"',
        '"{"',
        '"["',
        '"[1,]"',
        '"%s"',
    ),
    *(
        '"{\\"keyId\\":\\"s\\"}"',
        '"{\\"keyId\\":1,}"',
        '"{\\"keyId\\":1e999}"',
        '"{}"',
        '"$1\\\\1"',
    ),
    *('"e\u0301"', '"\u202eabc"', '"\\u007f\\u0080\\u001f"', '"' + "k" * 600 + '"', '"é' * 1 + '"'),
)
CONTAINERS = (
    *("{}", "[]", "{ }", "[ ]", "[null]", '{"keyId":1}', '{"keyId":null,"name":null}', "[[],[]]"),
    *('{"keyId":"a","keyId":"b"}', '{"keyId":"a","KeyId":"b"}', '{"KeyId":"a","keyId":null}'),
    *('{"\\u006beyId":"a"}', '{"KeyId":true,"Name":17}', '{"keyId":{"x":1}}', '{"keyId":[1]}'),
    *('{"keyId":1.0}', '{"keyId":1e20}', '{"keyId":1e-7}', '{"name":1E+2,"keyId":-0.0}'),
    *(
        '{"keyId":1e999}',
        '{"keyId":NaN}',
        '{"keyId":"a",}',
        '{"keyId":"a" , }',
        '{"keyId":"\\ud800"}',
    ),
    *(
        '{"keyId":18446744073709551616}',
        '{"keyId":"a\\u2028b\\u0001\\"\\\\\\/"}',
        '{"":1,"keyId":"a"}',
    ),
    *(
        '{"x" : [ 1 , 2 ] ,\n"keyId"\t:\r"a"}',
        '{"x":{"keyId":"deep"}}',
        '{"KEYID":"a"}',
        '{"Name":"n"}',
    ),
    *("[1.0,1e2,-0,-0.0,1E+20,1e-7]", "[18446744073709551616]", "[1,]", "[,1]", "[1,,2]", "[1 2]"),
    *(
        "[NaN]",
        "[-inf]",
        "[1e999]",
        '["\\u2028\\u0041\\/\\u001f"]',
        "{,}",
        '{"x"}',
        '{"x":}',
        "{x:1}",
    ),
    *("{'x':1}", "{1:2}", '{"x"::1}', '{"x":1 "y":2}', "[}", "{]", "[", "{", "]", "}", '["x"'),
    *(
        '{"CustomizedProperties":[{"Name":"Name","Value":"KeyId"}],"KeyId":"a"}',
        '{"a.b":1,"a[0]":2}',
    ),
)
VALUES = (*NUMBERS, *NO_NUMBERS, *STRINGS, *CONTAINERS, "true", "false", "null")
WHOLE = (
    *("", " ", "\n", "null", "true", "[]", '""', "0", "NaN", "{", "}", "{}", " {} ", "{ }", "[{}]"),
    *('{"', '{"a', '{"a"', '{"a":', '{"a":1', '{"a":1,', "{,}", "{}{}", "{}x", "{},", "\ufeff{}"),
    *(
        "\u00a0{}",
        "{}\u00a0",
        "\x0c{}",
        "{}\x00",
        "\x00{}",
        "/**/{}",
        "{}//",
        '"{}"',
        "'{}'",
        "undefined",
    ),
)
INSERTED = (
    *(
        ",",
        ":",
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        "'",
        "/",
        "-",
        "+",
        ".",
        "e",
        "0",
        "1",
        " ",
        "\t",
        "\n",
    ),
    *("\r", "\x00", "\x01", "\x0b", "\x0c", "\x1f", "\x7f", "\u0085", "\u00a0", "\u2028", "\ufeff"),
    *(
        "null",
        "NaN",
        "\\u0000",
        "\\ud800",
        "\\udc00",
        "//",
        "/**/",
        "é",
        "\U0001f680",
        ",}",
        "\\\\",
    ),
)
BLANKS = ("", " ", "\t", "\n", "\r\n", "  ")
DEPTHS = (1, 2, 3, 10, 100, 333, 500, 600)
DEEP = (998, 999, 1000, 1001, 1022, 1023, 1024, 1100, 5_000)
HEAVY_EVERY = 5_000
"""One record of so many is a megabyte long, or 100,000 objects deep."""

FLAG_FIELDS = (
    *("flagId", "featureFlagKey", "userKeyId", "userName", "variationId", "sendToExperiment"),
    *("tag_0", "tag_1", "tag_2", "variationValue", "route", "unread"),
)
METRIC_FIELDS = ("eventName", "numericValue", "user", "applicationType", "tag_0", "tag_1", "unread")


@dataclass(frozen=True)
class Base:
    """A record before it is spoilt."""

    envelope: Envelope
    members: tuple[tuple[str, str], ...]


def _members(text: str) -> Members:
    pairs: list[tuple[str, object]] = json.loads(text, object_pairs_hook=list)
    return [(json.dumps(key), _dumped(value)) for key, value in pairs]


def _dumped(value: object) -> str:
    """JSON of what `object_pairs_hook=list` made: an object is a list of pairs there."""
    if isinstance(value, list):
        if value and all(isinstance(pair, tuple) for pair in value):
            return "{" + ",".join(f"{json.dumps(k)}:{_dumped(v)}" for k, v in value) + "}"
        return "[" + ",".join(map(_dumped, value)) + "]"
    return json.dumps(value)


def _text(members: Members) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in members) + "}"


def _base(envelope: Envelope) -> Base:
    return Base(envelope, tuple(_members(envelope.properties)))


def _of_line(line: bytes) -> Envelope:
    """A Kafka message."""
    event = json.loads(line)
    env_id, kind, distinct_id = (
        event.get(name) or "" for name in ("env_id", "event", "distinct_id")
    )
    moment = EPOCH + timedelta(microseconds=event["timestamp"])
    return Envelope(env_id, kind, distinct_id, event["properties"], moment)


def _of_document(name: str) -> Envelope:
    """A sample that one store keeps as one JSON document."""
    event = json.loads((SAMPLES / name).read_bytes())
    moment = event["timestamp"]
    moment = datetime.fromisoformat(moment["$date"] if "$date" in moment else moment + "Z")
    properties = json.dumps(event["properties"])
    return Envelope(event["env_id"], event["event"], event["distinct_id"], properties, moment)


def _without(base: Base, *names: str) -> Members:
    return [(key, value) for key, value in base.members if key[1:-1] not in names]


@cache
def samples() -> tuple[Base, ...]:
    """The records of every shape that FeatBit's versions wrote."""
    moment = datetime(2023, 12, 12, 7, 42, 13, 320_000, UTC)
    flag, metric, *of_v6 = (
        _base(replace(_of_line(line), occurred_at=moment))
        for name in ("kafka_featbit-insights.jsonl", "kafka_v6.jsonl")
        for line in (SAMPLES / name).read_bytes().splitlines()
    )
    tags = ("tag_0", "tag_1", "tag_2", "tag_3")
    older_user = (
        '{"Id":"i","KeyId":"tester-id-6973","Name":"tester-6973",'
        '"CustomizedProperties":[{"Name":"age","Value":"16"}]}'
    )
    flag_text, metric_text = (
        (SAMPLES / f"das_fake_{kind}_event.json").read_text("utf-8") for kind in ("flag", "metric")
    )
    shapes = (
        # until 12 November 2022: no name of the user; tag_2 and a metric's tag_1 bare until January
        (flag, [*_without(flag, "tag_2", "tag_3"), ('"tag_2"', "true")]),
        (
            metric,
            [
                *_without(metric, "user", "tag_1", "tag_2"),
                ('"user"', older_user),
                ('"tag_1"', "1.5"),
            ],
        ),
        (flag, [*_without(flag, "tag_2", "tag_3"), ('"tag_2"', '"false"'), ('"tag_3"', "null")]),
        # until June 2023
        (metric, [*_without(metric, "user"), ('"user"', older_user)]),
        # a draft of v6 that has the user's key at the top
        (metric, [*_without(metric, "user", *tags), ('"userKeyId"', '"tester-id-6973"')]),
    )
    return (
        *(flag, metric, *of_v6),
        _base(Envelope("103", "FlagValue", "FF__38__48__103__PayButton", flag_text, moment)),
        _base(Envelope("103", "CustomEvent", "ButtonPayTrack", metric_text, moment)),
        _base(_of_document("mongodb_Events_flagvalue.json")),
        _base(_of_document("postgres_events_flagvalue_row.json")),
        *(replace(base, members=tuple(members)) for base, members in shapes),
    )


def from_lines(lines: list[bytes]) -> tuple[Base, ...]:
    """The records of `flagmart generate` whose properties are whole."""
    found = []
    for line in lines:
        try:
            found.append(_base(_of_line(line)))
        except ValueError:
            continue
    return tuple(found)


@dataclass(frozen=True)
class Mutations:
    """The records of a seed.

    Args:
        seed: Any number.
        bases: What is spoilt.
        ingested_at: When the records will have landed, for clocks at the edge of what is allowed.
    """

    seed: int
    bases: tuple[Base, ...]
    ingested_at: datetime

    def record(self, index: int) -> Envelope:
        """Record `index`, from 0."""
        corners = _corners()
        if index < len(corners):
            return corners[index]
        rng = random.Random(f"{self.seed} {index}")
        base = rng.choice(self.bases)
        if index % HEAVY_EVERY == 0:
            return replace(base.envelope, properties=_heavy(rng, base))
        members, envelope = list(base.members), base.envelope
        for fault in rng.choices(_FAULTS, k=rng.choice((1, 1, 1, 2, 2, 3, 4))):
            fault(rng, members)
        text = _text(members)
        if rng.random() < 0.5:
            text = rng.choice(_TEXT_FAULTS)(rng, text)
        if rng.random() < 0.25:
            envelope = self._other_envelope(rng, envelope)
        return replace(envelope, properties=text)

    def _other_envelope(self, rng: random.Random, envelope: Envelope) -> Envelope:
        step = timedelta(microseconds=1)
        latest = self.ingested_at + LEAD
        moments = (
            *(None, EPOCH, EPOCH - step, EARLIEST, EARLIEST - step, latest, latest + step),
            *(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2299, 12, 31, tzinfo=UTC)),
            *(datetime(2150, 1, 1, tzinfo=UTC), datetime(2106, 2, 8, tzinfo=UTC)),
            *(datetime(1, 1, 1, tzinfo=UTC), datetime(1899, 12, 31, tzinfo=UTC)),
        )
        match rng.randrange(4):
            case 0:
                return replace(envelope, env_id=rng.choice(("", " ", "e", envelope.env_id + "-")))
            case 1:
                kinds = ("", "PageView", "Click", "CustomEvent", "FlagValue", "flagvalue", "Other")
                return replace(envelope, event=rng.choice(kinds))
            case 2:
                env = envelope.env_id
                texts = ("", "x", env, env + "-", env + "--a-b", env.upper() + "-x", "Zoë\u0000")
                return replace(envelope, distinct_id=rng.choice(texts))
            case _:
                return replace(envelope, occurred_at=rng.choice(moments))


@cache
def _corners() -> tuple[Envelope, ...]:
    """Each value once in each field that is read, and everything that is but once."""
    flag, metric = samples()[0], samples()[1]
    found = []
    for base, fields in ((flag, FLAG_FIELDS), (metric, METRIC_FIELDS)):
        for value in VALUES:
            for name in fields:
                key = f'"{name}"'
                found.append(_spoilt(base, _text([*_without(base, name), (key, value)])))
        found.extend(_spoilt(base, text) for text in WHOLE)
        whole = _text(list(base.members))
        for blank in (" ", "\t\r\n", "\ufeff", "\u00a0", "\x0c", "\x00", "x", ",", "{}", "//x"):
            found.extend((_spoilt(base, blank + whole), _spoilt(base, whole + blank)))
        found.extend(_spoilt(base, whole[:place]) for place in range(len(whole)))
        for name in ("user", "tag_1", "unread"):
            found.extend(
                _spoilt(base, _text([*_without(base, name), (f'"{name}"', nested)]))
                for depth in DEEP
                for nested in _nestings(depth)
            )
    return tuple(found)


def _spoilt(base: Base, text: str) -> Envelope:
    return replace(base.envelope, properties=text)


def _nestings(depth: int) -> Iterator[str]:
    yield "[" * depth + "]" * depth
    yield '{"keyId":' * depth + "1" + "}" * depth
    yield "[" + ",".join(["[]"] * (depth - 1)) + "]"
    yield '"' + "[{" * depth + '"'
    yield "[" * depth


def _heavy(rng: random.Random, base: Base) -> str:
    name = rng.choice(FLAG_FIELDS + METRIC_FIELDS)
    depth = 100_000
    value = rng.choice(
        (
            '"' + "é" * 500_000 + '"',
            '"' + "\\u00e9" * 150_000 + '"',
            "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
            "[" * depth,
            "1" * 1_000_000,
            "[" + "1," * 400_000 + "1]",
        )
    )
    return _text([*_without(base, name), (f'"{name}"', value)])


def _drop(rng: random.Random, members: Members) -> None:
    if members:
        members.pop(rng.randrange(len(members)))


def _place(rng: random.Random, members: Members) -> int:
    if not members:
        members.append(('"x"', "1"))
    return rng.randrange(len(members))


def _retype(rng: random.Random, members: Members) -> None:
    place = _place(rng, members)
    members[place] = (members[place][0], rng.choice(VALUES))


def _quote(rng: random.Random, members: Members) -> None:
    place = _place(rng, members)
    key, value = members[place]
    try:
        bare = json.loads(value)
    except (ValueError, RecursionError):
        return
    if not isinstance(bare, str):
        members[place] = (key, json.dumps(value))
    elif bare.isprintable():  # half a surrogate pair cannot stand in a text outside of an escape
        members[place] = (key, bare)


def _nest(rng: random.Random, members: Members) -> None:
    place = _place(rng, members)
    key, value = members[place]
    depth = rng.choice(DEPTHS if rng.random() < 0.95 else DEEP)
    opening, closing = rng.choice(
        (("[", "]"), ('{"x":', "}"), ('{"keyId":', "}"), ('[1,{"":', "}]"))
    )
    members[place] = (key, opening * depth + value + closing * depth)


def _repeat(rng: random.Random, members: Members) -> None:
    place = _place(rng, members)
    key, value = members[place]
    other = rng.choice((value, "null", rng.choice(VALUES), '"other"'))
    again = rng.choice((key, key, _escaped(rng, key)))
    members.insert(rng.randrange(len(members) + 1), (again, other))


def _rename(rng: random.Random, members: Members) -> None:
    place = _place(rng, members)
    key, value = members[place]
    names = (
        *(key.upper(), key.lower(), key.title(), _escaped(rng, key), '""', '"a.b"', '"a[0]"'),
        *(key[:-1] + '\u00a0"', key[:-1] + '\\u0000"', '" ' + key[1:], "'" + key[1:-1] + "'"),
        *(key[1:-1], '"$"', '"\\ud800"', '"\\x"', key + " ", "\n" + key, "1", "null"),
    )
    members[place] = (rng.choice(names), value)


def _escaped(rng: random.Random, quoted: str) -> str:
    """The same JSON string with some of its plain characters as escapes."""
    share = rng.choice((0.1, 1.0))
    return (
        '"'
        + "".join(
            f"\\u{ord(c):04{rng.choice('xX')}}"
            if c.isascii() and c.isalnum() and rng.random() < share
            else c
            for c in quoted[1:-1].replace("\\", "")
        )
        + '"'
    )


def _escape(rng: random.Random, members: Members) -> None:
    place = _place(rng, members)
    key, value = members[place]
    if value.startswith('"') and "\\" not in value:
        members[place] = (key, _escaped(rng, value))


def _spoil_user(rng: random.Random, members: Members) -> None:
    for place, (key, value) in enumerate(members):
        if key == '"user"':
            try:
                user = _members(value)
            except (ValueError, TypeError, RecursionError):
                return
            rng.choice((_drop, _retype, _quote, _repeat, _rename, _escape, _nest))(rng, user)
            members[place] = (key, _text(user))


def _add(rng: random.Random, members: Members) -> None:
    keys = ('"unread"', '"user"', '"variationValue"', '"userKeyId"', '"tag_3"', '"numericValue"')
    members.insert(rng.randrange(len(members) + 1), (rng.choice(keys), rng.choice(VALUES)))


def _shuffle(rng: random.Random, members: Members) -> None:
    rng.shuffle(members)


_FAULTS: tuple[Callable[[random.Random, Members], None], ...] = (
    *(_drop, _retype, _retype, _quote, _nest, _repeat, _rename, _escape, _spoil_user, _add),
    _shuffle,
)


def _truncate(rng: random.Random, text: str) -> str:
    cut = text.encode()[: rng.randrange(len(text.encode()) + 1)]
    return cut.decode(errors="ignore")


def _insert(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(INSERTED) + text[place:]


def _cut_out(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + text[place + rng.choice((1, 1, 2, 5, 50)) :]


def _double(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + text[place : place + rng.choice((1, 2, 20))] + text[place:]


def _trailing_comma(rng: random.Random, text: str) -> str:
    return text[:-1] + rng.choice((",", " , ", ",,")) + text[-1:]


def _around(rng: random.Random, text: str) -> str:
    before = rng.choice((*BLANKS, "\ufeff", "\u00a0", "\x0c", "\x00", "x", ","))
    behind = rng.choice((*BLANKS, "\ufeff", "\u00a0", "\x0c", "\x00", "x", ",", "}", "{}", "//c"))
    return before + text + behind


def _spread(rng: random.Random, text: str) -> str:
    """Blanks around every mark, those in strings included."""
    blank = rng.choice((*BLANKS, *BLANKS, "\u00a0", "\x0b"))
    for mark in "{}[]:,":
        text = text.replace(mark, blank + mark + blank)
    return text


def _other_quotes(rng: random.Random, text: str) -> str:
    return text.replace('"', rng.choice(("'", "`", "\u201c", '\\"')))


_TEXT_FAULTS: tuple[Callable[[random.Random, str], str], ...] = (
    *(_truncate, _insert, _insert, _cut_out, _double, _trailing_comma, _around, _spread),
    _other_quotes,
)
