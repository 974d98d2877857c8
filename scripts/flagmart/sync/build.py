"""`dbt build` of what deliveries need, as a subprocess."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flagmart import project, talk
from flagmart.errors import FlagmartError

_EXCLUSIONS = "+fct_export_exclusions"
"""What the account of every delivery reads."""
_CLOCK = re.compile(r"^\d\d:\d\d:\d\d\s+")
_SAID = 600
"""Characters of dbt's words that go into one line."""


def build(
    deliveries: Sequence[str], project_dir: Path, variables: str | None, *, tested: bool
) -> None:
    """Build what these deliveries are made of.

    Args:
        deliveries: names of exposures.
        project_dir: the dbt project.
        variables: vars as YAML, for dbt's `--vars`.
        tested: run the tests of their models, too: they read all there is, and not what is new.

    Raises:
        FlagmartError: dbt says so; in its own words, and where all of them are.
    """
    logs = project.log_folder(project_dir)
    folder = str(project_dir.absolute())
    command = [
        *(sys.executable, "-m", "flagmart.sync.dbt_child"),
        *("build", "--quiet", "--no-use-colors", "--project-dir", folder),
        # its own profile, unless the environment names another place
        *([] if os.environ.get("DBT_PROFILES_DIR") else ["--profiles-dir", folder]),
        *(["--vars", variables] if variables else []),
        # a test of models that are not built here would judge what is old, or not there
        *("--indirect-selection", "cautious"),
        *("--exclude-resource-type", "unit_test", *([] if tested else ["test"])),
        *("--select", *(f"+exposure:{name}" for name in deliveries)),
        # a view, so it need not be made anew to tell of new rows
        *([_EXCLUSIONS] if tested else []),
    ]
    environment = os.environ | {
        "DBT_TARGET_PATH": str(project.target_folder(project_dir).absolute()),
        "DBT_LOG_PATH": str(logs.absolute()),
    }
    # the child lives as long as this end is open
    stdin, held_open = os.pipe()
    try:
        with talk.waiting("dbt builds"):
            done = subprocess.run(  # noqa: S603 - arguments of ours and names, no shell
                command,
                env=environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
    finally:
        os.close(held_open)
        os.close(stdin)
    if done.returncode:
        raise FlagmartError(f"dbt build: {_in_one_line(done.stdout)}; see {logs / 'dbt.log'}")


def _in_one_line(said: str) -> str:
    lines = (_CLOCK.sub("", line).strip() for line in said.splitlines())
    text = " ".join(line for line in lines if line)
    return text if len(text) <= _SAID else f"{text[:_SAID]}…"
