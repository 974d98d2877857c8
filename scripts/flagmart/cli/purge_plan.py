"""`flagmart purge-plan`: statements that would delete at the source what is delivered."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flagmart.cli.options import ProjectDir, Wait
from flagmart.errors import Exit, UsageError

if TYPE_CHECKING:
    from flagmart.delivery.purge import Account, Batch, Purge


MOST = 5_000
"""Ids of one statement: 200 kB of text, and ClickHouse takes 256 kB unless it is told otherwise."""


class Kind(StrEnum):
    """A kind of store."""

    CLICKHOUSE = "clickhouse"
    POSTGRES = "postgres"
    MONGODB = "mongodb"


class Form(StrEnum):
    """What stands on stdout."""

    STATEMENTS = "statements"
    JSON = "json"


Day = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d"],
        help="Only events from or before a day of the client's clock, UTC; not those without one.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("purge-plan")
    def purge_plan(
        delivered_to: Annotated[
            list[str],
            typer.Option(
                metavar="DELIVERY",
                help="It must have brought an event; may be given more than once, and all must.",
            ),
        ],
        store: Annotated[Kind, typer.Option(help="The kind of store that the statements are for.")],
        table: Annotated[
            str | None,
            typer.Option(
                help="The table or collection, for all that landed, from files too. Without it: "
                "what was read from this kind of store, in the tables it was read from."
            ),
        ] = None,
        env: Annotated[
            list[str] | None,
            typer.Option("--env", help="Only this environment; may be given more than once."),
        ] = None,
        since: Day = None,
        until: Day = None,
        batch: Annotated[int, typer.Option(min=1, max=MOST, help="Events a statement.")] = MOST,
        cluster: Annotated[
            str | None,
            typer.Option(help="ClickHouse: delete on every shard of this cluster."),
        ] = None,
        id_field: Annotated[
            str,
            typer.Option(
                help="MongoDB: the field with the event's id; `id` for documents that have an "
                "ObjectId in `_id`."
            ),
        ] = "_id",
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: Annotated[
            Form, typer.Option(help="Statements, or counts alone as JSON.")
        ] = Form.STATEMENTS,
        detailed_exitcode: Annotated[
            bool, typer.Option("--detailed-exitcode", help="Exit with 4 when nothing is planned.")
        ] = False,
    ) -> None:
        """Print statements that delete, by id, what has landed and is delivered; run none.

        An event is planned where every delivery named has brought it: its message is acknowledged,
        or it lies in a file whose day is to the last byte as the relation has it now. What is dead,
        unsent, excluded, rejected, or in a day that changed since stays. Look at the plan, then
        give it to psql, mongosh or clickhouse-client.

        Exit codes: 0 done, whatever stays; 1 failed, 2 wrong usage.
        """
        from flagmart import settings, talk
        from flagmart.delivery import purge
        from flagmart.delivery.export import Options

        _refuse_empty({"--env": env, "--delivered-to": delivered_to, "--table": [table]})
        _refuse_empty({"--cluster": [cluster], "--id-field": [id_field]})
        if cluster is not None and store is not Kind.CLICKHOUSE:
            raise UsageError(f"--cluster is for ClickHouse, not for {store}")
        if id_field != "_id" and store is not Kind.MONGODB:
            raise UsageError(f"--id-field is for MongoDB, not for {store}")
        if since and until and since >= until:
            raise UsageError(f"--since {since:%Y-%m-%d} is not before --until {until:%Y-%m-%d}")
        scope = purge.Scope(
            source=None if table else store.value,
            table=table,
            envs=tuple(env or []),
            first_day=_number(since),
            end_day=_number(until),
        )
        options = Options(project_dir=project_dir, dry_run=True, wait_seconds=wait)
        with purge.plan(delivered_to, scope, options, settings.data_folder()) as plan:
            if output is Form.JSON:
                talk.print_json(_document(plan, store))
            else:
                for some in plan.batches(batch):
                    print(_statement(store, some, cluster, id_field))
            _say(plan, store, table)
            nothing = not plan.rows
        if detailed_exitcode and nothing:
            raise typer.Exit(Exit.NOTHING_TO_DO)


def _number(day: datetime | None) -> int | None:
    """Days since 1970."""
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - days of UTC, as they are typed
    return (day - epoch).days if day else None


def _refuse_empty(texts: "dict[str, list[str] | list[str | None] | None]") -> None:
    for option, values in texts.items():
        if any(value is not None and not value.strip() for value in values or []):
            raise UsageError(f"{option} is empty, maybe a variable that is not set")


def _statement(store: Kind, some: "Batch", cluster: str | None, id_field: str) -> str:
    from flagmart.ingest import deletions

    if store is Kind.POSTGRES:
        return deletions.on_postgres(some.table, some.ids)
    if store is Kind.MONGODB:
        return deletions.on_mongodb(some.table, some.ids, id_field)
    return deletions.on_clickhouse(some.table, some.ids, some.days, cluster)


def _document(plan: "Purge", store: Kind) -> dict[str, object]:
    return {
        "store": store,
        "landed": plan.landed,
        "odd_ids": plan.odd,
        "planned": plan.rows,
        "tables": plan.tables,
        "deliveries": [
            {
                "delivery": account.delivery,
                "where": account.where,
                **{fate.name.lower(): count for fate, count in account.counts.items()},
                "remarks": account.remarks,
            }
            for account in plan.accounts
        ],
    }


def _say(plan: "Purge", store: Kind, table: str | None) -> None:
    from flagmart import talk

    for account in plan.accounts:
        talk.say(f"{account.delivery} ({account.where}): {_counted(account)}")
        for remark in account.remarks:
            talk.say(f"flagmart: {remark}")
    if plan.odd:
        talk.say(
            f"{talk.plural(plan.odd, 'landed event')} stay: their ids are no UUIDs as FeatBit "
            "spells them"
        )
    whence = "" if table else f" from {store}"
    talk.say(
        f"{plan.rows:,} of {talk.plural(plan.landed, 'event')} that landed{whence} would be "
        "deleted, the others stay; nothing was run"
    )
    if not plan.landed and not table:
        talk.say("flagmart: name the table with --table for events that landed from files")


def _counted(account: "Account") -> str:
    from flagmart.delivery.purge import Fate

    words = {
        Fate.DELIVERED: "delivered",
        Fate.CHANGED: "in days that changed since",
        Fate.DEAD: "dead",
        Fate.EXCLUDED: "excluded",
        Fate.REJECTED: "rejected",
        Fate.WAITING: "not there",
    }
    return ", ".join(f"{account.counts[fate]:,} {word}" for fate, word in words.items())
