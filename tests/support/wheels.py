"""Packages of a test's own, beside those it runs on: fetched once, kept outside the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def package(requirement: str, *options: str) -> Path:
    """A folder with that package, to be put on a path.

    Args:
        requirement: name and version.
        options: of `pip install`.

    Raises:
        RuntimeError: pip cannot fetch it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flagmart-tests"
    folder = cache / requirement
    if folder.is_dir():
        return folder
    fetched = cache / f".{requirement}.{os.getpid()}"
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *options,
        *("--target", str(fetched), requirement),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        shutil.rmtree(fetched, ignore_errors=True)
        raise RuntimeError(
            f"this test needs the package {requirement}, and pip cannot fetch it into {cache}; see "
            f"that its index is reached, or leave the test out. It says: "
            f"{ran.stderr.strip()[-1000:]}"
        )
    fetched.rename(folder)
    return folder
