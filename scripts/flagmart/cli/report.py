"""`flagmart report`: a site of the charts, which opens from disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.report.build import Written


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def report(
        out: Annotated[
            Path,
            typer.Option(metavar="FOLDER", help="Where it is written; a report there is replaced."),
        ] = Path("site"),
        timezone: Annotated[
            str,
            typer.Option(
                metavar="ZONE,…",
                help="IANA names, to be switched between on the page; the first is shown first.",
            ),
        ] = "UTC",
        lineage: Annotated[
            bool,
            typer.Option("--lineage", help="Let dbt write its own page of models beside it."),
        ] = False,
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Write a page of what the marts hold: no server, no network, open index.html.

        Exit codes: 0 done, 1 the project was never built, the engine is away or a library is not
        installed, 2 wrong usage: a zone that is none, or a folder that holds other things.
        """
        from dataclasses import asdict

        from flagmart import settings, talk
        from flagmart.report import build

        zones = list(dict.fromkeys(zone.strip() for zone in timezone.split(",")))
        written = build.report(
            out, zones, project_dir, settings.data_folder(), wait, with_lineage=lineage
        )
        if output is Output.JSON:
            talk.print_json(asdict(written))
        else:
            _print(written)
        for remark in written.remarks:
            talk.say(f"flagmart: {remark}")


def _print(written: "Written") -> None:
    from flagmart import talk

    talk.print_table(
        [
            (
                f"{written.site}/index.html",
                next(iter(written.as_of.values())),
                written.flags,
                written.files,
                written.bytes,
                written.library_bytes,
            )
        ],
        header=("page", "as of", "flags", "files", "bytes", "chart library"),
    )
