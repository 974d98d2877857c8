"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from flagmart import project
from flagmart.talk import Output

ProjectDir = Annotated[
    Path,
    typer.Option(
        exists=True,
        file_okay=False,
        callback=project.found,
        help="The dbt project, whose target folder says what was built; flagmart's own where this "
        "folder has none.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(min=0, help="Seconds to wait while another process holds the DuckDB file."),
]
OutputForm = Annotated[Output, typer.Option(help="How the result is printed.")]
