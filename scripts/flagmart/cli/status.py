"""`flagmart status`: what was delivered, and whether the accounts add up."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.delivery.status import Status


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def status(
        names: Annotated[
            list[str] | None,
            typer.Argument(metavar="NAME", help="Deliveries to speak of; all of them without."),
        ] = None,
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Say what was read, landed, accepted, exported and delivered, and whether it adds up.

        Exit codes: 0 the accounts add up, 1 they do not, 2 wrong usage.
        """
        from dataclasses import asdict

        from flagmart import settings, talk
        from flagmart.delivery import status as service
        from flagmart.errors import Exit

        found = service.status(names or [], project_dir, settings.data_folder(), wait)
        if output is Output.JSON:
            talk.print_json(asdict(found))
        else:
            _print(found)
        for remark in found.remarks:
            talk.say(f"flagmart: {remark}")
        if not all(account.holds for account in found.accounts):
            raise typer.Exit(Exit.FAILED)


def _print(found: "Status") -> None:
    from dataclasses import astuple

    from flagmart import talk

    talk.print_table(
        [(name.replace("_", " "), count) for name, count in found.ingest.items()],
        header=("ingest", "events"),
    )
    if found.events:
        print()
        talk.print_table(
            [astuple(judged) for judged in found.events],
            header=("outcome", "reject reason", "events"),
        )
    if found.exports or found.chart_points is not None:
        print()
        points = [] if found.chart_points is None else [("chart points", found.chart_points)]
        talk.print_table([*points, *found.exports.items()], header=("relation of", "rows"))
    if found.exclusions:
        print()
        talk.print_table(
            [astuple(excluded) for excluded in found.exclusions],
            header=("excluded from", "reason", "events"),
        )
    if found.places:
        print()
        talk.print_table(
            [
                (
                    place.delivery,
                    place.destination,
                    place.delivered,
                    place.rows,
                    place.dead,
                    place.unsent,
                    place.delivered_at,
                    place.where,
                )
                for place in found.places
            ],
            header=(
                "delivery",
                "destination",
                "delivered",
                "rows",
                "dead",
                "not there yet",
                "last",
                "where",
            ),
        )
    if found.changed:
        print()
        talk.print_table(
            [
                (
                    day.delivery,
                    day.destination,
                    day.day,
                    day.taken,
                    day.rows,
                    "yes" if day.delivered else "no",
                    day.statsig,
                    day.rule,
                    f"{day.you or '-'}{' (billed)' if day.billed else ''}",
                )
                for day in found.changed
            ],
            header=(
                "changed day of",
                "destination",
                "day",
                "rows taken",
                "now",
                "delivered",
                "statsig",
                "rule",
                "you",
            ),
        )
    print()
    talk.print_table(
        [
            (account.name, account.text, "holds" if account.holds else "DOES NOT HOLD")
            for account in found.accounts
        ],
        header=("account", "figures", "result"),
    )
