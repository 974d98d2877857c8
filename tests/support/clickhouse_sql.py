"""What sqlfluff says of the models as dbt compiles them for ClickHouse, at the lines people wrote.

`python -m support.clickhouse_sql FOLDER` compiles into FOLDER and prints it, in the words of GitHub
where that runs it; a ClickHouse is named by the environment, as for dbt.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from support.dbt_project import ROOT, build, run_dbt

SQLFLUFF = ROOT / ".venv" / "bin" / "sqlfluff"
_EVERY = ("--vars", "{flagmart_further_deliveries: all, flagmart_experiment_tools: all}")


@dataclass(frozen=True)
class Fault:
    """One remark."""

    path: Path
    """Below the folder that was linted."""
    line: int
    rule: str
    text: str


def compiled(data: Path, env: dict[str, str]) -> Path:
    """The folder of what dbt compiles for the ClickHouse of `env`, laid out as the project is.

    Incremental models compile to their second run, which has more to it, once they are there.
    """
    build("--select", "+config.materialized:incremental", *_EVERY, data=data, env=env)
    ran = run_dbt("compile", "--exclude", "test_type:unit", *_EVERY, data=data, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return data / "target-other/compiled/flagmart"


def faults(path: Path) -> list[Fault]:
    """What the rules of .sqlfluff-clickhouse find in a file or folder."""
    ran = subprocess.run(
        [
            *(SQLFLUFF, "lint", "--format", "json", "--disable-progress-bar"),
            *("--ignore-local-config", "--config", ROOT / ".sqlfluff-clickhouse", path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    folder = path if path.is_dir() else path.parent
    return [
        Fault(
            path=Path(file["filepath"]).resolve().relative_to(folder.resolve()),
            line=fault["start_line_no"],
            # what does not parse has a code and no name
            rule=fault["name"] or fault["code"],
            text=fault["description"],
        )
        for file in json.loads(ran.stdout)
        for fault in file["violations"]
    ]


def written_line(source: str, made: str, line: int) -> int:
    """The line of `source` that `line` of the SQL compiled from it is from; both count from 1.

    That is the same text, or the last one before it that is: a macro's many lines are its call's.
    """
    wanted, found = line - 1, 0
    matcher = SequenceMatcher(None, source.splitlines(), made.splitlines(), autojunk=False)
    for start, made_start, size in matcher.get_matching_blocks():
        if size and made_start <= wanted:
            found = start + min(wanted - made_start, size)
    return min(found + 1, max(1, len(source.splitlines())))


def main() -> int:
    """1 where there is a fault."""
    folder = compiled(Path(sys.argv[1]).resolve(), {"DBT_TARGET": "clickhouse"})
    found = faults(folder)
    for fault in found:
        made = (folder / fault.path).read_text(encoding="utf-8")
        source = ROOT / fault.path
        # a generic test has no file of its own: it stands in the .yml that is its folder's name
        shown = fault.path if source.exists() else fault.path.parent
        line = (
            written_line(source.read_text(encoding="utf-8"), made, fault.line)
            if source.exists()
            else 1
        )
        said = f"{fault.text} [{fault.rule}, for ClickHouse, at line {fault.line} as compiled]"
        if os.environ.get("GITHUB_ACTIONS"):
            print(f"::error title=sqlfluff,file={shown},line={line}::{' '.join(said.split())}")
        else:
            print(f"{shown}:{line}: {said}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
