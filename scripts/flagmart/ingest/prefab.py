"""`flagmart ingest prefab`: Prefab's telemetry, of which the counters of evaluations land.

An instance of a Prefab SDK counts evaluations and sends summaries of a window: for each flag a
counter for each value served and each way it was chosen. A counter lands as one row: `properties`
is the counter with the facts of its summary around it, in one spelling, and its id is made of that
text and the environment. So what is read twice counts once, in whatever form it came.
"""

import base64
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from flagmart import talk
from flagmart.ingest import formats, framing
from flagmart.ingest.batches import ROWS
from flagmart.ingest.event import MALFORMED, NESTED, NOT_UTF8, NoEventError
from flagmart.ingest.formats import Format
from flagmart.ingest.landed_files import FileReport, Report, land_files
from flagmart.ingest.prefab_messages import ConfigType, LogLevel, TelemetryEvent, TelemetryEvents
from flagmart.ingest.sources import RefusedError, Source, Stream
from flagmart.ingest.timestamps import FIRST, LAST, OUT_OF_RANGE
from flagmart.settings import DataFolder
from flagmart.warehouse.landing import EVENT_COLUMNS, PREFAB, Run

EVENT = "ConfigEvaluationSummary"
"""`event` of every row: the message that a counter stands in."""
FLAG = "FEATURE_FLAG"

NO_TELEMETRY = (
    "no telemetry: neither TelemetryEvents (instanceHash, events), nor a TelemetryEvent "
    "(summaries: {…}), nor ConfigEvaluationSummaries (start, end, summaries: […])"
)
NO_MESSAGE = "a field holds what protobuf's JSON does not allow there"
NO_INSTANCE = (
    "neither instanceHash nor --instance: equal summaries of two instances would count once"
)
NO_FILE = "neither JSON nor a binary TelemetryEvents message"
UNKNOWN = "telemetry of an unknown kind"

_PAYLOAD_NAMES = frozenset(
    name for named in TelemetryEvent.DESCRIPTOR.fields for name in (named.name, named.json_name)
)
# the ids of all counters hang on this name, and on the spelling below, so neither ever changes
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "prefab.flagmart")


@dataclass(frozen=True)
class Choice:
    """What is asked of the telemetry, and what it does not say itself."""

    env_id: str
    """The environment it comes from: no message names it."""
    instance: str = ""
    """Stands for the instance hash where a document has none."""
    all_types: bool = False
    """Whether evaluations of other configs than feature flags land, too."""


class Row(NamedTuple):
    """One counter as it lands."""

    id: str
    key: str
    properties: str
    start: int
    """Microseconds since 1970 UTC."""
    line: int


def ingest(
    paths: Sequence[Path], data: DataFolder, choice: Choice, *, dry_run: bool = False
) -> Report:
    """Land the counters of `paths`, each once.

    Args:
        paths: files, folders, `-` for standard input.
        data: where to land them.
        choice: the environment, and what else the files do not say.
        dry_run: read and count, land nothing, need no data folder.

    Raises:
        UsageError: a path does not exist.
        FlagmartError: the landing cannot be written.
    """
    return land_files(
        paths,
        data,
        PREFAB,
        lambda run, source, report: _ingest_file(run, source, report, choice),
        source="prefab",
        counted="counter",
        no_file="no telemetry",
        dry_run=dry_run,
    )


def _ingest_file(
    run: Run, source: Source, report: FileReport, choice: Choice
) -> Iterator[tuple[int, int]]:
    """Read one file into the run; yields how far it has come, and how many rows that brought."""
    with source.open() as stream:
        report.format = formats.tell_json(stream)
    if report.format is Format.EMPTY:
        talk.say(f"{source.label}: empty, nothing to do")
        return
    rows: list[Row] = []
    with source.open() as stream:
        for line, document, raw in _documents(stream, report.format):
            try:
                rows += counters(document, line, choice, report.skipped)
            except NoEventError as reason:
                run.reject(line, str(reason), raw.decode("utf-8", "backslashreplace"))
            if len(rows) >= ROWS:
                run.append(_batch(rows, source.label, choice.env_id))
                yield stream.position(), len(rows)
                rows = []
        if rows:
            run.append(_batch(rows, source.label, choice.env_id))
            yield stream.position(), len(rows)
        report.damaged = stream.damage
    if report.damaged:
        talk.say(f"{source.label}: {report.damaged}; what stands before that was read")


def _documents(stream: Stream, form: Format) -> Iterator[tuple[int, Any | NoEventError, bytes]]:
    """Each message of a file with its line and its bytes, or why it is none.

    Raises:
        RefusedError: the file is neither JSON nor one binary message.
    """
    if form is Format.BINARY:
        message, raw = _binary(stream)
        yield 1, message, raw
        return
    framed = framing.lines(stream) if form is Format.JSON_LINES else framing.Splitter(stream)
    for line, raw, fault in framed:
        try:
            yield line, NoEventError(fault) if fault else parse(raw), raw
        except NoEventError as reason:
            yield line, reason, raw


def _binary(stream: Stream) -> tuple[Any, bytes]:
    raw = b""
    for block in stream.blocks():
        raw += block
        if len(raw) > framing.LARGEST:
            raise RefusedError(f"{NO_FILE}; of those the largest that is read has 16 MB")
    if stream.damage:
        raise RefusedError(stream.damage)
    try:
        message = TelemetryEvents.FromString(raw)
    except DecodeError as error:
        raise RefusedError(NO_FILE) from error
    if not message.instance_hash and not message.events:
        raise RefusedError(NO_FILE)  # bytes that happen to be a message of something else
    return message, raw


