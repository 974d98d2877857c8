"""One record of a file, as bytes, into one event: the only place that knows the shapes in JSON.

The text of `properties` is kept exactly as received, since the models parse it, once: a JSON string
gives its decoded text, an object its own bytes. Only three kinds are written anew: MongoDB's
extended JSON (`{"$numberInt": "1"}`), which no other store has, text with half a surrogate pair,
which UTF-8 cannot hold and which becomes its escape, and the columns of v6's tables.
"""

import base64
import binascii
import json
import uuid
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, Raw, UnsetType

from flagmart.ingest import timestamps
from flagmart.ingest.event import MALFORMED, NESTED, NOT_UTF8, Event, NoEventError
from flagmart.ingest.event_tables import EXPOSURES, METRICS, Table, flag_id
from flagmart.ingest.timestamps import Moment, Timestamp, Unit

NOT_AN_OBJECT = "not a JSON object"
NO_EVENT = (
    "no event: neither an envelope (event, properties), nor bare properties "
    "(flagId or featureFlagKey; or type and eventName), nor a row of v6 "
    "(flag_key and exposed_at; or event_name and occurred_at; in MongoDB flagKey and so on)"
)
SCHEMA_VERSION = "schema_version other than 2, the only one known"
OUR_OWN = "a message to Segment, where events went, not where they come from"
WIRE_FORMAT = "a track request of an SDK, which never reaches a store"


