"""`flagmart verify`: read back what was delivered."""

from pathlib import Path
from typing import Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.talk import Output


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def verify(
        name: Annotated[str, typer.Argument(metavar="DELIVERY", help="A delivery of files.")],
        project_dir: ProjectDir = Path(),
        to: Annotated[
            str | None,
            typer.Option(metavar="URI", help="Another folder or bucket, as an export had it."),
        ] = None,
        adopt: Annotated[
            bool,
            typer.Option(
                "--adopt", help="Make the ledger say what lies there; for one that was lost."
            ),
        ] = False,
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Read back what lies in the store and compare it with the relation and the ledger.

        Exit codes: 0 all days are right, 1 something is wrong with a day, 2 wrong usage,
        3 days are not as the relation has them by now.
        """
        from dataclasses import asdict

        from flagmart import settings, talk
        from flagmart.delivery import verify as service
        from flagmart.delivery.export import Options

        options = Options(project_dir=project_dir, to=to, wait_seconds=wait)
        found = service.verify(name, options, settings.data_folder(), adopt=adopt)
        if output is Output.JSON:
            days = [{**asdict(day), "result": day.result} for day in found.days]
            talk.print_json({**asdict(found), "days": days})
        else:
            counts = [found.count(result) for result in ("right", "behind", "WRONG")]
            talk.print_table(
                [
                    (
                        found.delivery,
                        found.destination,
                        *counts,
                        sum(day.adopted for day in found.days),
                        found.where,
                    )
                ],
                header=(
                    "delivery",
                    "destination",
                    "days right",
                    "behind",
                    "wrong",
                    "adopted",
                    "where",
                ),
            )
            odd = [day for day in found.days if day.result != "right"]
            if odd:
                print()
                talk.print_table(
                    [
                        (
                            day.day,
                            day.files,
                            day.rows,
                            day.result,
                            "; ".join([*day.wrong, *day.behind]),
                        )
                        for day in odd
                    ],
                    header=("day", "files", "rows", "result", "why"),
                )
        raise typer.Exit(found.exit_code())
