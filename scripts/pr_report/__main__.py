"""`make pr-report`: prints the report, and leaves it in the summary of a job of GitHub Actions."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flagmart.errors import FlagmartError
from pr_report.report import markdown, report


def main(
    base: Annotated[
        str | None,
        typer.Option(
            help="Branch or commit the change is meant for; by default origin/main or main.",
            envvar="PR_BASE",
        ),
    ] = None,
    events: Annotated[int, typer.Option(min=1, help="Events of the sample data.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample data.")] = 1,
) -> None:
    """Say which deliveries and models the working tree touches, and how many rows differ."""
    try:
        text = markdown(report(Path.cwd(), base or None, events, seed))
    except FlagmartError as error:
        print(f"pr-report: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(text)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)


typer.run(main)
