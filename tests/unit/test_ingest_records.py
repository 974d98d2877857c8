import base64
import json
import uuid
from decimal import Decimal

import pytest

from flagmart.ingest.event import MALFORMED, NESTED, NOT_UTF8, NoEventError
from flagmart.ingest.event_tables import NO_NUMBER, NO_OBJECT
from flagmart.ingest.records import (
    NO_EVENT,
    NOT_AN_OBJECT,
    SCHEMA_VERSION,
    WIRE_FORMAT,
    parse,
)
from flagmart.ingest.timestamps import Moment
from support.landed import ENV, event

ID = "4be3e7b9-3db7-4537-8e46-b2831f579bcf"
MICROS = 1_702_366_933_320_000


def raw(**changes: object) -> bytes:
    return json.dumps(event(1, **changes)).encode()


def without(*keys: str, **changes: object) -> bytes:
    return json.dumps({k: v for k, v in event(1, **changes).items() if k not in keys}).encode()


def test_the_kafka_envelope_keeps_the_text_of_properties() -> None:
    text = '{ "name" : "\\u00e9\\ud800 \\"q\\"", "a":1E+20,"a":2 } '
    found = parse(raw(properties=text))
    assert found.properties == text
    assert (found.env_id, found.event, found.timestamp) == (ENV, "FlagValue", MICROS + 1_000)


def test_an_object_keeps_its_own_text() -> None:
    text = '{ "b": 1E+20,\n "a": "\\u00e9" }'
    found = parse(b'{"id":"x","event":"e","env_id":"v","properties":' + text.encode() + b"}")
    assert found.properties == text


@pytest.mark.parametrize("missing", [b"null", b'""'])
def test_null_and_missing_text_is_empty(missing: bytes) -> None:
    found = parse(b'{"event":"e","distinct_id":%s,"properties":%s}' % (missing, missing))
    assert (found.id, found.env_id, found.distinct_id, found.properties) == (None, "", "", "")
    assert found.timestamp is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"$oid": "507f1f77bcf86cd799439011"}, "507f1f77bcf86cd799439011"),
        ({"$uuid": ID.replace("-", "")}, ID),
        (
            {
                "$binary": {
                    "base64": base64.b64encode(uuid.UUID(ID).bytes).decode(),
                    "subType": "04",
                }
            },
            ID,
        ),
        ({"$binary": base64.b64encode(uuid.UUID(ID).bytes).decode(), "$type": "04"}, ID),
        (
            {
                "$binary": {
                    "base64": base64.b64encode(uuid.UUID(ID).bytes_le).decode(),
                    "subType": "03",
                }
            },
            ID,
        ),
    ],
)
def test_mongodb_ids(value: object, expected: str) -> None:
    assert parse(without("uuid", _id=value)).id == expected
    assert parse(without("uuid", _id=value, id=ID.upper())).id == ID.upper()


@pytest.mark.parametrize("value", [{"$binary": "?", "$type": "04"}, {"$oid2": 1}, 5, True, [1]])
def test_ids_that_are_none(value: object) -> None:
    with pytest.raises(NoEventError, match="_id is no"):
        parse(without("uuid", _id=value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (MICROS, MICROS),
        (str(MICROS), MICROS),
        (1702366933.32, Decimal("1702366933.32")),
        ({"$numberLong": str(MICROS)}, MICROS),
        ({"$date": "2023-12-12T07:42:13.320Z"}, Moment(MICROS)),
        ({"$date": {"$numberLong": "1702366933320"}}, Moment(MICROS)),
        ({"$date": 1702366933320}, Moment(MICROS)),
        ("2023-12-12 07:42:13.320", Moment(MICROS, from_text=True)),
    ],
)
def test_timestamps(value: object, expected: object) -> None:
    assert parse(raw(timestamp=value)).timestamp == expected


