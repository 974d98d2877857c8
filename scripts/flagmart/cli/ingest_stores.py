"""`flagmart ingest clickhouse|postgres|mongodb`: from FeatBit's own stores into the landing."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flagmart import settings, talk
from flagmart.cli.options import OutputForm
from flagmart.cli.stores import Source, connected
from flagmart.errors import Exit
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.ingest.stores import Plan, Store, StoreReport
    from flagmart.warehouse.landing import InputCounts

_COUNTS = ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")

Envs = Annotated[
    list[str] | None,
    typer.Option("--env", help="Only this environment's events; may be given more than once."),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only events whose client's clock shows this or later: a date or time, UTC.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only events before this: a date or time, UTC."),
]
Sweep = Annotated[
    bool,
    typer.Option("--sweep", help="Look at all ids of the store, not only at the newest."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be read, and how much; read nothing.")
]
DetailedExitCode = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Exit with 4 when nothing new landed.")
]


def clickhouse(
    env: Envs = None,
    since: Since = None,
    until: Until = None,
    sweep: Sweep = False,
    dry_run: DryRun = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: DetailedExitCode = False,
) -> None:
    """Land events from FeatBit's own ClickHouse: what is there and has not landed.

    The address comes from FLAGMART_FEATBIT_CLICKHOUSE_HOST, _PORT, _USER, _DATABASE and _SECURE,
    the password from DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD; where no host is named, it is the
    server of flagmart's own tables. The right to select is enough. With --since or --until no
    checkpoint moves.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some rows were no events or contradict one that
    landed.
    """
    _ingest(
        Source.CLICKHOUSE,
        Scope(env, since, until, sweep=sweep),
        output,
        dry_run=dry_run,
        detailed_exitcode=detailed_exitcode,
    )


def postgres(
    env: Envs = None,
    since: Since = None,
    until: Until = None,
    sweep: Sweep = False,
    dry_run: DryRun = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: DetailedExitCode = False,
) -> None:
    """Land events from FeatBit's PostgreSQL: what is there and has not landed.

    The address comes from FLAGMART_POSTGRES_URL or from libpq's own variables (PGHOST, PGPORT,
    PGDATABASE, PGUSER, PGPASSWORD, PGSERVICE, ~/.pgpass, PGSSLMODE). The right to select is enough.
    With --since or --until no checkpoint moves.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some rows were no events or contradict one that
    landed.
    """
    _ingest(
        Source.POSTGRES,
        Scope(env, since, until, sweep=sweep),
        output,
        dry_run=dry_run,
        detailed_exitcode=detailed_exitcode,
    )


def mongodb(
    env: Envs = None,
    since: Since = None,
    until: Until = None,
    sweep: Sweep = False,
    dry_run: DryRun = False,
    output: OutputForm = Output.TABLE,
    detailed_exitcode: DetailedExitCode = False,
) -> None:
    """Land events from FeatBit's MongoDB: what is there and has not landed.

    The address comes from FLAGMART_MONGODB_URL, whose options count, readPreference too. The role
    `read` on the database is enough. With --since or --until no checkpoint moves.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some documents were no events or contradict one
    that landed.
    """
    _ingest(
        Source.MONGODB,
        Scope(env, since, until, sweep=sweep),
        output,
        dry_run=dry_run,
        detailed_exitcode=detailed_exitcode,
    )


class Scope(NamedTuple):
    """What of a store is asked for, as the options say it."""

    envs: list[str] | None
    since: str | None
    until: str | None
    sweep: bool


def _ingest(
    source: Source, scope: Scope, output: Output, *, dry_run: bool, detailed_exitcode: bool
) -> None:
    """Ingest from a store, and say what became of it."""
    from flagmart.ingest import stores

    bounds = stores.Bounds.parsed(scope.envs or [], scope.since, scope.until)
    data = settings.data_folder()
    with connected(source) as store:
        if dry_run:
            _print_plan(store, stores.plan(store, data, bounds, sweep=scope.sweep), output)
            return
        report = stores.ingest(store, data, bounds, sweep=scope.sweep)
    _say(report)
    if output is Output.JSON:
        talk.print_json(_document(report))
    else:
        _print(report)
    if not report.is_complete:
        raise typer.Exit(Exit.PARTLY)
    if detailed_exitcode and not report.total("landed"):
        raise typer.Exit(Exit.NOTHING_TO_DO)


def _print_plan(store: "Store", plan: "Plan", output: Output) -> None:
    tables: dict[str, list[int]] = {}
    for chunk in plan.chunks:
        tables.setdefault(chunk.table, []).append(chunk.rows)
    total = sum(chunk.rows for chunk in plan.chunks)
    talk.say(
        f"dry run: about {talk.plural(total, 'row')} of {store.label} would be looked at, and of "
        "these read what has not landed; nothing landed"
    )
    if output is Output.JSON:
        document = {
            "store": store.label,
            "dry_run": True,
            "tables": [
                {"table": table, "chunks": len(rows), "estimated_rows": sum(rows)}
                for table, rows in tables.items()
            ],
            "estimated_rows": total,
        }
        talk.print_json(document)
    else:
        rows = [[table, len(sizes), sum(sizes)] for table, sizes in tables.items()]
        talk.print_table(rows, ["table", "chunks", "rows, about"])


def _say(report: "StoreReport") -> None:
    for counts in report.tables:
        if counts.reasons:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts.reasons.most_common())
            talk.say(
                f"{counts.label}: {talk.plural(counts.unreadable, 'row')} unreadable: {reasons}"
            )
    looked = (
        f"{talk.plural(report.looked_at, 'id')} looked at{' (a sweep)' if report.swept else ''}, "
        f"{report.landed_before:,} of them had landed; "
        if report.looked_at
        else ""
    )
    where = "".join(f"; see {result.rejects}" for result in report.results if result.rejects)
    talk.say(
        f"{report.label}: {looked}{talk.plural(report.total('read'), 'row')} read, "
        f"{report.total('landed'):,} landed, {report.total('equal_repeats'):,} equal and "
        f"{report.total('conflicting_repeats'):,} conflicting repeats, "
        f"{report.total('unreadable'):,} unreadable{where}"
    )


def _print(report: "StoreReport") -> None:
    rows = [
        [counts.label, *(getattr(counts, count) for count in _COUNTS)] for counts in report.tables
    ]
    if rows:
        rows.append(["all", *(report.total(count) for count in _COUNTS)])
        talk.print_table(rows, ["table", *(count.replace("_", " ") for count in _COUNTS)])


def _document(report: "StoreReport") -> dict[str, object]:
    def facts(counts: "InputCounts") -> dict[str, object]:
        return {
            "table": counts.label,
            **{count: getattr(counts, count) for count in _COUNTS},
            "reasons": dict(counts.reasons),
        }

    runs = [result.recorded for result in report.results if result.recorded]
    return {
        "store": report.label,
        "dry_run": False,
        "sweep": report.swept,
        "run_ids": [run.run_id for run in runs],
        "ids_looked_at": report.looked_at,
        "ids_landed_before": report.landed_before,
        "tables": [facts(counts) for counts in report.tables],
        **{count: report.total(count) for count in _COUNTS},
        "rejects": [str(result.rejects) for result in report.results if result.rejects],
    }
