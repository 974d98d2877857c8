"""FeatBit's MongoDB: the collection `Events`, and v6's two.

`Events` keeps no arrival time and has no index on time alone. A collection is read whole: a large
one in ranges of `_id`, found by walking through its index. What is new is found by the client's
clock, through the index FeatBit makes, {event, env_id, distinct_id, timestamp}: its few beginnings
are asked for, and of each only the window is read. Where that index is missing, each run reads all
documents.

An event's id is `_id`, or `id` where an older service left an ObjectId for `_id`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit
from uuid import UUID

import bson
import msgspec
import pyarrow as pa
import pymongo
from bson import Int64, ObjectId, json_util
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from pymongo import errors

from flagmart import settings
from flagmart.errors import FlagmartError, UsageError
from flagmart.ingest.batches import Batcher
from flagmart.ingest.event import NOT_UTF8, Event, NoEventError
from flagmart.ingest.event_tables import EVENTS, EXPOSURES, METRIC_EVENTS, METRICS, Table
from flagmart.ingest.records import parse
from flagmart.ingest.store_rows import ID, Refused, Rows
from flagmart.ingest.stores import Bounds, Chunk, Plan, Reading
from flagmart.ingest.timestamps import FIRST, LAST, Unit
from flagmart.ingest.version_stores import Records
from flagmart.warehouse.landed import Group
from flagmart.warehouse.landing import EVENT_COLUMNS, TIME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from pymongo.collection import Collection
    from pymongo.database import Database

    from flagmart.ingest.versions import Kind, Record

URL = "FLAGMART_MONGODB_URL"
DATABASE = "featbit"
"""Where the URL names none: FeatBit's own default."""

CHUNK_ROWS = 50_000
"""Events of a part, about: 50 MB of documents on their way."""
_FOUND_WITHIN_MS = 10_000
"""How long a server may take to be found."""
_BATCH = 5_000
"""Documents of an answer; the server ends it at 16 MB in any case."""
_BEGINNINGS = 500
"""Flags or event names asked for in one query."""
_LOOKED_AT = 20
"""Documents whose fields are looked at to tell a collection that is not known."""
_PATIENCE_MS = 900_000
"""How long one query may take: no part takes minutes."""
_STATISTICS: list[dict[str, Any]] = [{"$collStats": {"count": {}}}]
"""Asks how many documents each shard has of a collection."""

_KEY = "key"
"""The column of ids beside the event's own: `_id` as text, an ObjectId after `_OBJECT`."""
_OBJECT = "\0"


@dataclass(frozen=True)
class _Source:
    """A collection that is there, and what its fields are called."""

    name: str
    table: Table
    env_id: str
    moment: str
    needed: tuple[str, ...]


_SOURCES = (
    _Source("Events", EVENTS, "env_id", "timestamp", ("env_id", "event", "properties")),
    *(
        _Source(f"{draft}{kind}Events", table, "envId", moment, ("envId", *needed))
        for draft in ("Experiment", "ReleaseDecision")
        for kind, table, moment, needed in (
            ("Exposure", EXPOSURES, "exposedAt", ("flagKey", "userKey", "variationId")),
            ("Metric", METRICS, "occurredAt", ("eventName", "userKey", "numericValue")),
        )
    ),
)

_INDEX = ("event", "env_id", "distinct_id", "timestamp")
_AS_SENT: CodecOptions[dict[str, Any]] = CodecOptions(
    # moments that no calendar has, and ids in any spelling, come through
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    uuid_representation=UuidRepresentation.STANDARD,
)
# as mongoexport writes unless it is told otherwise
_AS_TEXT = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED, uuid_representation=UuidRepresentation.STANDARD
)


@dataclass(frozen=True)
class _Part:
    """Some documents of a collection."""

    source: _Source
    filter: Mapping[str, Any]
    is_counted: bool = True
    """Whether the chunk's rows are those of the filter, as they were planned."""


