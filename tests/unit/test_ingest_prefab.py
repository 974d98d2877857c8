"""Prefab's telemetry: one counter is one row with one id, however it is spelled."""

import json
from collections import Counter
from typing import Any

import pytest
from google.protobuf import json_format

from flagmart.ingest.event import MALFORMED, NESTED, NOT_UTF8, NoEventError
from flagmart.ingest.prefab import (
    NO_INSTANCE,
    NO_MESSAGE,
    NO_TELEMETRY,
    UNKNOWN,
    Choice,
    counters,
    parse,
)
from flagmart.ingest.prefab_messages import TelemetryEvents
from flagmart.ingest.timestamps import OUT_OF_RANGE

ENV = Choice("production")
COUNTER: dict[str, Any] = {
    "count": "3",
    "configId": "17",
    "selectedIndex": 1,
    "selectedValue": {"bool": True},
    "configRowIndex": 0,
    "conditionalValueIndex": 2,
    "weightedValueIndex": 4,
    "reason": "UNKNOWN",
}
WINDOW: dict[str, Any] = {
    "start": "1767225600000",
    "end": "1767225660000",
    "summaries": [{"key": "f", "type": "FEATURE_FLAG", "counters": [COUNTER]}],
}


def sent(window: dict[str, Any], instance: str = "i") -> dict[str, Any]:
    return {"instanceHash": instance, "events": [{"summaries": window}]}


def counted(*found: dict[str, Any], **window: Any) -> dict[str, Any]:
    """A document with these counters in one summary."""
    summary = {"key": "f", "type": "FEATURE_FLAG", "counters": list(found)}
    return sent({**WINDOW, "summaries": [summary], **window})


def rows_of(document: object, choice: Choice = ENV) -> list[Any]:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return list(counters(parse(raw), 1, choice, Counter()))


def ids_of(document: object, choice: Choice = ENV) -> list[str]:
    return [row.id for row in rows_of(document, choice)]


ID = "a079dcf9-bb66-578e-a0bf-87d2bcacc8be"


def test_a_counter_is_one_row_whose_id_never_changes() -> None:
    (row,) = rows_of(sent(WINDOW))
    assert row.id == ID
    assert (row.key, row.start, row.line) == ("f", 1_767_225_600_000_000, 1)
    assert json.loads(row.properties) == {
        "instance": "i",
        "start": "1767225600000",
        "end": "1767225660000",
        "key": "f",
        "type": "FEATURE_FLAG",
        "count": "3",
        "configId": "17",
        "selectedIndex": "1",
        "selectedType": "bool",
        "selectedValue": "true",
        "configRowIndex": "0",
        "conditionalValueIndex": "2",
        "weightedValueIndex": "4",
        "reason": "0",
    }


SNAKE = {
    "instance_hash": "i",
    "events": [
        {
            "summaries": {
                "start": 1767225600000,
                "end": 1767225660000.0,
                "summaries": [
                    {
                        "key": "f",
                        "type": 2,
                        "counters": [
                            {
                                "count": 3,
                                "config_id": 17,
                                "selected_index": 1,
                                "selected_value": {"bool": True, "name": "on", "new": [{}]},
                                "config_row_index": "0",
                                "conditional_value_index": 2,
                                "weighted_value_index": 4,
                                "reason": 0,
                                "of_a_newer_release": {"x": 1},
                            }
                        ],
                    }
                ],
            }
        }
    ],
}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(SNAKE, id="names with underscores, numbers, unknown fields"),
        pytest.param({**sent(WINDOW), "instanceHash": "i"}, id="in an envelope"),
        pytest.param({"summaries": WINDOW}, id="a bare TelemetryEvent"),
        pytest.param(WINDOW, id="bare ConfigEvaluationSummaries"),
        pytest.param(json.dumps(sent(WINDOW), indent=2).encode(), id="pretty-printed"),
    ],
)
def test_every_shape_gives_the_same_row(document: object) -> None:
    assert ids_of(document, Choice("production", instance="i")) == [ID]


def test_a_binary_message_gives_the_same_row() -> None:
    message = json_format.ParseDict(sent(WINDOW), TelemetryEvents())
    read = TelemetryEvents.FromString(message.SerializeToString())
    assert [row.id for row in counters(read, 1, ENV, Counter())] == [ID]


def test_everything_that_tells_counters_apart_is_in_the_id() -> None:
    changes: list[dict[str, Any]] = [
        {"count": 4},
        {"configId": "18"},
        {"selectedIndex": None},
        {"selectedIndex": 0},
        {"selectedValue": None},
        {"selectedValue": {"string": "true"}},
        {"configRowIndex": None},
        {"configRowIndex": 1},
        {"conditionalValueIndex": 0},
        {"weightedValueIndex": 0},
        {"reason": 1},
    ]
    different = [ids_of(counted({**COUNTER, **change})) for change in changes]
    different += [
        ids_of(sent(WINDOW, "j")),
        ids_of(sent(WINDOW), Choice("staging")),
        ids_of(counted(COUNTER, start="1767225600001")),
        ids_of(counted(COUNTER, end="1767225660001")),
        ids_of(sent({**WINDOW, "summaries": [{**WINDOW["summaries"][0], "key": "g"}]})),
        ids_of(
            sent({**WINDOW, "summaries": [{**WINDOW["summaries"][0], "type": "CONFIG"}]}),
            Choice("production", all_types=True),
        ),
        ids_of(sent(WINDOW)),
    ]
    assert all(len(found) == 1 for found in different)
    assert len({found[0] for found in different}) == len(different)


