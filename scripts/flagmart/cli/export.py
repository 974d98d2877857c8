"""`flagmart export`: deliver what is new."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.delivery.report import Report


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def export(
        names: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="NAME", help="Deliveries (names of exposures); all of them without."
            ),
        ] = None,
        project_dir: ProjectDir = Path(),
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Say what would go out, and the first request; write nothing."
            ),
        ] = False,
        to: Annotated[
            str | None,
            typer.Option(
                metavar="URI",
                help="Another folder or bucket for one file delivery; a delivery of its own.",
            ),
        ] = None,
        allow_shrink: Annotated[
            bool,
            typer.Option(
                "--allow-shrink", help="Replace days that lost rows, remove those that vanished."
            ),
        ] = False,
        backfill: Annotated[
            str | None,
            typer.Option(
                metavar="FROM..TO",
                help="Deliver these days of one file delivery anew, changed or not, and no other.",
            ),
        ] = None,
        pushdown: Annotated[
            bool,
            typer.Option(
                "--pushdown", help="Let ClickHouse write the files of s3:// deliveries itself."
            ),
        ] = False,
        max_rows: Annotated[
            int | None,
            typer.Option(min=1, help="Send no more messages than these; the rest goes next time."),
        ] = None,
        since: Annotated[
            str | None,
            typer.Option(metavar="MOMENT", help="Send messages that landed then or later (UTC)."),
        ] = None,
        until: Annotated[
            str | None,
            typer.Option(metavar="MOMENT", help="Send messages that landed before that (UTC)."),
        ] = None,
        resend: Annotated[
            str | None,
            typer.Option(
                metavar="RUN",
                help="Send what one delivery has acknowledged of an ingest run again: "
                "the run's id, or its ingested_at.",
            ),
        ] = None,
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
        detailed_exitcode: Annotated[
            bool,
            typer.Option("--detailed-exitcode", help="Exit with 4 where there was nothing to do."),
        ] = False,
    ) -> None:
        """Deliver what is new: files put in place, messages posted; recorded once they are.

        Exit codes: 0 done or nothing to do, 1 a delivery failed or was refused, 2 wrong usage,
        3 something was left out (days that shrank, messages that were refused), 4 nothing to do
        (with --detailed-exitcode).
        """
        from flagmart import settings
        from flagmart.delivery import export as service
        from flagmart.delivery.outbox import Bounds

        options = service.Options(
            project_dir=project_dir,
            dry_run=dry_run,
            to=to,
            allow_shrink=allow_shrink,
            backfill=None if backfill is None else service.days_of(backfill),
            wait_seconds=wait,
            pushdown=pushdown,
            bounds=Bounds(
                None if since is None else service.moment_of(since, "--since"),
                None if until is None else service.moment_of(until, "--until"),
                max_rows,
            ),
            resend=resend,
        )
        reports = service.export(names or [], options, settings.data_folder())
        print_reports(reports, output)
        raise typer.Exit(service.exit_code(reports, detailed=detailed_exitcode))


def print_reports(reports: "list[Report]", output: Output) -> None:
    """What became of each delivery."""
    from flagmart import talk

    for report in reports:
        for remark in report.remarks:
            talk.say(f"flagmart: {report.delivery}: {remark}")
    if output is Output.JSON:
        talk.print_json([vars(report) for report in reports])
    else:
        talk.print_table(
            [
                (
                    report.delivery,
                    report.destination,
                    report.outcome.value,
                    talk.plural(report.parts, report.unit.removesuffix("s"))
                    if report.parts
                    else "",
                    report.rows,
                    report.already,
                    report.where,
                )
                for report in reports
            ],
            header=(
                "delivery",
                "destination",
                "result",
                "in",
                "rows",
                "already there",
                "where",
            ),
        )
        for report in reports:
            if report.detail:
                print(f"\n{report.delivery}:")
                talk.print_json(report.detail)
