"""A folder that receives files: the few operations a delivery needs of any store."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

from flagmart import durable

if TYPE_CHECKING:
    from pathlib import Path

_PARTIAL = ".partial"


class Folder:
    """A folder on this machine; names are relative, with `/`; a file appears whole or never."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, local: Path, name: str) -> None:
        """Move a finished local file to `name`, replacing what is there."""
        target = self._root / name
        durable.make_folder(target.parent)
        source = local
        try:
            durable.sync_file(source)
            source.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # another file system: the copy must be whole before it gets a name a reader looks for
            source = target.with_name(f".{target.name}{_PARTIAL}")
            shutil.copyfile(local, source)
            durable.sync_file(source)
            source.replace(target)
            local.unlink()
        durable.sync_folder(target.parent)

    def put_empty(self, name: str) -> None:
        """Put an empty file at `name`."""
        target = self._root / name
        target.touch()
        durable.sync_folder(target.parent)

    def remove(self, name: str) -> None:
        """Remove `name`, and its folder if nothing is left in it; what is not there is no error."""
        target = self._root / name
        target.unlink(missing_ok=True)
        if not target.parent.is_dir():
            return
        durable.sync_folder(target.parent)
        if target.parent != self._root and not any(target.parent.iterdir()):
            target.parent.rmdir()

    def names(self, folder: str) -> list[str]:
        """Names of the files in `folder`, in order; none where it does not exist."""
        place = self._root / folder
        if not place.is_dir():
            return []
        return sorted(entry.name for entry in place.iterdir() if entry.is_file())


def meant(name: str) -> str:
    """The name a file was on its way to: `put` may be killed before it gets there."""
    if name.startswith(".") and name.endswith(_PARTIAL):
        return name[1 : -len(_PARTIAL)]
    return name
