"""A folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flagmart import durable
from flagmart.errors import FlagmartError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "flagmart-report.json"
"""The file by which a folder is known as a report's, which the next one may replace."""


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `out` when the block ends well.

    Raises:
        UsageError: `out` is a file, or a folder that is no report.
        FlagmartError: its parent cannot be written in.
    """
    refuse_another(out)
    # beside it, so that the rename stays within one file system
    parent = Path(os.path.abspath(out)).parent  # noqa: PTH100 - what a link points to is left alone
    try:
        durable.make_folder(parent)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=parent))
    except OSError as error:
        raise FlagmartError(
            f"cannot write in {parent}: {error.strerror}; point --out at a folder of yours"
        ) from error
    try:
        made.chmod(0o755)
        yield made
        for path in made.rglob("*"):
            if path.is_file():
                durable.sync_file(path)
        refuse_another(out)
        _swap(made, out)
        durable.sync_folder(parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def refuse_another(out: Path) -> None:
    """See that nothing but a report would be replaced.

    Raises:
        UsageError: it would.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError(f"--out={str(out)!r} is no folder; name one, or remove it first")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UsageError(
            f"--out={str(out)!r} holds other files than a report's, which would be lost; "
            "name an empty folder or a new one"
        )


def _swap(made: Path, out: Path) -> None:
    if not out.exists():
        made.rename(out)
        return
    old = made.with_name(made.name + ".old")
    out.rename(old)
    try:
        made.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old)