def parse(raw: bytes) -> Any:
    """The TelemetryEvents in the bytes of one JSON value; what is bare gets its envelope.

    Raises:
        NoEventError: it is none, with the reason.
    """
    try:
        document = json.loads(raw)
    except UnicodeDecodeError as error:
        raise NoEventError(NOT_UTF8) from error
    except ValueError as error:
        raise NoEventError(MALFORMED) from error
    except RecursionError as error:
        raise NoEventError(NESTED) from error
    if not isinstance(document, dict):
        raise NoEventError(NO_TELEMETRY)
    message = TelemetryEvents()
    summaries = document.get("summaries")
    if document.keys() & {"events", "instanceHash", "instance_hash"}:
        _fill(message, document)
    elif isinstance(summaries, list) or (summaries is None and document.keys() & {"start", "end"}):
        _fill(message.events.add().summaries, document)
    elif summaries is not None or document.keys() & _PAYLOAD_NAMES:
        _fill(message.events.add(), document)
    else:
        raise NoEventError(NO_TELEMETRY)
    return message


def _fill(message: Any, document: dict[str, Any]) -> None:
    try:
        # a newer release of Prefab may know fields that we do not
        json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise NoEventError(NO_MESSAGE) from error


def counters(
    message: Any | NoEventError, line: int, choice: Choice, skipped: Counter[str]
) -> list[Row]:
    """The rows of one message; what it holds besides is counted in `skipped`.

    Raises:
        NoEventError: there are none, with the reason; nothing was counted then.
    """
    if isinstance(message, NoEventError):
        raise message
    found: list[Row] = []
    others: Counter[str] = Counter()
    for event in message.events:
        payload = event.WhichOneof("payload")
        if payload == "summaries":
            found += _summaries(event.summaries, message.instance_hash, line, choice, others)
        else:
            others[payload or UNKNOWN] += 1
    skipped.update(others)
    return found


def _summaries(
    window: Any, instance_hash: str, line: int, choice: Choice, skipped: Counter[str]
) -> Iterator[Row]:
    instance = instance_hash or choice.instance
    if not instance:
        raise NoEventError(NO_INSTANCE)
    if not all(FIRST <= moment * 1000 <= LAST for moment in (window.start, window.end)):
        raise NoEventError(OUT_OF_RANGE)
    # two equal counters of one window are two; those of two windows are the same read twice
    seen: Counter[str] = Counter()
    for summary in window.summaries:
        config_type = _name(ConfigType, summary.type)
        if config_type != FLAG and not choice.all_types:
            skipped[config_type] += len(summary.counters)
            continue
        around = {
            "instance": instance,
            "start": str(window.start),
            "end": str(window.end),
            "key": summary.key,
            "type": config_type,
        }
        for counter in summary.counters:
            facts = around | _facts(counter)
            content = _spelled(facts)
            seen[content] += 1
            if seen[content] > 1:
                content = _spelled(facts | {"occurrence": str(seen[content])})
            made_of = _spelled([choice.env_id, content])
            counter_id = str(uuid.uuid5(_NAMESPACE, made_of))
            yield Row(counter_id, summary.key, content, window.start * 1000, line)


_INDEXES = ("selected_index", "config_row_index", "conditional_value_index", "weighted_value_index")


def _facts(counter: Any) -> dict[str, str]:
    """What a counter says, by the names of protobuf's JSON; what it does not say is left out."""
    facts = {"count": str(counter.count), "reason": str(counter.reason)}
    for name in ("config_id", *_INDEXES):
        if counter.HasField(name):
            facts[counter.DESCRIPTOR.fields_by_name[name].json_name] = str(getattr(counter, name))
    kind = counter.selected_value.WhichOneof("type")
    if kind is not None:
        facts["selectedType"] = kind
        facts["selectedValue"] = value_text(counter.selected_value)
    return facts


def value_text(value: Any) -> str:
    """A ConfigValue as text: what is served, without the name of its type.

    A text is itself, a truth value `true` or `false`, a number has the fewest digits, a list of
    texts and a range are JSON, a duration is ISO 8601, bytes are base64, JSON is as it was sent.
    """
    kind = value.WhichOneof("type")
    held = getattr(value, kind)
    match kind:
        case "bool":
            return "true" if held else "false"
        case "double":
            whole = held.is_integer() and abs(held) <= 2**53
            return str(int(held)) if whole else json.dumps(held)
        case "bytes":
            return base64.b64encode(held).decode()
        case "string_list":
            return _spelled(list(held.values))
        case "int_range":
            return _spelled([str(held.start), str(held.end)])
        case "duration":
            return str(held.definition)
        case "json":
            return str(held.json)
        case "log_level":
            return _name(LogLevel, held)
        case _:
            return str(held)


def _name(enum: Any, number: int) -> str:
    """The name of an enum's value, or its number where it is newer than the names we know."""
    known = enum.values_by_number.get(number)
    return str(known.name) if known else str(number)


def _spelled(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _batch(rows: list[Row], label: str, env_id: str) -> pa.RecordBatch:
    """Rows with the columns `EVENT_COLUMNS`."""
    columns = [
        pa.array([row.id for row in rows], pa.string()),
        pa.repeat(pa.scalar(env_id, pa.string()), len(rows)),
        pa.repeat(pa.scalar(EVENT, pa.string()), len(rows)),
        pa.array([f"{env_id}-{row.key}" for row in rows], pa.string()),
        pa.array([row.properties for row in rows], pa.string()),
        pa.array([row.start for row in rows], pa.timestamp("us")),
        pa.array([f"{label}:{row.line}" for row in rows], pa.string()),
        pa.nulls(len(rows), pa.timestamp("us")),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_COLUMNS)
