"""The command `flagmart`: one thin module a command; errors end in one line and an exit code."""

import os
import sys
from typing import Annotated

import typer

from flagmart import settings, talk
from flagmart.cli import (
    chart,
    compact,
    data_export,
    experiments,
    export,
    generate,
    ingest,
    purge_plan,
    reconcile,
    replay,
    report,
    status,
    sync,
    verify,
)
from flagmart.errors import Exit, FlagmartError

app = typer.Typer(
    name="flagmart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("flagmart"))
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and leave.",
            is_eager=True,
            callback=_print_version,
        ),
    ] = False,
) -> None:
    """Feature-flag events as tables an analyst trusts, delivered once and whole."""


generate.register(app)
ingest.register(app)
compact.register(app)
reconcile.register(app)
purge_plan.register(app)
export.register(app)
replay.register(app)
sync.register(app)
data_export.register(app)
status.register(app)
verify.register(app)
chart.register(app)
experiments.register(app)
report.register(app)


def main() -> None:
    """Run the command; every foreseen error ends in one line on stderr and its exit code."""
    try:
        app()
    except FlagmartError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        print(
            "flagmart: interrupted; run it again, what was finished is not done twice",
            file=sys.stderr,
        )
        sys.exit(130)
    except BrokenPipeError:
        # whoever read our stdout has gone; nothing more to say to them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.FAILED)
    except OSError as error:
        place = error.filename or settings.data_folder().root
        _fail(f"{place}: {error.strerror or error}", Exit.FAILED)
    except Exception as error:
        if os.environ.get("FLAGMART_DEBUG"):
            raise
        _fail(
            f"a defect of flagmart ({type(error).__name__}); run again with FLAGMART_DEBUG=1 "
            "to see where, and please report it",
            Exit.FAILED,
        )


def _fail(message: str, code: Exit) -> None:
    talk.say(f"flagmart: {message}")
    sys.exit(code)
