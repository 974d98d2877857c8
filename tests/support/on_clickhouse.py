"""Run a command on a ClickHouse of its own: `python -m support.on_clickhouse COMMAND…`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support.clickhouse.server import running
from support.clickhouse_target import environment


def main() -> int:
    """The command's exit code; the engine is gone when it ends."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "clickhouse") as address,
    ):
        env = {**os.environ, **environment(address, "flagmart")}
        return subprocess.run(sys.argv[1:], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