class MongoStore:
    """See `Store`."""

    kind = "mongodb"

    def __init__(self, database: Database[dict[str, Any]], label: str) -> None:
        self._database = database
        self.label = label

    @cached_property
    def _sources(self) -> list[_Source]:
        # asked for when they are wanted: FeatBit with ClickHouse keeps no events here
        with self._named():
            return self._present()

    @cached_property
    def _indexed(self) -> set[str]:
        with self._named():
            return {source.name for source in self._sources if self._has_index(source.name)}

    def plan(self, bounds: Bounds, state: Mapping[str, Any]) -> Plan:
        """See `Store`."""
        with self._named():
            now: datetime = self._database.command("hello")["localTime"].replace(tzinfo=UTC)
            chunks: list[Chunk] = []
            for source in self._sources:
                since = bounds.since
                if source.name in state:
                    read_at = datetime.fromisoformat(state[source.name])
                    since = read_at - timedelta(hours=settings.look_back_hours())
                windowed = since is not None or bounds.until is not None
                if windowed and source.name in self._indexed:
                    chunks += self._windows(source, bounds.envs, since, bounds.until, now)
                else:
                    asked = _between(source.moment, since, bounds.until)
                    if bounds.envs:
                        asked[source.env_id] = {"$in": list(bounds.envs)}
                    chunks += self._ranges(source, asked)
        return Plan(chunks, {source.name: now.isoformat() for source in self._sources})

    def ids(self, chunk: Chunk) -> pa.Table:
        """See `Store`."""
        part: _Part = chunk.key
        ids: list[str] = []
        keys: list[str] = []
        with self._named():
            for documents in self._batches(part.source.name, part.filter, {"_id": 1, "id": 1}):
                for document, _ in documents:
                    ids.append(_event_id(document).lower())
                    keys.append(_key(document["_id"]))
        return pa.table({ID: pa.array(ids, pa.string()), _KEY: pa.array(keys, pa.string())})

    @contextmanager
    def read(self, chunk: Chunk, wanted: pa.Table | None) -> Iterator[Reading]:
        """See `Store`."""
        part: _Part = chunk.key
        source = part.source
        with self._named():
            if wanted is None:
                counted = chunk.rows if part.is_counted else self._count(source, part.filter)
                filters: Sequence[Mapping[str, Any]] = (part.filter,)
            else:
                counted = wanted.num_rows
                keys = [_identity(key) for key in wanted.column(_KEY).to_pylist()]
                filters = [
                    {"_id": {"$in": keys[first : first + _BATCH]}}
                    for first in range(0, len(keys), _BATCH)
                ]
            reading = Reading(counted, iter(()))
            reading.rows = self._rows(source, filters, reading)
            yield reading

    def counts(self, bounds: Bounds) -> Iterator[Group]:
        """See `CountedStore`; counted here, from what the index holds where there is one."""
        for source in self._sources:
            kind = None if source.table is EVENTS else "eventType"
            event = "event" if kind is None else kind
            asked = _between(source.moment, bounds.since, bounds.until)
            if bounds.envs:
                asked[source.env_id] = {"$in": list(bounds.envs)}
            fields = {source.env_id: 1, event: 1, source.moment: 1, "_id": 0}
            found: Counter[tuple[str, int | None, str]] = Counter()
            with self._named():
                for documents in self._batches(source.name, asked, fields):
                    found.update(_group(source, event, document) for document, _ in documents)
            for (env_id, day, name), rows in found.items():
                yield Group(env_id, day, name, rows)

    def usage(self) -> Iterator[tuple[str, date, int, int]]:
        """See `CountedStore`; none is known of MongoDB."""
        return iter(())

    def named(self, kind: Kind) -> str:
        """See `KeepingStore`."""
        return kind.collection

    @contextmanager
    def records(self, kind: Kind, envs: Sequence[str]) -> Iterator[Records | None]:
        """See `KeepingStore`."""
        name = kind.collection
        with self._named():
            if name not in self._database.list_collection_names():
                yield None
                return
            asked = {"envId": {"$in": [as_kept for env in envs for as_kept in _spellings(env)]}}
            some = list(self._collection(name).find().limit(_LOOKED_AT).max_time_ms(_PATIENCE_MS))
            for field in map(_camel, kind.needed):
                if some and not any(field in document for document in some):
                    raise self._lacks(name, field, some[0])
            found = Records(0, iter(()))
            found.expected = self._collection(name).count_documents(
                asked if envs else {}, maxTimeMS=_PATIENCE_MS
            )
            found.batches = self._records(kind, asked if envs else {}, found)
            yield found

    def _records(
        self, kind: Kind, asked: Mapping[str, Any], found: Records
    ) -> Iterator[list[tuple[Record, str]]]:
        came = 0
        # `_id` comes along
        fields = dict.fromkeys(map(_camel, kind.columns), 1)
        with self._named():
            for documents in self._batches(kind.collection, asked, fields):
                came += len(documents)
                # there is no snapshot, so what came meanwhile is read, too
                found.expected = max(found.expected, came)
                yield [(json.loads(_text(document)), fault) for document, fault in documents]

    def _rows(
        self, source: _Source, filters: Sequence[Mapping[str, Any]], reading: Reading
    ) -> Iterator[Rows]:
        came = 0
        with self._named():
            for asked in filters:
                for documents in self._batches(source.name, asked, None):
                    came += len(documents)
                    # there is no snapshot, so what came meanwhile is read, too
                    reading.expected = max(reading.expected, came)
                    yield _landing_rows(source, documents)
            if came < reading.expected:
                # some went since they were counted, or the answer was cut off: a new count tells
                reading.expected = max(came, sum(self._count(source, asked) for asked in filters))

    def _batches(
        self, name: str, asked: Mapping[str, Any], projection: Mapping[str, int] | None
    ) -> Iterator[list[tuple[dict[str, Any], str]]]:
        """Documents, each with why it cannot be read; '' where it can."""
        cursor = self._collection(name).find_raw_batches(
            dict(asked), projection, batch_size=_BATCH, max_time_ms=_PATIENCE_MS
        )
        with cursor:
            for raw in cursor:
                answer = cast("bytes", raw)
                try:
                    yield [(document, "") for document in bson.decode_all(answer, _AS_SENT)]
                except BSONError:
                    yield list(map(_decoded, _split(answer)))

    def _ranges(self, source: _Source, asked: Mapping[str, Any]) -> Iterator[Chunk]:
        """The collection, cut by `_id` where it is large, whatever ids it has."""
        size = self._size(source)
        if size <= CHUNK_ROWS:
            yield Chunk(source.name, size, _Part(source, asked, is_counted=not asked))
            return
        collection = self._collection(source.name)
        # comparing finds only what has the type of its operand
        for lowest in ("", ObjectId("0" * 24)):
            first: Any = lowest
            while True:
                bound: dict[str, Any] = {"$gte": first}
                following = list(
                    collection.find({"_id": bound}, {"_id": 1})
                    .sort("_id", 1)
                    .skip(CHUNK_ROWS)
                    .limit(1)
                    .max_time_ms(_PATIENCE_MS)
                )
                if following:
                    bound = {**bound, "$lt": following[0]["_id"]}
                    rows = CHUNK_ROWS
                else:
                    rows = self._count(source, {"_id": bound})
                # the last part has no end, since the collection may grow meanwhile
                part = _Part(source, {"_id": bound, **asked}, is_counted=not asked)
                yield Chunk(source.name, rows, part)
                if not following:
                    break
                first = following[0]["_id"]

    def _windows(
        self,
        source: _Source,
        envs: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        now: datetime,
    ) -> Iterator[Chunk]:
        """The window cut by what the index begins with and, where that is much, by time."""
        collection = self._collection(source.name)
        edges: list[datetime | None] = [since] if since else [None, _EPOCH]
        edges += [until] if until else [max(now, edges[-1] or now) + timedelta(days=1), None]
        for event in collection.distinct("event"):
            for env_id in collection.distinct("env_id", {"event": event}):
                if envs and env_id not in envs:
                    continue
                begin = {"event": event, "env_id": env_id}
                names = collection.distinct("distinct_id", begin)
                for first in range(0, len(names), _BEGINNINGS):
                    some = {**begin, "distinct_id": {"$in": names[first : first + _BEGINNINGS]}}
                    for start, end in pairwise(edges):
                        yield from self._halved(source, some, start, end)

    def _halved(
        self,
        source: _Source,
        some: Mapping[str, Any],
        start: datetime | None,
        end: datetime | None,
        counted: int | None = None,
    ) -> Iterator[Chunk]:
        asked = {**some, **_between(source.moment, start, end)}
        if counted is None:
            counted = self._count(source, asked)
        if not counted:
            return
        if counted <= CHUNK_ROWS or not start or not end or end - start < _SHORTEST:
            yield Chunk(source.name, counted, _Part(source, asked))
            return
        middle = start + (end - start) // 2
        middle -= timedelta(microseconds=middle.microsecond % 1000)
        earlier = self._count(source, {**some, **_between(source.moment, start, middle)})
        yield from self._halved(source, some, start, middle, earlier)
        # asked anew, since what is counted may have grown
        yield from self._halved(source, some, middle, end)

    def _size(self, source: _Source) -> int:
        """Documents of the collection as its statistics have them; none is read."""
        collection = self._collection(source.name)
        try:
            found = list(collection.aggregate(_STATISTICS, maxTimeMS=_PATIENCE_MS))
        except errors.OperationFailure:
            # not every server has them, nor every user the right; for this some read all documents
            return collection.estimated_document_count(maxTimeMS=_PATIENCE_MS)
        return sum(shard["count"] for shard in found)

    def _count(self, source: _Source, asked: Mapping[str, Any]) -> int:
        return self._collection(source.name).count_documents(asked, maxTimeMS=_PATIENCE_MS)

    def _present(self) -> list[_Source]:
        """The collections of events that are there.

        Raises:
            FlagmartError: there is none, or one is not known.
        """
        names = set(self._database.list_collection_names())
        sources = [source for source in _SOURCES if source.name in names]
        if not sources:
            raise FlagmartError(
                f"MongoDB at {self.label} has no collection Events, and none of FeatBit v6; name "
                f"the database FeatBit keeps its events in at the end of {URL}"
            )
        for source in sources:
            collection = self._collection(source.name)
            some = list(collection.find().limit(_LOOKED_AT).max_time_ms(_PATIENCE_MS))
            for name in source.needed:
                if some and not any(name in document for document in some):
                    raise self._lacks(source.name, name, some[0])
            odd = next((d["_id"] for d in some if not isinstance(d["_id"], str | ObjectId)), None)
            if odd is not None:
                raise FlagmartError(
                    f"MongoDB at {self.label}: {source.name} has an _id of type "
                    f"{type(odd).__name__}, where FeatBit writes text or an ObjectId; please "
                    "report it"
                )
        return sources

    def _lacks(self, name: str, field: str, document: Mapping[str, Any]) -> FlagmartError:
        return FlagmartError(
            f"MongoDB at {self.label}: documents of {name} have no field {field}; they have "
            f"{', '.join(document)}. flagmart does not know this version of FeatBit: please "
            "report it"
        )

    def _has_index(self, name: str) -> bool:
        return any(
            tuple(index["key"])[: len(_INDEX)] == _INDEX
            for index in self._collection(name).list_indexes()
        )

    def _collection(self, name: str) -> Collection[dict[str, Any]]:
        return self._database.get_collection(name, codec_options=_AS_SENT)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except errors.PyMongoError as error:
            raise FlagmartError(f"MongoDB at {self.label}: {_told(error)}") from error