class _Kafka(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The envelope FeatBit writes to Kafka and nothing besides: the common case, read in one go."""

    uuid: str
    env_id: str
    event: str
    properties: str
    timestamp: int
    distinct_id: str | UnsetType | None = UNSET


class _Record(msgspec.Struct, gc=False):
    """Every key any of the shapes has, unread."""

    uuid: Raw = Raw(b"")
    id: Raw = Raw(b"")
    mongo_id: Raw = msgspec.field(default=Raw(b""), name="_id")
    env_id: Raw = Raw(b"")
    event: Raw = Raw(b"")
    distinct_id: Raw = Raw(b"")
    properties: Raw = Raw(b"")
    timestamp: Raw = Raw(b"")
    kafka_timestamp: Raw = msgspec.field(default=Raw(b""), name="_timestamp")
    created_at: Raw = Raw(b"")
    schema_version: Raw = Raw(b"")
    # a row of v6's tables
    flag_key: Raw = Raw(b"")
    user_key: Raw = Raw(b"")
    user_name: Raw = Raw(b"")
    variation_id: Raw = Raw(b"")
    variation_value: Raw = Raw(b"")
    exposed_at: Raw = Raw(b"")
    event_name: Raw = Raw(b"")
    event_type: Raw = Raw(b"")
    numeric_value: Raw = Raw(b"")
    application_type: Raw = Raw(b"")
    occurred_at: Raw = Raw(b"")
    # the same row as a document of MongoDB
    camel_env_id: Raw = msgspec.field(default=Raw(b""), name="envId")
    camel_flag_key: Raw = msgspec.field(default=Raw(b""), name="flagKey")
    camel_user_key: Raw = msgspec.field(default=Raw(b""), name="userKey")
    camel_user_name: Raw = msgspec.field(default=Raw(b""), name="userName")
    camel_variation_id: Raw = msgspec.field(default=Raw(b""), name="variationId")
    camel_variation_value: Raw = msgspec.field(default=Raw(b""), name="variationValue")
    camel_exposed_at: Raw = msgspec.field(default=Raw(b""), name="exposedAt")
    camel_event_name: Raw = msgspec.field(default=Raw(b""), name="eventName")
    camel_event_type: Raw = msgspec.field(default=Raw(b""), name="eventType")
    camel_numeric_value: Raw = msgspec.field(default=Raw(b""), name="numericValue")
    camel_application_type: Raw = msgspec.field(default=Raw(b""), name="applicationType")
    camel_occurred_at: Raw = msgspec.field(default=Raw(b""), name="occurredAt")
    camel_created_at: Raw = msgspec.field(default=Raw(b""), name="createdAt")
    # bare properties, beside some of these
    bare_flag_key: Raw = msgspec.field(default=Raw(b""), name="featureFlagKey")
    bare_flag_id: Raw = msgspec.field(default=Raw(b""), name="flagId")
    bare_user_key: Raw = msgspec.field(default=Raw(b""), name="userKeyId")
    bare_type: Raw = msgspec.field(default=Raw(b""), name="type")
    # a message delivered to Segment
    message_id: Raw = msgspec.field(default=Raw(b""), name="messageId")
    # an SDK's track request
    user: Raw = Raw(b"")
    variations: Raw = Raw(b"")
    metrics: Raw = Raw(b"")


class _Named(msgspec.Struct, gc=False):
    """What of `properties` a distinct_id is made of."""

    flag_key: str | None = msgspec.field(default=None, name="featureFlagKey")
    event_name: str | None = msgspec.field(default=None, name="eventName")


_decode_kafka = msgspec.json.Decoder(_Kafka).decode
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_text = msgspec.json.Decoder(str).decode
_RECORD_KEYS = frozenset(_Record.__struct_encode_fields__)


def parse(raw: bytes) -> Event:
    """The event in the bytes of one JSON value.

    Raises:
        NoEventError: it is none, with the reason.
    """
    try:
        kafka = _decode_kafka(raw)
    except (ValueError, RecursionError):
        try:
            return _parse_any(raw)
        except RecursionError as error:
            raise NoEventError(NESTED) from error
    distinct_id = kafka.distinct_id
    if distinct_id is UNSET:
        distinct_id = _distinct_id(kafka.env_id, kafka.event, kafka.properties)
    return Event(
        kafka.uuid or None,
        kafka.env_id,
        kafka.event,
        distinct_id or "",
        kafka.properties,
        kafka.timestamp,
    )


def _parse_any(raw: bytes) -> Event:
    try:
        record = _decode_record(raw)
    except msgspec.ValidationError as error:
        raise NoEventError(NOT_AN_OBJECT) from error
    except UnicodeDecodeError as error:
        raise NoEventError(NOT_UTF8) from error
    except msgspec.DecodeError:
        record = _decode_leniently(raw)

    if record.message_id:
        raise NoEventError(OUR_OWN)
    if record.properties and record.event:
        return _envelope(record)
    if record.user and (record.variations or record.metrics):
        raise NoEventError(WIRE_FORMAT)
    is_evaluation = bool(record.bare_flag_id or record.bare_flag_key)
    if is_evaluation and (record.bare_user_key or record.camel_variation_id):
        return _bare(raw, record, "FlagValue", _text(record.bare_flag_id, "flagId"))
    if record.bare_type and record.camel_event_name:
        event = _text(record.bare_type, "type")
        return _bare(raw, record, event, _text(record.camel_event_name, "eventName"))
    if record.flag_key and record.exposed_at:
        return _row(record, EXPOSURES)
    if record.event_name and record.occurred_at:
        return _row(record, METRICS)
    if record.camel_flag_key and record.camel_exposed_at:
        return _row(record, EXPOSURES, "camel_")
    if record.camel_event_name and record.camel_occurred_at:
        return _row(record, METRICS, "camel_")
    raise NoEventError(NO_EVENT)


def _envelope(record: _Record) -> Event:
    env_id = _text(record.env_id, "env_id")
    event = _text(record.event, "event")
    properties = _properties(record.properties)
    return Event(
        id=_identity(record),
        env_id=env_id,
        event=event,
        distinct_id=_text(record.distinct_id, "distinct_id")
        if record.distinct_id
        else _distinct_id(env_id, event, properties),
        properties=properties,
        timestamp=_versioned(record.schema_version, _timestamp(record.timestamp)),
        arrived=_arrived(record),
    )


def _distinct_id(env_id: str, event: str, properties: str) -> str:
    """What FeatBit would have written: v6's messages no longer bring it."""
    try:
        named = _decode_named(properties)
    except (ValueError, RecursionError):
        return ""
    if event == "FlagValue":
        return flag_id(env_id, named.flag_key or "")
    return named.event_name or ""


def _versioned(version: Raw, timestamp: Timestamp) -> Timestamp:
    """A timestamp whose message says itself what it counts; others wait for the file's unit."""
    text = bytes(version)
    if text in (b"", b"null"):
        return timestamp
    if text not in (b"2", b'"2"'):
        raise NoEventError(SCHEMA_VERSION)
    try:
        moment = timestamps.micros(timestamp, Unit.MS)
    except ValueError as error:
        raise NoEventError(timestamps.OUT_OF_RANGE) from error
    return None if moment is None else Moment(moment)


def _row(record: _Record, table: Table, prefix: str = "") -> Event:
    row = {
        name: _cell(getattr(record, prefix + name), name)
        for name in table.texts
        if name != "properties"
    }
    row["properties"] = _properties(record.properties)
    env_id, event, distinct_id, properties = table.facts(row)
    return Event(
        id=_identity(record),
        env_id=env_id,
        event=event,
        distinct_id=distinct_id,
        properties=properties,
        timestamp=_timestamp(getattr(record, prefix + table.moment)),
        arrived=_arrived(record),
    )


def _cell(raw: Raw, name: str) -> str:
    """A column's text; a number's is its own."""
    first = bytes(raw)[:1]
    if name == "env_id":
        return _id(raw, name)
    if name != "numeric_value" or first in (b'"', b"n"):
        return _text(raw, name)
    return str(unwrapped(loads(bytes(raw)))) if first == b"{" else _utf8(raw)


def _bare(raw: bytes, record: _Record, event: str, distinct_id: str) -> Event:
    return Event(
        id=None,
        env_id=_text(record.camel_env_id, "envId"),
        event=event,
        distinct_id=distinct_id,
        properties=_object_text(raw.strip()),
        timestamp=None,
    )


def _decode_leniently(raw: bytes) -> _Record:
    """What the quick parser refuses and the standard one takes: halves of surrogate pairs."""
    value = loads(raw)
    if not isinstance(value, dict):
        raise NoEventError(NOT_AN_OBJECT)
    # written anew in ASCII, where half a surrogate pair can stay as its escape
    known = {key: Raw(_dumps(value[key]).encode()) for key in value if key in _RECORD_KEYS}
    fields = zip(_Record.__struct_fields__, _Record.__struct_encode_fields__, strict=True)
    return _Record(**{name: known[key] for name, key in fields if key in known})


def loads(raw: bytes) -> Any:
    """The value of JSON text.

    Raises:
        NoEventError: it is none, with the reason.
    """
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise NoEventError(NOT_UTF8) from error
    except ValueError as error:
        raise NoEventError(MALFORMED) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _utf8(raw: bytes | Raw) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise NoEventError(NOT_UTF8) from error


def storable(text: str) -> str:
    """`text` with halves of surrogate pairs as their JSON escapes; UTF-8 has no form for them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _string(raw: Raw) -> str:
    try:
        return _decode_text(raw)
    except UnicodeDecodeError as error:
        raise NoEventError(NOT_UTF8) from error
    except msgspec.DecodeError:
        return storable(str(loads(bytes(raw))))


def _text(raw: Raw, name: str) -> str:
    """A text column; '' where the record has none."""
    first = bytes(raw)[:1]
    if not first or first == b"n":
        return ""
    if first != b'"':
        raise NoEventError(f"{name} is no text")
    return _string(raw)


def _properties(raw: Raw) -> str:
    text = bytes(raw)
    if text == b"null":
        return ""
    if text[:1] == b'"':
        return _string(raw)
    return _object_text(text)


def _object_text(raw: bytes) -> str:
    if b'"$' in raw:
        value = loads(raw)
        plain = unwrapped(value)
        if plain != value:
            return _dumps(plain)
    return _utf8(raw)


def unwrapped(value: Any) -> Any:
    """MongoDB's extended JSON without its type wrappers, at every depth."""
    if isinstance(value, list):
        return [unwrapped(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        try:
            if key in ("$numberInt", "$numberLong") and isinstance(inner, str):
                return int(inner)
            if key in ("$numberDouble", "$numberDecimal") and isinstance(inner, str):
                wide = float(inner)
                # infinity and not-a-number have no form in JSON
                return wide if wide - wide == 0 else inner
        except ValueError:
            return value
        if key in ("$oid", "$uuid") and isinstance(inner, str):
            return inner
        if key == "$date":
            return unwrapped(inner)
    return {key: unwrapped(item) for key, item in value.items()}


def _identity(record: _Record) -> str | None:
    """`uuid` (Kafka, ClickHouse), `id` (PostgreSQL; MongoDB's older documents), `_id` (MongoDB)."""
    for name, raw in (("uuid", record.uuid), ("id", record.id), ("_id", record.mongo_id)):
        text = _id(raw, name)
        if text:
            return text
    return None


def _id(raw: Raw, name: str) -> str:
    if bytes(raw)[:1] == b"{":
        return extended_id(loads(bytes(raw)), name)
    return _text(raw, name)


def extended_id(value: dict[str, Any], name: str) -> str:
    """`{"$oid"}`, `{"$uuid"}`, `{"$binary"}` as mongoexport writes them, now or before 4.2.

    Raises:
        NoEventError: it is none of these.
    """
    try:
        if "$oid" in value:
            return storable(str(value["$oid"]))
        if "$uuid" in value:
            return str(uuid.UUID(value["$uuid"]))
        inner = value["$binary"]
        data, kind = (
            (inner["base64"], inner["subType"])
            if isinstance(inner, dict)
            else (inner, value["$type"])
        )
        content = base64.b64decode(data, validate=True)
        # subtype 3 is what C# drivers wrote of old: the first three groups little-endian
        if int(kind, 16) == 3:
            return str(uuid.UUID(bytes_le=content))
        return str(uuid.UUID(bytes=content))
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise NoEventError(f"{name} is no id") from error


def _timestamp(raw: Raw) -> Timestamp:
    text = bytes(raw)
    first = text[:1]
    if not first or text == b"null":
        return None
    try:
        if first == b'"':
            return timestamps.from_text(_string(raw)) if text != b'""' else None
        if first == b"{":
            return extended_date(loads(text))
        return timestamps.number(text.decode())
    except NoEventError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise NoEventError(timestamps.UNREADABLE) from error


def extended_date(value: dict[str, Any]) -> Timestamp:
    """`{"$date": …}` of ISO text or milliseconds (`{"$numberLong"}`); or a wrapped number.

    Raises:
        ValueError: it is neither.
    """
    if "$date" not in value:
        inner = unwrapped(value)
        if isinstance(inner, int) and not isinstance(inner, bool):
            return inner
        raise ValueError(timestamps.UNREADABLE)
    inner = unwrapped(value["$date"])
    if isinstance(inner, str):
        moment = timestamps.from_text(inner)
        return Moment(moment.micros) if isinstance(moment, Moment) else moment
    if isinstance(inner, int) and not isinstance(inner, bool):
        return Moment(inner * 1_000)
    raise ValueError(timestamps.UNREADABLE)


def arrival(text: str) -> int | None:
    """A store's own arrival time: text, or ClickHouse's `DateTime` as seconds; else None.

    It is told for information only, so an odd one is no reason to refuse the event.
    """
    try:
        return timestamps.micros(timestamps.from_text(text), Unit.S) if text else None
    except ValueError:
        return None


def _arrived(record: _Record) -> int | None:
    for raw in (record.kafka_timestamp, record.created_at, record.camel_created_at):
        if not raw:
            continue
        text = bytes(raw)
        if text[:1] == b'"':
            return arrival(_string(raw))
        if text[:1] == b"{":
            try:
                return timestamps.micros(extended_date(loads(text)), Unit.S)
            except (ValueError, TypeError):
                return None
        return arrival(text.decode("utf-8", "replace"))
    return None