def test_equal_counters_of_one_window_stay_apart_and_of_a_resent_one_fall_together() -> None:
    twice = ids_of(counted(COUNTER, COUNTER))
    assert len(set(twice)) == 2
    assert ID in twice
    assert ids_of(counted(COUNTER, COUNTER)) == twice
    again = {"instanceHash": "i", "events": [{"summaries": WINDOW}, {"summaries": WINDOW}]}
    assert ids_of(again) == [ID, ID]


def test_a_message_without_an_instance_needs_one_named() -> None:
    with pytest.raises(NoEventError) as error:
        rows_of(WINDOW)
    assert str(error.value) == NO_INSTANCE
    assert len({*ids_of(WINDOW, Choice("e", "a")), *ids_of(WINDOW, Choice("e", "b"))}) == 2
    # the hash says more than the label
    assert ids_of(sent(WINDOW), Choice("production", "a")) == [ID]


def test_what_is_no_flag_is_skipped_and_counted() -> None:
    others = [
        {"key": "l", "type": "LOG_LEVEL", "counters": [COUNTER, COUNTER]},
        {"key": "c", "type": 1, "counters": [COUNTER]},
        {"key": "n", "type": 99, "counters": [COUNTER]},
        {"key": "u", "type": "FROM_THE_FUTURE", "counters": [COUNTER]},
        {"key": "empty", "type": "FEATURE_FLAG"},
    ]
    document = sent({**WINDOW, "summaries": [*WINDOW["summaries"], *others]})
    document["events"] += [{"clientStats": {"start": 1}}, {"loggers": {}}, {"new": {}}]
    skipped: Counter[str] = Counter()
    message = parse(json.dumps(document).encode())
    assert [row.id for row in counters(message, 1, ENV, skipped)] == [ID]
    assert skipped == {
        "LOG_LEVEL": 2,
        "CONFIG": 1,
        "99": 1,
        "NOT_SET_CONFIG_TYPE": 1,
        "client_stats": 1,
        "loggers": 1,
        UNKNOWN: 1,
    }
    skipped.clear()
    everything = Choice("production", all_types=True)
    assert len(list(counters(message, 1, everything, skipped))) == 6
    assert skipped == {"client_stats": 1, "loggers": 1, UNKNOWN: 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"bool": False}, "false"),
        ({"int": "-9007199254740993"}, "-9007199254740993"),
        ({"int": 0}, "0"),
        ({"string": ""}, ""),
        ({"string": "grün \u2028"}, "grün \u2028"),
        ({"double": 1}, "1"),
        ({"double": 0.1}, "0.1"),
        ({"double": "NaN"}, "NaN"),
        ({"double": "-Infinity"}, "-Infinity"),
        ({"double": 1e300}, "1e+300"),
        ({"bytes": "AP8="}, "AP8="),
        ({"stringList": {"values": ["a", 'b"']}}, '["a","b\\""]'),
        ({"string_list": {}}, "[]"),
        ({"intRange": {"start": "1", "end": 5}}, '["1","5"]'),
        ({"duration": {"definition": "PT90S"}}, "PT90S"),
        ({"json": {"json": '{"b": 1, "a": 2}'}}, '{"b": 1, "a": 2}'),
        ({"logLevel": "WARN"}, "WARN"),
        ({"log_level": 7}, "7"),
    ],
)
def test_the_value_served_as_text(value: dict[str, Any], text: str) -> None:
    (row,) = rows_of(counted({"count": 1, "selectedValue": value}))
    assert json.loads(row.properties)["selectedValue"] == text


@pytest.mark.parametrize("value", [None, {}, {"name": "on"}, {"weightedValues": {}}])
def test_no_value_is_left_out(value: object) -> None:
    (row,) = rows_of(counted({"count": 1, "selectedValue": value, "selectedIndex": 0}))
    facts = json.loads(row.properties)
    assert facts.keys() & {"selectedValue", "selectedType"} == set()
    assert facts["selectedIndex"] == "0"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", MALFORMED),
        (b'{"events": [1' + b"0" * 5_000 + b"]}", MALFORMED),
        (b'{"key": "\xff"}', NOT_UTF8),
        (b'{"a":' * 200_000, NESTED),
        (b"[]", NO_TELEMETRY),
        (b"{}", NO_TELEMETRY),
        (b'{"event": "FlagValue", "properties": "{}"}', NO_TELEMETRY),
        (b'{"events": {"summaries": {}}}', NO_MESSAGE),
        (b'{"summaries": 1}', NO_MESSAGE),
        (b'{"summaries": {"start": 1.5}}', NO_MESSAGE),
        (b'{"summaries": {"start": "9223372036854775808"}}', NO_MESSAGE),
        (b'{"summaries": [{"key": "\\ud800"}]}', NO_MESSAGE),
        (
            b'{"instanceHash": "i", "events": [{"summaries": {"start": -62135596800001}}]}',
            OUT_OF_RANGE,
        ),
        (
            b'{"instanceHash": "i", "events": [{"summaries": {"end": "253402300800000"}}]}',
            OUT_OF_RANGE,
        ),
    ],
)
def test_what_is_no_telemetry_says_why(raw: bytes, reason: str) -> None:
    with pytest.raises(NoEventError) as error:
        rows_of(raw)
    assert str(error.value) == reason


def test_nothing_of_a_message_with_a_fault_is_counted() -> None:
    good = {"summaries": {**WINDOW, "summaries": [{"type": "LOG_LEVEL", "counters": [COUNTER]}]}}
    bad = {"summaries": {**WINDOW, "end": "253402300800000"}}
    message = parse(json.dumps({"instanceHash": "i", "events": [good, bad]}).encode())
    skipped: Counter[str] = Counter()
    with pytest.raises(NoEventError):
        counters(message, 1, ENV, skipped)
    assert not skipped
