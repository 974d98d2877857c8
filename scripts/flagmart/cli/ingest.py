"""`flagmart ingest`: events into the landing, append-only, each id once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart import settings, talk
from flagmart.cli.options import OutputForm
from flagmart.errors import Exit, UsageError
from flagmart.ingest.timestamps import Unit
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.ingest.files import FileReport, Report
    from flagmart.warehouse.landing import InputCounts

_COUNTS = ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")


def register(app: typer.Typer) -> None:
    """Add `ingest` and its commands."""
    group = typer.Typer(help="Land events: append-only, each event id once.", no_args_is_help=True)
    group.command("files")(files)
    app.add_typer(group, name="ingest")


def files(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files, folders (all files below but hidden ones), or - for standard input.",
        ),
    ],
    timestamp_unit: Annotated[
        Unit | None,
        typer.Option(
            help="What numbers in `timestamp` count; by default told file by file, by their size."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count; land nothing.")
    ] = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 4 when nothing new landed.")
    ] = False,
) -> None:
    """Land events from files, whatever FeatBit's stores wrote them.

    Told apart by content, gzip or not: Kafka envelopes, mongoexport documents and PostgreSQL rows
    as JSON lines, arrays or pretty-printed; CSV and TSV with a header; ClickHouse's CSVWithNames,
    TSVWithNames, JSONEachRow and parquet; bare properties objects. FeatBit v6's messages and its
    two tables are read in the same formats. What is no event goes to a reject file.

    Exit codes: 0 done, 1 nothing could be read, 2 wrong usage, 3 some records were no events or
    contradict one that landed.
    """
    from flagmart.ingest.files import ingest

    if "" in paths:
        raise UsageError("a PATH is empty, maybe a variable that is not set; nothing was ingested")
    data = settings.data_folder()
    report = ingest([Path(path) for path in paths], data, timestamp_unit, dry_run=dry_run)
    _say(report, dry_run=dry_run)
    if output is Output.JSON:
        talk.print_json(_document(report, dry_run=dry_run))
    elif report.files:
        _print(report)
    code = _exit_code(report)
    if code is Exit.DONE and detailed_exitcode and not report.result.total("landed"):
        code = Exit.NOTHING_TO_DO
    if code is not Exit.DONE:
        raise typer.Exit(code)


def _exit_code(report: "Report") -> Exit:
    if report.is_complete:
        return Exit.DONE
    if report.refused and not report.result.total("read"):
        return Exit.FAILED
    return Exit.PARTLY


def _say(report: "Report", *, dry_run: bool) -> None:
    result = report.result
    where = f"; see {result.rejects}" if result.rejects else ""
    for counts in result.inputs:
        if counts.reasons:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts.reasons.most_common())
            talk.say(
                f"{counts.label}: {talk.plural(counts.unreadable, 'record')} unreadable: {reasons}"
            )
    figures = (
        f"{talk.plural(result.total('equal_repeats'), 'equal repeat')}, "
        f"{talk.plural(result.total('conflicting_repeats'), 'conflicting repeat')}, "
        f"{result.total('unreadable'):,} unreadable"
    )
    read = talk.plural(result.total("read"), "record")
    landed = f"{result.total('landed'):,}"
    if dry_run:
        talk.say(
            f"dry run: {read} read, {landed} of them events; nothing landed, repeats not looked for"
        )
    elif result.recorded is None:
        talk.say("nothing read, nothing landed")
    else:
        talk.say(f"run {result.recorded.run_id}: {read} read, {landed} landed, {figures}{where}")


def _print(report: "Report") -> None:
    rows = [_row(file, counts) for file, counts in _pairs(report)]
    rows.append(["all", "", "", *(report.result.total(count) for count in _COUNTS)])
    header = ["input", "format", "timestamps", *(count.replace("_", " ") for count in _COUNTS)]
    talk.print_table(rows, header)


def _row(file: "FileReport", counts: "InputCounts") -> list[object]:
    kind = "refused" if file.refused else (file.format.value if file.format else "")
    return [file.label, kind, file.timestamps or "", *(getattr(counts, count) for count in _COUNTS)]


def _pairs(report: "Report") -> "list[tuple[FileReport, InputCounts]]":
    return list(zip(report.files, report.result.inputs, strict=True))


def _document(report: "Report", *, dry_run: bool) -> dict[str, object]:
    result = report.result
    recorded = result.recorded
    return {
        "run_id": recorded.run_id if recorded else None,
        "ingested_at": recorded.ingested_at if recorded else None,
        "dry_run": dry_run,
        "inputs": [
            {
                "path": file.label,
                "format": file.format.value if file.format else None,
                "timestamps": file.timestamps,
                "refused": file.refused,
                "damaged": file.damaged,
                **{count: getattr(counts, count) for count in _COUNTS},
                "reasons": dict(counts.reasons),
            }
            for file, counts in _pairs(report)
        ],
        **{count: result.total(count) for count in _COUNTS},
        "rejects": str(result.rejects) if result.rejects else None,
    }
