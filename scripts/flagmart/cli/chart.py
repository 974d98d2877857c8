"""`flagmart chart`: the points of one chart, asked for now."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import ProjectDir, Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flagmart.charts.points import Point


class Alignment(StrEnum):
    """How a chart's edges follow each other."""

    FIXED = "fixed"
    CALENDAR = "calendar"


class Form(StrEnum):
    """How the points are printed on stdout."""

    TABLE = "table"
    BARS = "bars"
    CSV = "csv"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def chart(
        flag: Annotated[str, typer.Option(metavar="KEY", help="The flag.")],
        env: Annotated[
            str, typer.Option(metavar="ID", help="The environment; all of them without.")
        ] = "",
        start: Annotated[
            str,
            typer.Option(
                metavar="TIME",
                help="What clocks in the zone show (2026-01-31 or 2026-01-31T09:30), or so long "
                "before the end (-30d).",
            ),
        ] = "-30d",
        end: Annotated[
            str, typer.Option(metavar="TIME", help="The same; the newest data without.")
        ] = "",
        interval: Annotated[
            str, typer.Option(metavar="LENGTH", help="<n> and one of m, h, d, w, mo.")
        ] = "1d",
        timezone: Annotated[
            str, typer.Option(metavar="ZONE", help="An IANA name like America/Chicago.")
        ] = "UTC",
        alignment: Annotated[
            Alignment,
            typer.Option(
                help="fixed: intervals of equal length; calendar: d, w and mo as the zone's "
                "calendar has them, with days of 23 and 25 hours."
            ),
        ] = Alignment.FIXED,
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: Annotated[Form, typer.Option(help="How the points are printed.")] = Form.TABLE,
    ) -> None:
        """Count a flag's evaluations by interval from any start, zeros included, as last built.

        Exit codes: 0 done, 1 the project was never built or the engine is away, 2 wrong usage: a
        chart that cannot be drawn, or a flag that was never evaluated.
        """
        from flagmart import settings, talk
        from flagmart.charts.points import Asked, draw

        asked = Asked(flag, env, start, end, interval, timezone, alignment.value)
        drawn = draw(asked, project_dir, settings.data_folder(), wait)
        _print(drawn.points, output)
        for remark in drawn.remarks:
            talk.say(f"flagmart: {remark}")


def _print(points: "Sequence[Point]", output: Form) -> None:
    import csv
    import shutil
    import sys

    from flagmart import talk
    from flagmart.charts.picture import picture
    from flagmart.charts.points import COLUMNS, names, record

    match output:
        case Form.TABLE:
            called = names(points)
            talk.print_table(
                [
                    (
                        point.interval_start_local,
                        point.env_id,
                        called[point.env_id, point.variation_id],
                        point.evaluations,
                        "partial" if point.is_partial else "",
                    )
                    for point in points
                ],
                header=("start", "environment", "variation", "evaluations", ""),
            )
        case Form.BARS:
            # as wide as the terminal, 80 where there is none
            for line in picture(points, shutil.get_terminal_size().columns):
                print(line)
        case Form.JSON:
            talk.print_json([record(point) for point in points])
        case Form.CSV:
            writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for point in points:
                partial = "true" if point.is_partial else "false"
                writer.writerow({**record(point), "is_partial": partial})
