"""`flagmart ingest`: events, counters and versions into the landings, append-only, each id once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart import settings, talk
from flagmart.cli import ingest_stores
from flagmart.cli.options import OutputForm
from flagmart.cli.stores import Source, connected
from flagmart.errors import Exit, UsageError
from flagmart.ingest.timestamps import Unit
from flagmart.talk import Output

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from flagmart.ingest.landed_files import FileReport, Report
    from flagmart.ingest.versions import Kind
    from flagmart.warehouse.landing import InputCounts

_COUNTS = ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")
_VERSION_COUNTS = ("read", "landed", "unchanged", "skipped", "unreadable")
_PREFAB_COUNTS = ("read", "landed", "equal_repeats", "skipped", "unreadable")

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Files, folders (all files below but hidden ones), or - for standard input.",
    ),
]
PathsOrNone = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH...]",
        help="Exports: files, folders (all files below but hidden ones), or - for standard input.",
    ),
]
FromStore = Annotated[
    Source | None,
    typer.Option(help="Read FeatBit's own store in place of files; its address as for events."),
]
OnlyEnvs = Annotated[
    list[str] | None,
    typer.Option("--env", help="Only of this environment; may be given more than once."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and count; land nothing.")]
DetailedExitCode = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit with 4 when nothing new landed.")
]


def register(app: typer.Typer) -> None:
    """Add `ingest` and its commands."""
    group = typer.Typer(help="Land events: append-only, each id once.", no_args_is_help=True)
    group.command("files")(files)
    group.command("clickhouse")(ingest_stores.clickhouse)
    group.command("postgres")(ingest_stores.postgres)
    group.command("mongodb")(ingest_stores.mongodb)
    group.command("flags")(flags)
    group.command("users")(users)
    group.command("prefab")(prefab)
    app.add_typer(group, name="ingest")


def files(
    paths: Paths,
    timestamp_unit: Annotated[
        Unit | None,
        typer.Option(
            help="What numbers in `timestamp` count; by default told file by file, by their size."
        ),
    ] = None,
    dry_run: DryRun = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: DetailedExitCode = False,
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

    data = _data_folder(paths)
    report = ingest([Path(path) for path in paths], data, timestamp_unit, dry_run=dry_run)
    _say(report, "event", dry_run=dry_run)
    if output is Output.JSON:
        talk.print_json(_document(report, _event_facts, _COUNTS, dry_run=dry_run))
    elif report.files:
        _print(report, ["format", "timestamps"], _COUNTS)
    _end(report, detailed_exitcode=detailed_exitcode)


def flags(
    paths: PathsOrNone = None,
    source: FromStore = None,
    env: OnlyEnvs = None,
    dry_run: DryRun = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: DetailedExitCode = False,
) -> None:
    """Land versions of FeatBit's flags, so that charts can show `true` and not an id.

    Read are exports of PostgreSQL's feature_flags and MongoDB's FeatureFlags, flags as FeatBit's
    API gives them, in JSON lines, arrays or pretty-printed, CSV, TSV or parquet, gzip or not; or,
    with --source, the store itself. A flag lands when its name, variations or state is another
    than landed last. What is no flag goes to a reject file.

    Exit codes: 0 done, 1 nothing could be read, 2 wrong usage, 3 some records were no flags.
    """
    from flagmart.ingest.versions import FLAG

    report = _ingest_versions(FLAG, paths or [], source, env or [], dry_run=dry_run)
    _tell_versions(FLAG, report, output, dry_run=dry_run)
    _end(report, detailed_exitcode=detailed_exitcode)


def users(
    paths: PathsOrNone = None,
    source: FromStore = None,
    env: OnlyEnvs = None,
    dry_run: DryRun = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: DetailedExitCode = False,
) -> None:
    """Land versions of FeatBit's users, whose attributes no event has.

    Read are exports of PostgreSQL's end_users and MongoDB's EndUsers, in the formats `ingest flags`
    reads; or, with --source, the store itself, all of it each time. A user lands when its name or
    an attribute is another than landed last. What is no user goes to a reject file.

    Exit codes: 0 done, 1 nothing could be read, 2 wrong usage, 3 some records were no users.
    """
    from flagmart.ingest.versions import USER

    report = _ingest_versions(USER, paths or [], source, env or [], dry_run=dry_run)
    _tell_versions(USER, report, output, dry_run=dry_run)
    _end(report, detailed_exitcode=detailed_exitcode)


def _ingest_versions(
    kind: "Kind", paths: list[str], source: Source | None, envs: list[str], *, dry_run: bool
) -> "Report":
    from flagmart.ingest import version_files, version_stores

    if not all(env.strip() for env in envs):
        raise UsageError("--env is empty, maybe a variable that is not set; nothing was read")
    if bool(paths) == (source is not None):
        raise UsageError("name either files or --source postgres|mongodb; nothing was read")
    data = _data_folder(paths)
    if source is None:
        found = [Path(path) for path in paths]
        return version_files.ingest(kind, found, data, envs, dry_run=dry_run)
    with connected(source) as store:
        return version_stores.ingest(kind, store, data, envs, dry_run=dry_run)


def _tell_versions(kind: "Kind", report: "Report", output: Output, *, dry_run: bool) -> None:
    _say(report, kind.name, dry_run=dry_run, versions=True)
    if output is Output.JSON:
        talk.print_json(_document(report, lambda _: {}, _VERSION_COUNTS, dry_run=dry_run))
    elif report.files:
        _print(report, ["format"], _VERSION_COUNTS)


def prefab(
    paths: Paths,
    env: Annotated[
        str, typer.Option(help="The environment it all comes from; telemetry does not name it.")
    ],
    instance: Annotated[
        str,
        typer.Option(
            help="Name of the sending instance, for documents that have no instanceHash; two "
            "instances need two names, else their equal summaries count once."
        ),
    ] = "",
    all_types: Annotated[
        bool,
        typer.Option("--all-types", help="Land every type of config, not only feature flags."),
    ] = False,
    dry_run: DryRun = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: DetailedExitCode = False,
) -> None:
    """Land evaluation counts from Prefab's telemetry, each counter once.

    Read are TelemetryEvents, and TelemetryEvent and ConfigEvaluationSummaries without the envelope:
    as protobuf's JSON in lines, arrays or pretty-printed, or one binary TelemetryEvents a file;
    gzip or not. Telemetry of other kinds, and configs that are no feature flags, are skipped and
    counted. What is no telemetry goes to a reject file.

    Exit codes: 0 done, 1 nothing could be read, 2 wrong usage, 3 some records were no telemetry.
    """
    from flagmart.ingest.prefab import Choice, ingest

    if not env.strip():
        raise UsageError("--env is empty, maybe a variable that is not set; nothing was ingested")
    data = _data_folder(paths)
    choice = Choice(env, instance, all_types)
    report = ingest([Path(path) for path in paths], data, choice, dry_run=dry_run)
    _say(report, "counter", dry_run=dry_run)
    if output is Output.JSON:
        talk.print_json(_document(report, _prefab_facts, _PREFAB_COUNTS, dry_run=dry_run))
    elif report.files:
        _print(report, ["format"], _PREFAB_COUNTS)
    _end(report, detailed_exitcode=detailed_exitcode)


def _data_folder(paths: list[str]) -> settings.DataFolder:
    if "" in paths:
        raise UsageError("a PATH is empty, maybe a variable that is not set; nothing was ingested")
    return settings.data_folder()


def _end(report: "Report", *, detailed_exitcode: bool) -> None:
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


def _say(report: "Report", what: str, *, dry_run: bool, versions: bool = False) -> None:
    result = report.result
    where = f"; see {result.rejects}" if result.rejects else ""
    for file, counts in _pairs(report):
        if counts.reasons:
            talk.say(
                f"{counts.label}: {talk.plural(counts.unreadable, 'record')} unreadable: "
                f"{_listed(counts.reasons)}"
            )
        if file.skipped:
            talk.say(f"{file.label}: skipped: {_listed(file.skipped)}")
    read = talk.plural(_total(report, "read"), "record")
    landed = f"{result.total('landed'):,}"
    if dry_run:
        unknown = "what is unchanged" if versions else "repeats"
        talk.say(
            f"dry run: {read} read, {landed} of them {what}s; nothing landed, {unknown} not looked "
            "for"
        )
    elif result.recorded is None:
        talk.say("nothing read, nothing landed")
    else:
        repeats = (
            f"{result.total('equal_repeats'):,} unchanged"
            if versions
            else f"{talk.plural(result.total('equal_repeats'), 'equal repeat')}, "
            f"{talk.plural(result.total('conflicting_repeats'), 'conflicting repeat')}"
        )
        figures = f"{repeats}, {result.total('unreadable'):,} unreadable"
        talk.say(f"run {result.recorded.run_id}: {read} read, {landed} landed, {figures}{where}")


def _listed(reasons: "Counter[str]") -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())


def _print(report: "Report", facts: list[str], shown: tuple[str, ...]) -> None:
    rows = [
        [
            file.label,
            "refused" if file.refused else (file.format.value if file.format else ""),
            *(getattr(file, fact) or "" for fact in facts[1:]),
            *(_count(file, counts, count) for count in shown),
        ]
        for file, counts in _pairs(report)
    ]
    rows.append(["all", *("" for _ in facts), *(_total(report, count) for count in shown)])
    talk.print_table(rows, ["input", *facts, *(count.replace("_", " ") for count in shown)])


def _count(file: "FileReport", counts: "InputCounts", count: str) -> int:
    """One of the counts of a file; what was skipped was read, too."""
    if count == "skipped":
        return file.skipped.total()
    if count == "unchanged":
        return counts.equal_repeats
    found = int(getattr(counts, count))
    return found + file.skipped.total() if count == "read" else found


def _total(report: "Report", count: str) -> int:
    return sum(_count(file, counts, count) for file, counts in _pairs(report))


def _pairs(report: "Report") -> "list[tuple[FileReport, InputCounts]]":
    return list(zip(report.files, report.result.inputs, strict=True))


def _event_facts(file: "FileReport") -> dict[str, object]:
    return {"timestamps": file.timestamps}


def _prefab_facts(file: "FileReport") -> dict[str, object]:
    return {"skipped_kinds": dict(file.skipped)}


def _document(
    report: "Report",
    facts: "Callable[[FileReport], dict[str, object]]",
    shown: tuple[str, ...],
    *,
    dry_run: bool,
) -> dict[str, object]:
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
                **facts(file),
                "refused": file.refused,
                "damaged": file.damaged,
                **{count: _count(file, counts, count) for count in shown},
                "reasons": dict(counts.reasons),
            }
            for file, counts in _pairs(report)
        ],
        **{count: _total(report, count) for count in shown},
        "rejects": str(result.rejects) if result.rejects else None,
    }