@contextmanager
def connected() -> Iterator[MongoStore]:
    """The MongoDB named by `FLAGMART_MONGODB_URL`; its options, readPreference too, count.

    Raises:
        UsageError: the environment names none.
        FlagmartError: it cannot be reached, refuses, or has no collections that can be read.
    """
    url = os.environ.get(URL)
    if not url:
        raise UsageError(
            f"no MongoDB is named; set {URL}, for example to "
            "mongodb://user:password@host:27017/featbit?authSource=admin"
        )
    servers, database = _server(url)
    try:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            url, appname="flagmart", serverSelectionTimeoutMS=_FOUND_WITHIN_MS
        )
    except (errors.PyMongoError, ValueError):
        # what is wrong with it is not repeated, since it may be the password
        raise UsageError(_NO_ADDRESS) from None
    with client:
        yield MongoStore(client[database], f"{servers}/{database}")


_NO_ADDRESS = (
    f"{URL} is no address of MongoDB; write it like mongodb://user:password@host:27017/featbit, "
    "with signs other than letters and digits in the password as % and two digits"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST = timedelta(milliseconds=2)


def _server(url: str) -> tuple[str, str]:
    """Hosts as they are asked for, without credentials; and the database."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError(_NO_ADDRESS) from None
    servers = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("mongodb", "mongodb+srv") or not servers:
        raise UsageError(_NO_ADDRESS)
    return servers, unquote(parts.path[1:]) or DATABASE


def _told(error: errors.PyMongoError) -> str:
    """What a failure was, in one line."""
    if isinstance(error, errors.OperationFailure):
        if error.code in _MEANINGS:
            return _MEANINGS[error.code]
        return f"it refused: {_line(str((error.details or {}).get('errmsg') or error))}"
    if isinstance(error, errors.ServerSelectionTimeoutError):
        reason = _line(str(error).partition(", Timeout:")[0].partition(" (configured")[0])
        return f"nobody answers there ({reason}); see that it runs"
    if isinstance(error, errors.ConnectionFailure):
        return "the connection was lost; nothing of this run landed, run it again"
    return _line(str(error))


_MEANINGS = {
    11: "wrong user or password",
    18: "wrong user or password",
    13: "no right to read; give this user the role `read` on the database",
    8000: "wrong user or password",
}


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _group(source: _Source, event: str, document: Mapping[str, Any]) -> tuple[str, int | None, str]:
    moment = document.get(source.moment)
    day = int(moment) // 86_400_000 if isinstance(moment, DatetimeMS) else None
    named = str(document.get(event) or "")
    if source.table is EXPOSURES:
        named = "FlagValue"
    elif source.table is METRICS:
        named = named if named in METRIC_EVENTS else "CustomEvent"
    return str(document.get(source.env_id) or ""), day, named


def _between(moment: str, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    bounds: dict[str, datetime] = {}
    if since is not None:
        bounds["$gte"] = since
    if until is not None:
        bounds["$lt"] = until
    return {moment: bounds} if bounds else {}


def _key(identity: Any) -> str:
    return f"{_OBJECT}{identity}" if isinstance(identity, ObjectId) else str(identity)


def _spellings(env_id: str) -> list[str | Binary]:
    """An environment's id as documents may hold it: as text, or as either kind of uuid."""
    try:
        found = UUID(env_id)
    except ValueError:
        return [env_id]
    kinds = (UuidRepresentation.STANDARD, UuidRepresentation.CSHARP_LEGACY)
    return [env_id, *(Binary.from_uuid(found, kind) for kind in kinds)]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _identity(key: str) -> str | ObjectId:
    return ObjectId(key[1:]) if key.startswith(_OBJECT) else key


def _event_id(document: Mapping[str, Any]) -> str:
    """The id a landed event will have; see `records.parse`, which decides in the odd cases."""
    named = document.get("id")
    if isinstance(named, str) and named:
        return named
    return str(document["_id"])


def _split(raw: bytes) -> Iterator[bytes]:
    """The documents of an answer, each begins with its length."""
    place = 0
    while place < len(raw):
        end = place + int.from_bytes(raw[place : place + 4], "little")
        yield raw[place:end]
        place = end


_LENIENT: CodecOptions[dict[str, Any]] = _AS_SENT.with_options(
    unicode_decode_error_handler="backslashreplace"
)


def _decoded(raw: bytes) -> tuple[dict[str, Any], str]:
    try:
        return bson.decode(raw, _AS_SENT), ""
    except BSONError:
        return bson.decode(raw, _LENIENT), NOT_UTF8


def _landing_rows(source: _Source, documents: Sequence[tuple[dict[str, Any], str]]) -> Rows:
    facts: list[_Facts] = []
    others: list[tuple[dict[str, Any], str]] = []
    for document, fault in documents:
        known = None if fault or source.table is not EVENTS else _facts(document)
        if known is None:
            others.append((document, fault))
        else:
            facts.append(known)
    refused: list[Refused] = []
    parts = [_columns(facts, source.name)] if facts else []
    if others or not facts:
        parts.append(_any_rows(source, others, refused))
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts), refused