@pytest.mark.parametrize(
    "value", [True, "x", [1], {}, {"$date": {}}, {"$date": "x"}, {"$date": None}]
)
def test_timestamps_that_cannot_be_read(value: object) -> None:
    with pytest.raises(NoEventError, match="timestamp that cannot be read"):
        parse(raw(timestamp=value))


def test_extended_json_is_unwrapped_at_every_depth() -> None:
    properties = {
        "numericValue": {"$numberDouble": "1.5"},
        "n": [{"$numberInt": "1"}, {"$numberLong": "5"}, {"$numberDouble": "NaN"}],
        "user": {"at": {"$date": {"$numberLong": "5"}}, "$odd": 1},
    }
    assert json.loads(parse(raw(properties=properties)).properties) == {
        "numericValue": 1.5,
        "n": [1, 5, "NaN"],
        "user": {"at": 5, "$odd": 1},
    }


def test_text_that_looks_extended_stays_in_a_string() -> None:
    text = '{"a":{"$numberInt":"1"}}'
    assert parse(raw(properties=text)).properties == text


@pytest.mark.parametrize(
    ("key", "expected"),
    [("_timestamp", 1_702_366_934_000_000), ("created_at", 1_702_366_934_000_000)],
)
@pytest.mark.parametrize("value", ["2023-12-12 07:42:14", 1_702_366_934, "1702366934"])
def test_the_stores_own_arrival_time(key: str, expected: int, value: object) -> None:
    assert parse(raw(**{key: value})).arrived == expected
    assert parse(raw(**{key: "soon"})).arrived is None


def test_bare_properties() -> None:
    flag = b'{ "flagId": "103-f", "envId": "103", "featureFlagKey": "f", "userKeyId": "u" }'
    found = parse(flag)
    assert (found.id, found.env_id, found.event, found.distinct_id) == (
        None,
        "103",
        "FlagValue",
        "103-f",
    )
    assert (found.timestamp, found.properties) == (None, flag.decode())
    metric = parse(b'{"type": "PageView", "eventName": "n", "envId": "103"}')
    assert (metric.env_id, metric.event, metric.distinct_id) == ("103", "PageView", "n")


def test_half_a_surrogate_pair_becomes_its_escape() -> None:
    found = parse(rb'{"uuid":"x","event":"e","env_id":"\ud800","properties":{"u":"\udfff","n":1}}')
    assert found.env_id == r"\ud800"
    assert found.properties == r'{"u":"\udfff","n":1}'
    text = parse(
        rb'{"uuid":"x","event":"e","env_id":"v","properties":"{\"u\":\"\ud800\"}","timestamp":1}'
    )
    assert text.properties == r'{"u":"\ud800"}'


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"uuid":', MALFORMED),
        (b'{"event":"e","properties":{"a":NaN}}', MALFORMED),
        (b'{"event":"e","properties":{}} trailing', MALFORMED),
        (b"[1]", NOT_AN_OBJECT),
        (b"17", NOT_AN_OBJECT),
        (b'{"event":"\xff","properties":"{}"}', NOT_UTF8),
        (b'{"event":"e","properties":{"a":"\xff"}}', NOT_UTF8),
        (b'{"event":"e","properties":' + b"[" * 100_000 + b"]" * 100_000 + b"}", NESTED),
        (b'{"event":"e"}', NO_EVENT),
        (b'{"type":"object"}', NO_EVENT),
        (b'{"event":"e","env_id":5,"properties":"{}"}', "env_id is no text"),
        (b'[{"user":{"keyId":"u"},"variations":[]}]', NOT_AN_OBJECT),
        (b'{"user":{"keyId":"u"},"variations":[]}', WIRE_FORMAT),
        (b'{"user":{"keyId":"u"},"metrics":[]}', WIRE_FORMAT),
    ],
)
def test_what_is_no_event(record: bytes, reason: str) -> None:
    with pytest.raises(NoEventError) as error:
        parse(record)
    assert str(error.value) == reason


