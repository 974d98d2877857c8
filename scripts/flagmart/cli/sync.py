"""`flagmart sync`: ingest, build, export, round after round."""

import re
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.cli.stores import Source, connected
from flagmart.errors import Exit, UsageError
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.sync.rounds import Job, Round

Once = Annotated[bool, typer.Option("--once", help="One round and no more, for cron.")]
TEST_EVERY = "24h"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def sync(
        names: Annotated[
            list[str], typer.Argument(metavar="NAME...", help="Deliveries (names of exposures).")
        ],
        source: Annotated[
            Source, typer.Option(help="The store of FeatBit's to read; named by the environment.")
        ],
        env: Annotated[
            list[str] | None,
            typer.Option(
                "--env", help="Read only this environment's events; may be given more than once."
            ),
        ] = None,
        every: Annotated[
            str, typer.Option(metavar="TIME", help="From the end of a round to the next: 30s, 5m.")
        ] = "30s",
        test_every: Annotated[
            str,
            typer.Option(
                metavar="TIME",
                help="Run the data's tests with a build when they last passed so long ago; they "
                "read all there is.",
            ),
        ] = TEST_EVERY,
        once: Once = False,
        variables: Annotated[
            str | None,
            typer.Option(
                "--vars", metavar="YAML", help="Vars for dbt, in place of those of the project."
            ),
        ] = None,
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Keep deliveries in step with a store: ingest, dbt build, export, and so on.

        Each round says what it did in one line; a round in which something fails says so, and the
        next one tries again. SIGINT or SIGTERM lets the step in hand end, a second one does not.

        Exit codes: 0 ended when asked to; 1 failed (with --once: a step did); 2 wrong usage;
        3 with --once: something was left out.
        """
        from flagmart.ingest.stores import Bounds
        from flagmart.sync.rounds import Job

        seconds = seconds_of("--every", every)
        tests = timedelta(seconds=seconds_of("--test-every", test_every))
        bounds = Bounds.parsed(env or [], None, None)
        job = Job(
            connect=partial(connected, source),
            deliveries=tuple(dict.fromkeys(names)),
            envs=bounds.envs,
            project_dir=project_dir,
            variables=variables,
            test_every=tests,
            wait_seconds=wait,
        )
        keep_in_step(job, output, every=None if once else seconds)


def keep_in_step(job: "Job", output: Output, *, every: float | None) -> None:
    """Run rounds and print each.

    Raises:
        typer.Exit: with the code of the one round, unless that is 0.
    """
    from flagmart import settings
    from flagmart.sync.rounds import run

    code = run(job, settings.data_folder(), partial(_print, output, every), every=every)
    if code is not Exit.DONE:
        raise typer.Exit(code)


def seconds_of(option: str, text: str) -> float:
    """The seconds that the value of an option names: a number of them, or with s, m or h.

    Raises:
        UsageError: it names none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise UsageError(f"{option} {text!r} is no time; write it like 30s, 5m or 1h")
    return float(found[1]) * _UNITS[found[2]]


def _print(output: Output, every: float | None, done: "Round") -> None:
    from flagmart import talk

    if output is Output.JSON:
        talk.print_json_line(_document(done))
    if done.failures:
        again = "" if every is None else f"; tried again in {every:g} s"
        talk.say(f"flagmart: {done.line}{again}")
    elif output is Output.TABLE:
        print(f"{done.began_at:%Y-%m-%dT%H:%M:%SZ} {talk.printable(done.line)}")
    sys.stdout.flush()


def _document(done: "Round") -> dict[str, object]:
    return {
        "round": done.number,
        "began_at": done.began_at.isoformat(timespec="seconds"),
        "landed": done.landed,
        "built": done.built,
        "tested": done.tested,
        "deliveries": [
            {
                "delivery": report.delivery,
                "outcome": report.outcome.value,
                "rows": report.rows,
                "dead": report.dead,
                "where": report.where,
            }
            for report in done.reports
        ],
        "failures": done.failures,
        "exit_code": int(done.code),
    }
