"""What a delivery needs of a store, and a folder of this machine as one of them."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING, Protocol

from flagmart import durable

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_PARTIAL = ".partial"


class Store(Protocol):
    """Receives files; names are relative, with `/`. A file appears whole or never.

    Threads may share one, each at names of its own. Every method raises OSError or FlagmartError
    where the store refuses or is away.
    """

    def put(self, local: Path, name: str) -> None:
        """Bring a finished local file to `name`, replacing what is there; `local` is used up."""

    def put_empty(self, name: str) -> None:
        """Put an empty file at `name`."""

    def remove(self, name: str) -> None:
        """Remove `name`; what is not there is no error."""

    def names(self, folder: str) -> list[str]:
        """Names of the files in `folder`, in order; none where it does not exist."""

    def names_in(self, folders: Collection[str]) -> dict[str, list[str]]:
        """As `names`, for many folders at the cost of few requests."""

    def tree(self, folder: str) -> list[str]:
        """All files below `folder`, by their whole names, in order."""

    def fetch(self, name: str, into: Path) -> Path:
        """The file `name` on this machine: where it lies, or a copy at `into`."""


class Folder:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, local: Path, name: str) -> None:
        """See Store: by one rename."""
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
            source = target.with_name(unfinished(target.name))
            shutil.copyfile(local, source)
            durable.sync_file(source)
            source.replace(target)
            local.unlink()
        durable.sync_folder(target.parent)

    def put_empty(self, name: str) -> None:
        """See Store."""
        target = self._root / name
        durable.make_folder(target.parent)
        target.touch()
        durable.sync_folder(target.parent)

    def remove(self, name: str) -> None:
        """See Store; with its folder if nothing is left in it."""
        target = self._root / name
        target.unlink(missing_ok=True)
        if not target.parent.is_dir():
            return
        durable.sync_folder(target.parent)
        if target.parent != self._root and not any(target.parent.iterdir()):
            target.parent.rmdir()

    def names(self, folder: str) -> list[str]:
        """See Store."""
        place = self._root / folder
        if not place.is_dir():
            return []
        return sorted(entry.name for entry in place.iterdir() if entry.is_file())

    def names_in(self, folders: Collection[str]) -> dict[str, list[str]]:
        """See Store."""
        return {folder: self.names(folder) for folder in folders}

    def tree(self, folder: str) -> list[str]:
        """See Store."""
        files = (path for path in (self._root / folder).rglob("*") if path.is_file())
        return sorted(path.relative_to(self._root).as_posix() for path in files)

    def fetch(self, name: str, into: Path) -> Path:  # noqa: ARG002 - it lies here already
        """See Store."""
        return self._root / name


def unfinished(name: str) -> str:
    """A name beside `name` that no reader looks at: hidden from Spark, Athena and their like."""
    return f".{name}{_PARTIAL}"


def meant(name: str) -> str:
    """The name a file was on its way to: `put` may be killed before it gets there."""
    if name.startswith(".") and name.endswith(_PARTIAL):
        return name[1 : -len(_PARTIAL)]
    return name