_Facts = tuple[str, str, str, str, str, int]
"""The id, env_id, event, distinct_id, properties and milliseconds since 1970 of an event."""


def _columns(facts: Sequence[_Facts], source_ref: str) -> pa.RecordBatch:
    *texts, moments = zip(*facts, strict=True)
    columns = [
        *(pa.array(column, pa.string()) for column in texts),
        pa.array(moments, pa.timestamp("ms")).cast(TIME),
        pa.repeat(pa.scalar(source_ref, pa.string()), len(facts)),
        pa.nulls(len(facts), TIME),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_COLUMNS)


def _any_rows(
    source: _Source, documents: Sequence[tuple[dict[str, Any], str]], refused: list[Refused]
) -> pa.RecordBatch:
    """Events of documents of any shape; what is none is added to `refused`."""
    batcher = Batcher(source.name, Unit.MS)
    try:
        for place, (document, fault) in enumerate(documents):
            try:
                if fault:
                    raise NoEventError(fault)
                batcher.add(place, _any_event(document))
            except NoEventError as reason:
                refused.append(Refused(_event_id(document).lower(), str(reason), _text(document)))
        batch, misdated = batcher.take()
    finally:
        batcher.close()
    refused += [
        Refused(_event_id(documents[place][0]).lower(), reason, text)
        for place, reason, text in misdated
    ]
    where = pa.repeat(pa.scalar(source.name, pa.string()), batch.num_rows)
    return batch.set_column(batch.schema.get_field_index("source_ref"), _REF, where)


