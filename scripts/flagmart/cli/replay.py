"""`flagmart replay`: dead letters, sent again or listed."""

from pathlib import Path
from typing import Annotated

import typer

from flagmart.cli.export import print_reports
from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.talk import Output


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def replay(
        names: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="NAME", help="Deliveries over HTTP; all that have dead letters without."
            ),
        ] = None,
        project_dir: ProjectDir = Path(),
        dry_run: Annotated[
            bool,
            typer.Option("--dry-run", help="Print the dead letters as JSON lines; send nothing."),
        ] = False,
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Send dead letters again: messages that were refused, as the relation has them now.

        Exit codes: 0 done or nothing to do, 1 a delivery failed, 2 wrong usage, 3 some were
        refused again.
        """
        from flagmart import settings, talk
        from flagmart.delivery import export as exporting
        from flagmart.delivery import replay as service

        data = settings.data_folder()
        if dry_run:
            for letter in service.letters(names or [], project_dir, data):
                talk.print_json_line(letter)
            return
        options = exporting.Options(project_dir=project_dir, wait_seconds=wait)
        reports = service.replay(names or [], options, data)
        print_reports(reports, output)
        raise typer.Exit(exporting.exit_code(reports, detailed=False))
