"""`flagmart compact`: merge small landing files."""

from typing import Annotated

import typer

from flagmart.cli.options import OutputForm, Wait
from flagmart.talk import Output


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def compact(
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be merged, and change nothing.")
        ] = False,
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Merge the small files that many runs of ingest leave, and nothing else: no row changes.

        Run it once a day where ingest runs every minute. On ClickHouse the server merges by itself.

        Exit codes: 0 done or nothing to do, 1 failed, and all is as it was.
        """
        from dataclasses import asdict

        from flagmart import settings, talk
        from flagmart.settings import Engine

        if settings.engine() is Engine.CLICKHOUSE:
            talk.say("ClickHouse merges the parts of its tables by itself; nothing to do")
            found = []
        else:
            from flagmart.warehouse import compaction

            found = compaction.compact(settings.data_folder(), wait, dry_run=dry_run)
            if not found:
                talk.say("nothing has landed yet; nothing to do")
        if output is Output.JSON:
            talk.print_json({"dry_run": dry_run, "landings": [asdict(one) for one in found]})
        elif found:
            talk.print_table(
                [
                    (one.landing, one.runs, one.rows, one.files_before, one.files, one.bytes)
                    for one in found
                ],
                ["landing", "runs", "rows", "files before", "files", "bytes"],
            )
