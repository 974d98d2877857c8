"""`flagmart experiments`: results of experiments with their statistics."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.experiments.results import Result


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def experiments(
        keys: Annotated[
            list[str] | None,
            typer.Argument(metavar="KEY", help="Experiments to speak of; all of them without."),
        ] = None,
        alpha: Annotated[
            float, typer.Option(help="The share of false alarms to accept in an experiment.")
        ] = 0.05,
        effect: Annotated[
            float | None,
            typer.Option(
                metavar="SHARE",
                help="Also say how often a relative effect of this size (0.05 is 5 %) is found.",
            ),
        ] = None,
        daily: Annotated[
            bool,
            typer.Option(
                "--daily", help="Each day's result so far, with intervals that allow for peeking."
            ),
        ] = False,
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Compare the variations of experiments, and say in words what the numbers mean.

        Exit codes: 0 done, 1 the project was never built, the engine is away or scipy is not
        installed, 2 wrong usage, as a KEY of no experiment.
        """
        from flagmart import settings, talk
        from flagmart.errors import UsageError
        from flagmart.experiments import records, results, tables
        from flagmart.experiments.reading import read

        if not 0 < alpha < 1:
            raise UsageError(f"--alpha={alpha} is no share between 0 and 1, like 0.05")
        if effect is not None and not 0 < abs(effect) < float("inf"):
            raise UsageError(f"--effect={effect} is no effect; 0.05 is 5 %")
        found = read(keys or [], project_dir, settings.data_folder(), wait, daily=daily)
        if daily:
            points = results.curve(found.days, alpha)
            if output is Output.JSON:
                talk.print_json([records.of_point(point) for point in points])
            else:
                talk.print_table(*tables.of_points(points))
        else:
            done = results.results(found.rows, alpha, effect, found.running)
            if output is Output.JSON:
                talk.print_json([records.of_result(result) for result in done])
            else:
                for number, result in enumerate(done):
                    print("\n" if number else "", end="")
                    _print(result)
        for remark in found.remarks:
            talk.say(f"flagmart: {remark}")


def _print(result: "Result") -> None:
    from flagmart import talk
    from flagmart.experiments import tables

    for line in tables.above(result):
        print(line)
    print()
    talk.print_table(*tables.of_result(result))
    print()
    for line in tables.below(result):
        print(line)