def reason_of(record: bytes) -> str | None:
    """Why a record is no event."""
    try:
        parse(record)
    except NoEventError as reason:
        return str(reason)
    return None


SECOND = {
    "schema_version": 2,
    "uuid": ID,
    "env_id": ENV,
    "event": "FlagValue",
    "properties": {"featureFlagKey": "f-1", "userKeyId": "u"},
    "timestamp": 1_702_366_933_320,
}


def test_a_message_of_schema_version_2_counts_milliseconds() -> None:
    found = parse(
        b'{"schema_version":2,"event":"FlagValue","env_id":"v",'
        b'"properties":{ "featureFlagKey":"f-1"},"timestamp":1702366933320}'
    )
    assert (found.timestamp, found.distinct_id) == (Moment(MICROS), "v-f-1")
    assert found.properties == '{ "featureFlagKey":"f-1"}'
    for timestamp, expected in [
        ("1702366933320", Moment(MICROS)),
        (5, Moment(5_000)),
        (None, None),
    ]:
        message = {**SECOND, "schema_version": "2", "timestamp": timestamp}
        assert parse(json.dumps(message).encode()).timestamp == expected


@pytest.mark.parametrize("version", [1, 3, 2.5, "3", True, {}])
def test_a_schema_version_nobody_has_described_is_refused(version: object) -> None:
    with pytest.raises(NoEventError) as error:
        parse(json.dumps({**SECOND, "schema_version": version}).encode())
    assert str(error.value) == SCHEMA_VERSION
    assert (
        parse(json.dumps({**SECOND, "schema_version": None}).encode()).timestamp == MICROS // 1000
    )


def test_a_message_of_schema_version_2_beyond_the_calendar() -> None:
    with pytest.raises(NoEventError, match="0001 to 9999"):
        parse(json.dumps({**SECOND, "timestamp": 10**18}).encode())


@pytest.mark.parametrize(
    ("event_", "properties", "expected"),
    [
        ("FlagValue", {"featureFlagKey": "f-1"}, f"{ENV}-f-1"),
        ("FlagValue", {"featureFlagKey": None, "eventName": "n"}, ""),
        ("FlagValue", {"featureFlagKey": 5}, ""),
        ("Click", {"eventName": "n"}, "n"),
        ("Click", {"eventName": None}, ""),
        ("Click", [], ""),
        ("Click", "{", ""),
        ("Click", None, ""),
    ],
)
def test_a_message_without_a_distinct_id_gets_featbits(
    event_: str, properties: object, expected: str
) -> None:
    text = properties if isinstance(properties, str) else json.dumps(properties)
    message = without("distinct_id", event=event_, properties=text)
    assert parse(message).distinct_id == expected
    assert (
        parse(without("distinct_id", event=event_, properties=properties)).distinct_id == expected
    )
    assert parse(raw(event=event_, properties=text, distinct_id="")).distinct_id == "", "as stored"
    assert parse(raw(event=event_, properties=text, distinct_id=None)).distinct_id == ""


def test_no_distinct_id_without_an_environment() -> None:
    text = '{"featureFlagKey":"f-1"}'
    assert parse(without("distinct_id", env_id="", properties=text)).distinct_id == ""


ROW = {"id": ID, "env_id": ENV, "flag_key": "f", "exposed_at": "2023-12-12 07:42:13.320"}


