"""What must outlive a power cut: content of files, names in folders, folders themselves."""

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Return when the content of the file is on the disk."""
    _sync(path)


def sync_folder(folder: Path) -> None:
    """Return when the names in the folder are on the disk: what was put there, renamed, removed."""
    _sync(folder)


def make_folder(folder: Path) -> None:
    """Make the folder and its parents where they are missing, and return when they will stay."""
    missing = []
    place = folder
    while not place.exists():
        missing.append(place)
        place = place.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _sync(made.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
