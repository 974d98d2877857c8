"""One record of a file, as bytes, into one event: the only place that knows the shapes in JSON.

The text of `properties` is kept exactly as received, since the models parse it, once: a JSON string
gives its decoded text, an object its own bytes. Only two kinds are written anew: MongoDB's extended
JSON (`{"$numberInt": "1"}`), which no other store has, and text with half a surrogate pair, which
UTF-8 cannot hold and which becomes its escape.
"""

import base64
import binascii
import json
import uuid
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from flagmart.ingest import timestamps
from flagmart.ingest.timestamps import Moment, Timestamp, Unit

MALFORMED = "malformed JSON"
NOT_UTF8 = "not UTF-8"
NESTED = "nested too deeply"
NOT_AN_OBJECT = "not a JSON object"
NO_EVENT = (
    "no event: neither an envelope (event, properties) nor bare properties "
    "(flagId or featureFlagKey; or type and eventName)"
)
OUR_OWN = "a message to Segment, where events went, not where they come from"
WIRE_FORMAT = "a track request of an SDK, which never reaches a store"


class NoEventError(ValueError):
    """Why a record is no event; few different texts, since they are counted by it."""


class Event(msgspec.Struct, gc=False):
    """One event as a file has it; `timestamp` may still wait for the file's unit."""

    id: str | None
    env_id: str
    event: str
    distinct_id: str
    properties: str
    timestamp: Timestamp
    arrived: int | None = None
    """The store's own arrival time, microseconds since 1970 UTC."""


class _Kafka(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The envelope FeatBit writes to Kafka and nothing besides: the common case, read in one go."""

    uuid: str
    env_id: str
    event: str
    properties: str
    timestamp: int
    distinct_id: str | None = None


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
    # bare properties
    bare_env_id: Raw = msgspec.field(default=Raw(b""), name="envId")
    flag_key: Raw = msgspec.field(default=Raw(b""), name="featureFlagKey")
    flag_id: Raw = msgspec.field(default=Raw(b""), name="flagId")
    user_key: Raw = msgspec.field(default=Raw(b""), name="userKeyId")
    variation_id: Raw = msgspec.field(default=Raw(b""), name="variationId")
    type: Raw = Raw(b"")
    event_name: Raw = msgspec.field(default=Raw(b""), name="eventName")
    # a message delivered to Segment
    message_id: Raw = msgspec.field(default=Raw(b""), name="messageId")
    # an SDK's track request
    user: Raw = Raw(b"")
    variations: Raw = Raw(b"")
    metrics: Raw = Raw(b"")


_decode_kafka = msgspec.json.Decoder(_Kafka).decode
_decode_record = msgspec.json.Decoder(_Record).decode
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
        return _parse_any(raw)
    return Event(
        kafka.uuid or None,
        kafka.env_id,
        kafka.event,
        kafka.distinct_id or "",
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
    except RecursionError as error:
        raise NoEventError(NESTED) from error
    except msgspec.DecodeError:
        record = _decode_leniently(raw)

    if record.message_id:
        raise NoEventError(OUR_OWN)
    if record.properties and record.event:
        return Event(
            id=_identity(record),
            env_id=_text(record.env_id, "env_id"),
            event=_text(record.event, "event"),
            distinct_id=_text(record.distinct_id, "distinct_id"),
            properties=_properties(record.properties),
            timestamp=_timestamp(record.timestamp),
            arrived=_arrived(record),
        )
    if record.user and (record.variations or record.metrics):
        raise NoEventError(WIRE_FORMAT)
    is_evaluation = bool(record.flag_id or record.flag_key)
    if is_evaluation and (record.user_key or record.variation_id):
        return _bare(raw, record, "FlagValue", _text(record.flag_id, "flagId"))
    if record.type and record.event_name:
        return _bare(raw, record, _text(record.type, "type"), _text(record.event_name, "eventName"))
    raise NoEventError(NO_EVENT)


def _bare(raw: bytes, record: _Record, event: str, distinct_id: str) -> Event:
    return Event(
        id=None,
        env_id=_text(record.bare_env_id, "envId"),
        event=event,
        distinct_id=distinct_id,
        properties=_object_text(raw.strip()),
        timestamp=None,
    )


def _decode_leniently(raw: bytes) -> _Record:
    """What the quick parser refuses and the standard one takes: halves of surrogate pairs."""
    value = _loads(raw)
    if not isinstance(value, dict):
        raise NoEventError(NOT_AN_OBJECT)
    # written anew in ASCII, where half a surrogate pair can stay as its escape
    known = {key: Raw(_dumps(value[key]).encode()) for key in value if key in _RECORD_KEYS}
    fields = zip(_Record.__struct_fields__, _Record.__struct_encode_fields__, strict=True)
    return _Record(**{name: known[key] for name, key in fields if key in known})


def _loads(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise NoEventError(NOT_UTF8) from error
    except RecursionError as error:
        raise NoEventError(NESTED) from error
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
        return storable(str(_loads(bytes(raw))))


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
        value = _loads(raw)
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
        first = bytes(raw)[:1]
        if first == b"{":
            return _extended_id(_loads(bytes(raw)), name)
        text = _text(raw, name)
        if text:
            return text
    return None


def _extended_id(value: dict[str, Any], name: str) -> str:
    """`{"$oid"}`, `{"$uuid"}`, `{"$binary"}` as mongoexport writes them, now or before 4.2."""
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
            return _extended_date(_loads(text))
        return timestamps.number(text.decode())
    except NoEventError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise NoEventError(timestamps.UNREADABLE) from error


def _extended_date(value: dict[str, Any]) -> Timestamp:
    """`{"$date": …}` of ISO text or milliseconds (`{"$numberLong"}`); or a wrapped number."""
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
    for raw in (record.kafka_timestamp, record.created_at):
        if not raw:
            continue
        text = bytes(raw)
        if text[:1] == b'"':
            return arrival(_string(raw))
        if text[:1] == b"{":
            try:
                return timestamps.micros(_extended_date(_loads(text)), Unit.S)
            except (ValueError, TypeError):
                return None
        return arrival(text.decode("utf-8", "replace"))
    return None
