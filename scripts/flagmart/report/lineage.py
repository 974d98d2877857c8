"""dbt's own static page of models, beside ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from flagmart.errors import FlagmartError

PAGE = "lineage.html"


def write(folder: Path, project_dir: Path) -> None:
    """Let dbt write its page, in a target folder of its own, and put it into `folder`.

    Raises:
        FlagmartError: dbt could not; gives its last line.
    """
    with tempfile.TemporaryDirectory(prefix="flagmart-lineage-") as target:
        ran = subprocess.run(  # noqa: S603 - dbt, with paths of the user's own
            [
                *(sys.executable, "-m", "dbt.cli.main", "--quiet", "docs", "generate", "--static"),
                *("--project-dir", str(project_dir), "--profiles-dir", str(project_dir)),
                *("--target-path", target, "--log-path", target),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        page = Path(target) / "static_index.html"
        if ran.returncode or not page.exists():
            said = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
            raise FlagmartError(
                f"dbt could not write the lineage ({said[-1].strip() if said else 'no word'}); "
                "mend it, or leave --lineage out"
            )
        shutil.copyfile(page, folder / PAGE)
