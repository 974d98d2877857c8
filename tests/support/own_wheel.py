"""flagmart as its users install it: the wheel, built from this tree and unpacked."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from zipfile import ZipFile

from support.dbt_project import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def unpacked(folder: Path) -> Path:
    """A folder to be put on PYTHONPATH, before this tree's editable install."""
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (wheel,) = folder.glob("flagmart-*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"