_REF = pa.field("source_ref", pa.string(), nullable=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Int64):
        return int(value)
    raise TypeError  # the slow way knows


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def _facts(document: dict[str, Any]) -> _Facts | None:
    """The event in a document as FeatBit writes it; None for any other, which goes the slow way."""
    try:
        identity, moment = document["_id"], document["timestamp"]
        env_id, event = document["env_id"], document["event"]
        distinct_id, properties = document["distinct_id"], document["properties"]
        number = properties.get("numericValue")
        if (
            type(identity) is type(env_id) is type(event) is type(distinct_id) is str
            and len(identity) == _UUID_LENGTH
            and type(moment) is DatetimeMS
            and FIRST <= (milliseconds := int(moment)) * 1_000 <= LAST
            and "id" not in document
            # JSON has no form for what is no number
            and (type(number) is not float or number - number == 0)
        ):
            text = _encode(properties).decode()
            return identity, env_id, event, distinct_id, text, milliseconds
    except (KeyError, AttributeError, TypeError, RecursionError):
        pass
    return None


_UUID_LENGTH = 36
"""Of an id that is spelled as FeatBit does."""


def _any_event(document: dict[str, Any]) -> Event:
    """The event in a document by way of the text that mongoexport writes of it."""
    if isinstance(document["_id"], ObjectId) and document.get("id"):
        document = {name: value for name, value in document.items() if name != "_id"}
    return parse(_text(document).encode())


def _text(document: Mapping[str, Any]) -> str:
    return json_util.dumps(document, json_options=_AS_TEXT, ensure_ascii=False)
