"""`flagmart export`: deliver what is new."""

from pathlib import Path
from typing import Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.talk import Output


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
                help="Another folder for one file delivery; to the ledger a delivery of its own.",
            ),
        ] = None,
        allow_shrink: Annotated[
            bool,
            typer.Option(
                "--allow-shrink", help="Replace days that lost rows, remove those that vanished."
            ),
        ] = False,
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
        detailed_exitcode: Annotated[
            bool,
            typer.Option("--detailed-exitcode", help="Exit with 4 where there was nothing to do."),
        ] = False,
    ) -> None:
        """Deliver what is new: files put in place, messages posted; recorded once they are.

        Exit codes: 0 done or nothing to do, 1 a delivery failed or was refused, 2 wrong usage,
        3 something was left out (days that shrank, messages too large), 4 nothing to do (with
        --detailed-exitcode).
        """
        from flagmart import settings, talk
        from flagmart.delivery import export as service

        options = service.Options(
            project_dir=project_dir,
            dry_run=dry_run,
            to=to,
            allow_shrink=allow_shrink,
            wait_seconds=wait,
        )
        reports = service.export(names or [], options, settings.data_folder())
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
        raise typer.Exit(service.exit_code(reports, detailed=detailed_exitcode))
