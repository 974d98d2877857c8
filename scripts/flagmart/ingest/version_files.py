"""`flagmart ingest flags|users PATH…`: exports of FeatBit's flags and users, as versions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flagmart import talk
from flagmart.ingest import columnar, formats, framing, tables
from flagmart.ingest.batches import ROWS
from flagmart.ingest.event import NoEventError
from flagmart.ingest.formats import Format
from flagmart.ingest.landed_files import FileReport, Report, land_files
from flagmart.ingest.records import loads
from flagmart.ingest.sources import Source, Stream
from flagmart.ingest.versions import Kind, Version, as_text, batch, version
from flagmart.settings import DataFolder
from flagmart.warehouse.landing import VERSIONS, Run

OTHER = "of another environment"


def ingest(
    kind: Kind, paths: Sequence[Path], data: DataFolder, envs: Sequence[str], *, dry_run: bool
) -> Report:
    """Land what is new in the files: versions whose content differs from the newest landed.

    Args:
        kind: what is in the files.
        paths: files, folders, `-` for standard input.
        data: where to land them.
        envs: only records of these environments; all where empty.
        dry_run: read and count, land nothing, need no data folder.

    Raises:
        UsageError: a path does not exist.
        FlagmartError: the landing cannot be written.
    """
    return land_files(
        paths,
        data,
        VERSIONS,
        lambda run, source, report: _ingest_file(kind, run, source, report, frozenset(envs)),
        source="file",
        counted=kind.name,
        no_file=f"no export of {kind.table}",
        dry_run=dry_run,
    )


def _ingest_file(
    kind: Kind, run: Run, source: Source, report: FileReport, envs: frozenset[str]
) -> Iterator[tuple[int, int]]:
    """Read one file into the run; yields how far it has come, and how many rows that brought."""
    with source.open() as stream:
        fmt = report.format = formats.tell(stream, kind.check)
    if fmt is Format.EMPTY:
        talk.say(f"{source.label}: empty, nothing to do")
        return
    found: list[Version] = []
    places: list[str] = []
    with source.open() as stream:
        for line, record, raw in _records(kind, stream, fmt):
            try:
                if isinstance(record, NoEventError):
                    raise record
                each = version(kind, record)
            except NoEventError as reason:
                text = raw.decode("utf-8", "backslashreplace") or as_text(record)
                run.reject(line, str(reason), text)
                continue
            if envs and each.env_id not in envs:
                report.skipped[OTHER] += 1
                continue
            found.append(each)
            places.append(f"{source.label}:{line}")
            if len(found) == ROWS:
                run.append(batch(kind, run.run_id, found, places))
                yield stream.position(), len(found)
                found, places = [], []
        if found:
            run.append(batch(kind, run.run_id, found, places))
            yield stream.position(), len(found)
        report.damaged = stream.damage
    if report.damaged:
        talk.say(f"{source.label}: {report.damaged}; what stands before that was read")


def _records(
    kind: Kind, stream: Stream, fmt: Format
) -> Iterator[tuple[int, Any | NoEventError, bytes]]:
    """Each record of a file with its line and its bytes, or why it is none."""
    if fmt is Format.PARQUET:
        yield from columnar.records(stream, kind.check)
        return
    if fmt in (Format.CSV, Format.CSV_BY_TABS, Format.TSV):
        yield from tables.records(framing.lines(stream), fmt)
        return
    framed = framing.lines(stream) if fmt is Format.JSON_LINES else framing.Splitter(stream)
    for line, raw, fault in framed:
        try:
            if fault:
                raise NoEventError(fault)
            yield line, loads(raw), raw
        except NoEventError as reason:
            yield line, reason, raw