def test_a_row_of_v6() -> None:
    found = parse(json.dumps(ROW).encode())
    assert (found.id, found.event, found.distinct_id) == (ID, "FlagValue", f"{ENV}-f")
    assert found.timestamp == Moment(MICROS, from_text=True)
    metric = {"event_name": "n", "occurred_at": 1_702_366_933.32, "numeric_value": 1e20}
    found = parse(json.dumps(metric).encode())
    assert (found.id, found.event, found.distinct_id) == (None, "CustomEvent", "n")
    assert found.timestamp == Decimal("1702366933.32")
    assert found.properties == '{"type":"CustomEvent","eventName":"n","numericValue":1e+20}'


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flag_key": 5}, "flag_key is no text"),
        ({"user_name": True}, "user_name is no text"),
        ({"env_id": {}}, "env_id is no id"),
        ({"exposed_at": "soon"}, "timestamp that cannot be read"),
        ({"properties": [1]}, NO_OBJECT),
        ({"properties": "x"}, NO_OBJECT),
    ],
)
def test_rows_of_v6_that_are_none(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(NoEventError) as error:
        parse(json.dumps(ROW | changes).encode())
    assert str(error.value) == reason


@pytest.mark.parametrize("value", [True, "x", [1], {}, {"$numberDouble": "x"}])
def test_numbers_of_v6_that_are_none(value: object) -> None:
    metric = {"event_name": "n", "occurred_at": "2023-12-12", "numeric_value": value}
    with pytest.raises(NoEventError) as error:
        parse(json.dumps(metric).encode())
    assert str(error.value) == NO_NUMBER


def test_a_row_of_v6_with_half_a_surrogate_pair() -> None:
    found = parse(
        rb'{"flag_key":"f","exposed_at":"2023-12-12","user_key":"\ud800","properties":{"a":"\udfff"}}'
    )
    assert json.loads(found.properties)["userKeyId"] == r"\ud800"
    assert json.loads(found.properties)["a"] == "\udfff"


@pytest.mark.parametrize("canonical", [False, True])
def test_a_document_of_v6_is_its_row(canonical: bool) -> None:
    exposure = {
        **ROW,
        "user_key": "u",
        "variation_id": "v",
        "variation_value": None,
        "created_at": "2023-12-12 07:42:14",
    }
    metric = {
        "id": ID,
        "env_id": ENV,
        "user_key": "u",
        "event_name": "n",
        "event_type": "Click",
        "numeric_value": 1,
        "application_type": "web",
        "occurred_at": "2023-12-12 07:42:13.320",
        "created_at": "2023-12-12 07:42:14",
    }
    for row in (exposure, metric):
        document: dict[str, object] = {"properties": None}
        for column, value in row.items():
            first, *others = column.split("_")
            name = first + "".join(map(str.title, others))
            if column in ("id", "env_id"):
                content = base64.b64encode(uuid.UUID(str(value)).bytes).decode()
                value = {"$binary": {"base64": content, "subType": "04"}}
            elif column.endswith("_at"):
                value = {"$date": str(value).replace(" ", "T") + "Z"}
            elif column == "numeric_value":
                value = {"$numberDouble": "1.0"} if canonical else 1.0
            document["_id" if column == "id" else name] = value
        found, expected = parse(json.dumps(document).encode()), parse(json.dumps(row).encode())
        assert found.timestamp == Moment(MICROS)
        expected.timestamp = found.timestamp
        assert found == expected
        assert found.arrived == 1_702_366_934_000_000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_documents_number_json_has_no_form_for(number: str) -> None:
    document = {
        "eventName": "n",
        "occurredAt": {"$date": "2023-12-12T07:42:13Z"},
        "numericValue": {"$numberDouble": number},
    }
    assert "numericValue" not in json.loads(parse(json.dumps(document).encode()).properties)


@pytest.mark.parametrize(
    "record",
    [
        b'{"event":"e","properties":{"a":%s,"$b":1}}',
        b'{"event":"e","properties":"\\ud800","timestamp":{"$date":%s}}',
        b'{"eventName":"n","occurredAt":{"$date":1},"numericValue":{"a":%s}}',
        b'{"event_name":"n","occurred_at":"2023-12-12","properties":{"a":%s}}',
    ],
)
def test_nesting_that_only_a_second_look_meets(record: bytes) -> None:
    found = {reason_of(record % (b"[" * depth + b"]" * depth)) for depth in range(100, 1_100, 100)}
    assert NESTED in found
    assert found <= {None, NESTED, NO_NUMBER, "timestamp that cannot be read"}
