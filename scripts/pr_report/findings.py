"""What sqlfluff says of the lines that a change touches."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pr_report.project import Side

_SQLFLUFF = Path(sys.executable).with_name("sqlfluff")
LINTED = ("models/", "tests/singular/")
"""Where the SQL lies that is linted, as in scripts/lint_sql.sh."""


@dataclass(frozen=True)
class Finding:
    """One remark."""

    path: str
    line: int
    rule: str
    text: str


def find(head: Side, changed: Mapping[str, set[int]]) -> list[Finding]:
    """Remarks on changed lines, in the order of files and lines.

    Args:
        head: the state to lint, parsed by dbt.
        changed: line numbers by path.

    Raises:
        FlagmartError: sqlfluff itself failed.
    """
    paths = sorted(p for p in changed if p.endswith(".sql") and p.startswith(LINTED) and changed[p])
    if not paths:
        return []
    done = subprocess.run(
        [_SQLFLUFF, "lint", "--format", "json", "--disable-progress-bar", *paths],
        cwd=head.code,
        env=head.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # the dbt templater may talk before the document
    start = done.stdout.find("[{")
    if start < 0:
        raise FlagmartError(f"sqlfluff failed: {(done.stdout + done.stderr).strip()[-1000:]}")
    files: list[dict[str, Any]] = json.loads(done.stdout[start:])
    return sorted(
        (
            Finding(file["filepath"], fault["start_line_no"], fault["name"], fault["description"])
            for file in files
            for fault in file["violations"]
            if fault["start_line_no"] in changed[file["filepath"]]
        ),
        key=lambda finding: (finding.path, finding.line, finding.rule),
    )
