"""`flagmart generate`: synthetic events in FeatBit's exact shape."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from flagmart import talk
from flagmart.errors import UsageError
from flagmart.generate import Options, truth
from flagmart.generate.options import (
    FIRST_START,
    LAST_START,
    MAX_DAYS,
    MAX_EVENTS,
    MAX_FLAGS,
    MAX_SEED,
    MAX_USERS,
)

_DEFAULT = Options()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(generate)


def _day(value: datetime) -> datetime:
    if not FIRST_START <= value.date() <= LAST_START:
        raise typer.BadParameter(f"{value.date()} is not from {FIRST_START} to {LAST_START}")
    return value


def generate(
    out: Annotated[
        str,
        typer.Option(
            help="File to write; gzipped where it ends in .gz; - is stdout.", metavar="PATH"
        ),
    ],
    events: Annotated[
        int, typer.Option(min=0, max=MAX_EVENTS, help="Lines in all, faults included.")
    ] = _DEFAULT.events,
    users: Annotated[
        int, typer.Option(min=1, max=MAX_USERS, help="Users there are.")
    ] = _DEFAULT.users,
    flags: Annotated[
        int, typer.Option(min=1, max=MAX_FLAGS, help="Flags; a third of them experiments.")
    ] = _DEFAULT.flags,
    days: Annotated[
        int, typer.Option(min=1, max=MAX_DAYS, help="Days the events are spread over.")
    ] = _DEFAULT.days,
    start: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%d"],
            callback=_day,
            help="First day, UTC.",
            show_default=str(_DEFAULT.start),
        ),
    ] = datetime.combine(_DEFAULT.start, datetime.min.time()),  # noqa: B008
    seed: Annotated[
        int,
        typer.Option(min=0, max=MAX_SEED, help="The same seed and options give the same bytes."),
    ] = _DEFAULT.seed,
    dirty: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="RATE", help="Share of the lines with a fault."),
    ] = _DEFAULT.dirty,
    truth_path: Annotated[
        Path | None,
        typer.Option(
            "--truth", help="File for the experiments' true effects, as JSON.", metavar="PATH"
        ),
    ] = None,
    output: Annotated[
        talk.Output, typer.Option(help="json: print what was written as a document.")
    ] = talk.Output.TABLE,
) -> None:
    """Write synthetic FeatBit events, one Kafka envelope a line; equal options, equal bytes.

    Four fifths are flag evaluations, one fifth metric events: daily rhythm, rollouts
    that move, experiments whose true effect --truth tells, faults with --dirty.
    """
    import dataclasses
    import json
    import time

    from flagmart.generate import stream

    as_json = output is talk.Output.JSON
    if as_json and out == stream.STDOUT:
        raise UsageError("--output json needs --out to name a file: stdout carries the events")
    options = Options(events, users, flags, days, start.date(), seed, dirty)
    if truth_path is not None:
        if str(truth_path) == out:
            raise UsageError(f"--truth and --out both name {out}; give each a file of its own")
        document = dataclasses.asdict(truth(options))
        text = json.dumps(document, indent=2, default=_iso)
        stream.write_text(text + "\n", truth_path)
    began = time.monotonic()
    with talk.progress("generate", events) as advance:
        done = stream.write(
            options, out, digest=as_json, advance=lambda n: advance(n, f"{n:,} events")
        )
    speed = done.lines / max(time.monotonic() - began, 1e-6)
    place = "stdout" if out == stream.STDOUT else out
    talk.say(
        f"{talk.plural(done.lines, 'line')}, {talk.plural(done.bytes, 'byte')} to {place} "
        f"({speed:,.0f} events/s)"
    )
    if as_json:
        talk.print_json({"path": out, **dataclasses.asdict(done)})


def _iso(moment: date) -> str:
    return moment.isoformat()
