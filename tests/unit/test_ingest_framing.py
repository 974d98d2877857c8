import gzip
import io
import json
import random

import pytest

from flagmart.ingest import framing, sources
from flagmart.ingest.framing import CUT_OFF, STRAY, TOO_LARGE, UNCLOSED, Fragment, Splitter, lines
from flagmart.ingest.sources import Stream


def stream(content: bytes) -> Stream:
    return Stream(io.BytesIO(content), "x")


def split(content: bytes) -> list[Fragment]:
    return list(Splitter(stream(content)))


def values(fragments: list[Fragment]) -> list[object]:
    """What the readable fragments hold, and the line of each other one."""
    result: list[object] = []
    for line, raw, fault in fragments:
        try:
            result.append(json.loads(raw) if fault is None else line)
        except ValueError:
            result.append(line)
    return result


DOCUMENTS: list[dict[str, object]] = [
    {"a": 1, "nested": {"deep": [1, {"x": "}"}, [{"y": "{"}]]}},
    {"text": 'quote " backslash \\ bracket ] [ newline \n end'},
    {"list": [{"name": "age", "value": "16"}, {"name": "b", "value": "\\"}]},
    {},
]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
def test_arrays_and_documents_come_apart_wherever_a_block_ends(
    monkeypatch: pytest.MonkeyPatch, block: int, indent: int | str | None
) -> None:
    monkeypatch.setattr(sources, "BLOCK", block)
    array = json.dumps(DOCUMENTS, indent=indent).encode()
    documents = b"\r\n".join(json.dumps(d, indent=indent).encode() for d in DOCUMENTS)
    mongoexport = b"[" + b",\n".join(json.dumps(d).encode() for d in DOCUMENTS) + b"]\n"
    for content in (array, documents, mongoexport):
        assert values(split(content)) == DOCUMENTS


def test_a_byte_order_mark_is_no_content() -> None:
    assert values(split(b'\xef\xbb\xbf[{"a": 1}]')) == [{"a": 1}]
    assert [raw for _, raw, _ in lines(stream(b"\xef\xbb\xbfone"))] == [b"one"]


def test_random_values_come_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)

    def value(depth: int) -> object:
        kind = chance.randrange(6 if depth else 3)
        if kind < 3:
            return [chance.choice(['"', "{", "}", "[", "]", "\\", "\n", "é", ","]) * 3, 1.5, None][
                kind
            ]
        if kind < 5:
            return {f"k{i}": value(depth - 1) for i in range(chance.randrange(4))}
        return [value(depth - 1) for _ in range(chance.randrange(4))]

    for _ in range(300):
        monkeypatch.setattr(sources, "BLOCK", chance.randrange(1, 40))
        objects = [{"v": value(4)} for _ in range(chance.randrange(1, 5))]
        content = json.dumps(objects, indent=chance.choice([None, 1, 4])).encode()
        assert values(split(content)) == objects


def test_lines_are_counted_from_one() -> None:
    content = b'[\n {"a":\n 1},\n\n {"b": 2}, {"c": 3}\n]'
    assert [line for line, _, _ in split(content)] == [2, 5, 5]


PRETTY = [json.dumps({"n": n, "in": {"k": [{"v": n}]}}, indent=2) for n in range(4)]


@pytest.mark.parametrize(
    "broken",
    [
        '{\n  "n": 1,\n  "in": {\n    "k": "v\n  }\n}',  # a lost quote
        '{\n  "n": 1,\n  "in": {\n    "k": 1\n  }',  # a lost closing brace
        '{\n  "n": 1,\n  "in": {\n    "k": [{"v": 1}\n  }\n}',  # a lost closing bracket
        '{\n  "n": 1,,\n}',
        '{\n  "n": tru\n}',
        "{",
    ],
)
@pytest.mark.parametrize("separator", ["\n", ",\n"])
def test_a_broken_element_harms_no_other(broken: str, separator: str) -> None:
    elements = [PRETTY[0], broken, PRETTY[2], PRETTY[3]]
    content = separator.join(elements)
    if separator == ",\n":
        content = f"[\n{content}\n]"
    whole = [json.loads(PRETTY[n]) for n in (0, 2, 3)]
    found = values(split(content.encode()))
    line = PRETTY[0].count("\n") + (2 if separator == "\n" else 3)
    assert found == [whole[0], line, whole[1], whole[2]]


def test_the_last_element_may_be_cut_off() -> None:
    content = (PRETTY[0] + "\n" + PRETTY[1][:-5]).encode()
    assert values(split(content)) == [json.loads(PRETTY[0]), PRETTY[0].count("\n") + 2]


def test_what_stands_between_elements_is_told_once_each() -> None:
    content = b'{"a": 1}} {"b": 2}\nlog line {"c": 3}, 17, "x{", {"d": 4}'
    found = split(content)
    assert [json.loads(raw) for _, raw, fault in found if fault is None] == [
        {"a": 1},
        {"b": 2},
        {"c": 3},
        {"d": 4},
    ]
    assert [(line, raw) for line, raw, fault in found if fault == STRAY] == [
        (1, b"}"),
        (2, b"log line"),
        (2, b"17"),
        (2, b'"x{"'),
    ]


@pytest.mark.parametrize("before", [b"[\n", b""])
def test_an_element_too_large_is_left_out_and_the_next_is_read(
    monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    monkeypatch.setattr(sources, "BLOCK", 64)
    monkeypatch.setattr(framing, "LARGEST", 1_000)
    monkeypatch.setattr(framing, "KEPT", 10)
    large = json.dumps({"k": ["x" * 50] * 100}).encode()
    long_text = json.dumps({"k": "x" * 5_000}).encode()
    content = before + b'{"a": 1},\n' + large + b",\n" + long_text + b',\n{"b": 2}\n'
    found = split(content)
    if before:
        found, unclosed = found[:-1], found[-1]
        assert unclosed[2] == UNCLOSED
        assert split(content + b"]") == found
    first = before.count(b"\n") + 1
    assert [(line, fault) for line, _, fault in found] == [
        (first, None),
        (first + 1, TOO_LARGE),
        (first + 2, TOO_LARGE),
        (first + 3, None),
    ]
    assert all(len(raw) <= 10 for _, raw, _ in found)


def test_lines_keep_their_numbers_over_blank_and_large_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "BLOCK", 8)
    monkeypatch.setattr(framing, "LARGEST", 20)
    content = b"one\r\n\n  \nfour\n" + b"5" * 100 + b"\nsix\n\nlast"
    found = list(lines(stream(content)))
    assert [(line, fault) for line, _, fault in found] == [
        (1, None),
        (4, None),
        (5, TOO_LARGE),
        (6, None),
        (8, None),
    ]
    assert found[-1][1] == b"last"


@pytest.mark.parametrize("cut", [3, 40])
def test_cut_off_gzip_gives_what_stands_before(cut: int) -> None:
    content = b"".join(
        b'{"n": %d, "x": "%d"}\n' % (n, random.Random(n).getrandbits(200)) for n in range(500)
    )
    whole = gzip.compress(content)
    damaged = stream(whole[:-cut])
    found = list(lines(damaged))
    assert damaged.damage
    complete = [raw for _, raw, fault in found if fault is None]
    assert b"\n".join(complete) == content[: len(b"\n".join(complete))]
    assert len(complete) > 100
    assert [fault for _, _, fault in found if fault] in ([], [CUT_OFF])


def test_gzip_may_have_several_members() -> None:
    content = gzip.compress(b"one\n") + gzip.compress(b"two\n")
    assert [raw for _, raw, _ in lines(stream(content))] == [b"one", b"two"]
