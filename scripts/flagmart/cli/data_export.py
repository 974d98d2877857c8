"""`flagmart data-export`: `sync` with the options of FeatBit.DataExport."""

import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flagmart.cli.options import OutputForm, ProjectDir, Wait
from flagmart.cli.stores import Source, connected
from flagmart.cli.sync import TEST_EVERY, Once, keep_in_step, seconds_of
from flagmart.talk import Output


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("data-export")
    def data_export(
        env: Annotated[str, typer.Option("-e", "--env", help="The environment, exactly one.")],
        timestamp: Annotated[
            str,
            typer.Option(
                "-t",
                "--timestamp",
                metavar="TIME",
                help="Send what the client's clock shows later than this (UTC, yyyy-MM-dd "
                "HH:mm:ss.fff), and nothing older, ever.",
            ),
        ],
        conn: Annotated[
            str,
            typer.Option(
                "-c",
                "--conn",
                metavar="STRING",
                help="ClickHouse as Host=…;Protocol=…;Port=…;Database=…;Username=…;Password=…, or "
                "postgresql://… or mongodb://…; or env:NAME.",
            ),
        ],
        pipeline: Annotated[
            str,
            typer.Option(
                help="FlagValueToSegment, FlagValueToAzureEventHub, CustomEventToSegment or "
                "CustomEventToAzureEventHub."
            ),
        ],
        segment: Annotated[
            str,
            typer.Option(
                "-g", "--segment", metavar="STRING", help="WriteKey=…;Host=…; or env:NAME, better."
            ),
        ] = "",
        azevthub: Annotated[
            str,
            typer.Option(
                "-a",
                "--azevthub",
                metavar="STRING",
                help="The connection string of Event Hubs; or env:NAME, better.",
            ),
        ] = "",
        azevthubplan: Annotated[
            str, typer.Option(help="Its tier: Basic, Standard, Premium or Dedicated.")
        ] = "",
        azevthubname: Annotated[str, typer.Option(help="The hub.")] = "",
        size: Annotated[
            int | None, typer.Option("-s", "--size", help="Without effect: there are no pages.")
        ] = None,
        queryinterval: Annotated[
            int | None, typer.Option("-i", "--queryinterval", help="Without effect, likewise.")
        ] = None,
        biginterval: Annotated[
            float,
            typer.Option(
                "-b",
                "--biginterval",
                min=0,
                help="Seconds from the end of a round to the next.",
            ),
        ] = 30,
        eventtype: Annotated[str, typer.Option(help="Without effect: the pipeline says it.")] = "",
        once: Once = False,
        project_dir: ProjectDir = Path(),
        wait: Wait = 30,
        output: OutputForm = Output.TABLE,
    ) -> None:
        """Do the job of FeatBit.DataExport by its own command lines, and lose nothing.

        It goes on where it was by itself, finds late rows and ties, and sends batches. Each
        pipeline and environment has a data folder of its own in FLAGMART_DATA/data-export. What
        an option now means differently is said on stderr: docs/sync.md.

        Exit codes: those of flagmart sync.
        """
        from flagmart import settings, talk
        from flagmart.sync import data_export as service
        from flagmart.sync.rounds import Job

        asked = service.asked(
            service.Given(
                env,
                timestamp,
                conn,
                pipeline,
                segment,
                azevthub,
                azevthubplan,
                azevthubname,
                size,
                queryinterval,
                biginterval,
                eventtype,
            ),
            settings.data_folder(),
        )
        os.environ.update(asked.environment)
        for remark in asked.remarks:
            talk.say(f"flagmart: {remark}")
        job = Job(
            connect=partial(connected, Source(asked.source)),
            deliveries=asked.deliveries,
            envs=(env,),
            project_dir=project_dir,
            variables=service.as_yaml(asked.variables),
            test_every=timedelta(seconds=seconds_of("--test-every", TEST_EVERY)),
            wait_seconds=wait,
        )
        keep_in_step(job, output, every=None if once else biginterval)
