"""`flagmart reconcile`: what a store has, against what landed and what was accepted."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.cli.stores import Source, connected
from flagmart.errors import Exit, UsageError
from flagmart.talk import Output

if TYPE_CHECKING:
    from flagmart.ingest.reconcile import Reconciliation
    from flagmart.warehouse.protocol import Relation

BASE = "base_featbit__events"


Day = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="A day of the client's clock, UTC."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def reconcile(
        source: Annotated[Source, typer.Option(help="The store, named as `ingest` finds it.")],
        env: Annotated[
            list[str] | None,
            typer.Option("--env", help="Only this environment; may be given more than once."),
        ] = None,
        since: Day = None,
        until: Day = None,
        repair: Annotated[
            bool,
            typer.Option("--repair", help="First land what is missing, by a sweep of all ids."),
        ] = False,
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Count events on all sides: the store, the landing, and what the models accepted.

        By environment, day of the client's clock (UTC) and event; FeatBit's own counts of a day
        beside them, where it keeps such. Events that were cleaned up in the store stay landed, and
        nothing is missing then.

        Exit codes: 0 nothing is missing, 1 failed, 2 wrong usage, 3 something has not landed.
        """
        from flagmart import settings, talk
        from flagmart.ingest import stores
        from flagmart.ingest.reconcile import Scope
        from flagmart.ingest.reconcile import reconcile as count

        first = since.date() if since else None
        end = until.date() if until else None
        if first and end and first >= end:
            raise UsageError(f"--since {first} is not before --until {end}")
        if not all(name.strip() for name in env or []):
            raise UsageError("--env is empty, maybe a variable that is not set")
        scope = Scope(tuple(env or []), first, end)
        data = settings.data_folder()
        with connected(source) as store:
            if repair:
                landed = stores.ingest(store, data, stores.Bounds(), sweep=True).total("landed")
                talk.say(f"{store.label}: a sweep landed {talk.plural(landed, 'event')}")
            found = count(store, data, scope, _base(project_dir), wait, talk.say)
        if output is Output.JSON:
            talk.print_json(_document(found))
        else:
            _print(found)
        if found.missing:
            more = "run `flagmart reconcile --repair`" if not repair else "look at its reject file"
            talk.say(
                f"{talk.plural(found.missing, 'event')} of {found.store} at least did not land; "
                f"{more}"
            )
            raise typer.Exit(Exit.PARTLY)


def _base(project_dir: Path) -> "Relation | None":
    from flagmart.delivery.deliveries import read_relations
    from flagmart.project import target_folder

    if not (target_folder(project_dir) / "manifest.json").exists():
        return None
    return read_relations(project_dir).get(BASE)


def _print(found: "Reconciliation") -> None:
    from flagmart import talk

    header = ["environment", "day", "event", "stored", "landed", "accepted", "missing"]
    rows = [
        [one.env_id, one.day, one.event, one.stored, one.landed, one.accepted, one.missing]
        for one in found.lines
    ]
    accepted = [one.accepted for one in found.lines if one.accepted is not None]
    rows.append(
        [
            "all",
            "",
            "",
            sum(one.stored for one in found.lines),
            sum(one.landed for one in found.lines),
            sum(accepted) if accepted else None,
            found.missing,
        ]
    )
    talk.print_table(rows, header)
    if found.usage:
        print()
        talk.print_table(
            [[one.env_id, one.day, one.evaluations, one.metric_events] for one in found.usage],
            ["environment", "server's day", "evaluations, by FeatBit", "metric events, by FeatBit"],
        )


def _document(found: "Reconciliation") -> dict[str, object]:
    from dataclasses import asdict

    return {
        "store": found.store,
        "missing": found.missing,
        "lines": [{**asdict(one), "missing": one.missing} for one in found.lines],
        "usage": [asdict(one) for one in found.usage],
    }
