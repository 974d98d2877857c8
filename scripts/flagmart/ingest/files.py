"""`flagmart ingest files`: whatever FeatBit leaves lying around as files, into the landing."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from flagmart import talk
from flagmart.ingest import columnar, formats, framing, tables
from flagmart.ingest.batches import Batcher, batches
from flagmart.ingest.event import Event, NoEventError
from flagmart.ingest.formats import Format
from flagmart.ingest.landed_files import FileReport, Report, land_files
from flagmart.ingest.records import WIRE_FORMAT, parse
from flagmart.ingest.sources import RefusedError, Source, Stream
from flagmart.ingest.timestamps import Moment, Unit, decide
from flagmart.settings import DataFolder
from flagmart.warehouse.landing import FEATBIT, Run

SURVEYED = 1_000
"""Records of a file looked at to decide what its timestamps count."""

Item = tuple[int, Event | NoEventError, bytes]
"""A line, the event or why it is none, and in that case the record's bytes."""


def ingest(
    paths: Sequence[Path], data: DataFolder, unit: Unit | None = None, *, dry_run: bool = False
) -> Report:
    """Land the events of `paths`, each id once.

    Args:
        paths: files, folders, `-` for standard input.
        data: where to land them.
        unit: what numbers in timestamps count; None to decide it file by file.
        dry_run: read and count, land nothing, need no data folder.

    Raises:
        UsageError: a path does not exist.
        FlagmartError: the landing cannot be written.
    """
    return land_files(
        paths,
        data,
        FEATBIT,
        lambda run, source, report: _ingest_file(run, source, report, unit),
        source="file",
        counted="event",
        no_file="not an event file",
        dry_run=dry_run,
    )


def _ingest_file(
    run: Run, source: Source, report: FileReport, unit: Unit | None
) -> Iterator[tuple[int, int]]:
    """Read one file into the run; yields how far it has come, and how many events that brought."""
    with source.open() as stream:
        fmt = report.format = formats.tell(stream)
    if fmt is Format.EMPTY:
        talk.say(f"{source.label}: empty, nothing to do")
        return
    unit = _survey(source, fmt, report, unit)
    with source.open() as stream:
        batcher = Batcher(source.label, unit)
        try:
            events = _events(run, _items(stream, fmt))
            for batch, misdated in batches(batcher, events):
                run.append(batch)
                for line, reason, text in misdated:
                    run.reject(line, reason, text)
                yield stream.position(), batch.num_rows
        finally:
            batcher.close()
        report.damaged = stream.damage
    if report.damaged:
        talk.say(f"{source.label}: {report.damaged}; what stands before that was read")


def _survey(source: Source, fmt: Format, report: FileReport, unit: Unit | None) -> Unit:
    """Decide from a file's first records what its timestamps count; say so unless it is the usual.

    Raises:
        RefusedError: the file holds requests of an SDK.
    """
    with source.open() as stream:
        first = [event for _, event, _ in islice(_items(stream, fmt), SURVEYED)]
    if first and isinstance(first[0], NoEventError) and str(first[0]) == WIRE_FORMAT:
        raise RefusedError(
            f"{WIRE_FORMAT}; export the events from where FeatBit keeps them (ClickHouse, "
            "PostgreSQL or MongoDB), or read its Kafka topic"
        )
    moments = [event.timestamp for event in first if isinstance(event, Event)]
    seen = decide(moments)
    chosen = unit or seen or Unit.US
    if seen:
        report.timestamps = chosen.value
        if chosen is not Unit.US:
            why = "as told" if unit else "by their size; --timestamp-unit says otherwise"
            talk.say(f"{source.label}: timestamps count {chosen.words} ({why})")
    elif any(isinstance(moment, Moment) and moment.from_text for moment in moments):
        report.timestamps = "text"
        talk.say(f"{source.label}: timestamps are ISO 8601 text; UTC where none names its zone")
    elif any(moments):
        report.timestamps = "date"
    return chosen


def _items(stream: Stream, fmt: Format) -> Iterator[Item]:
    """The records of a file, whatever its format."""
    if fmt is Format.PARQUET:
        return columnar.events(stream)
    if fmt is Format.JSON_LINES:
        return _json(framing.lines(stream))
    if fmt in (Format.JSON_ARRAY, Format.JSON_DOCUMENTS):
        return _json(iter(framing.Splitter(stream)))
    return tables.events(framing.lines(stream), fmt)


def _json(fragments: Iterator[framing.Fragment]) -> Iterator[Item]:
    for line, raw, fault in fragments:
        try:
            if fault:
                raise NoEventError(fault)
            yield line, parse(raw), b""
        except NoEventError as reason:
            yield line, reason, raw


def _events(run: Run, items: Iterator[Item]) -> Iterator[tuple[int, Event]]:
    """The events among `items`; the others go to the reject file."""
    for line, event, raw in items:
        if isinstance(event, NoEventError):
            run.reject(line, str(event), raw.decode("utf-8", "backslashreplace"))
        else:
            yield line, event
