"""Run the installed command on a data folder of the test's own."""

import os
import subprocess
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from support.dbt_project import ROOT

FLAGMART = ROOT / ".venv" / "bin" / "flagmart"
START = datetime(2026, 3, 1, tzinfo=UTC)
"""The clock of a test that does not set its own: after everything the generator writes by then."""


def environment(data: Path, at: datetime = START) -> dict[str, str]:
    """The command's environment: `data` is the data folder and holds dbt's target folder."""
    return {
        **os.environ,
        "FLAGMART_DATA": str(data),
        "FLAGMART_NOW": at.isoformat(),
        "DBT_TARGET_PATH": str(data / "target"),
    }


def flagmart(
    *arguments: str,
    data: Path,
    at: datetime = START,
    env: Mapping[str, str] | None = None,
    codes: Collection[int] = (0, 3),
) -> str:
    """Stdout of `flagmart ARGUMENTS`; fails the calling test where it ends with no such code.

    Exit 3 is no failure: some lines were no events, which is what a dirty stream has.
    """
    ran = subprocess.run(
        [FLAGMART, *arguments],
        cwd=ROOT,
        env=environment(data, at) | dict(env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in codes, ran.stderr
    return ran.stdout
