"""What git knows of the change: where it began, which files and lines it touches."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flagmart.errors import FlagmartError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAIN = ("origin/main", "main")
_FILE = re.compile(r"^\+\+\+ b/(?P<path>.*?)\t?$")
_HUNK = re.compile(r"^@@ -\S+ \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")


def commit(root: Path, base: str | None) -> str:
    """The commit to compare the working tree with.

    Args:
        root: of the repository.
        base: a branch or commit, of which the last common commit is taken; None: the main branch.

    Raises:
        UsageError: there is no such commit, or none in common.
    """
    names = (base,) if base else _MAIN
    for name in names:
        found = _git(root, "merge-base", "HEAD", name, fails=True)
        if found:
            return found.strip()
    raise UsageError(
        f"HEAD and {' or '.join(names)} have no commit in common here; name one with --base, and "
        "fetch the whole history where it was cut (git fetch --unshallow)"
    )


def changed_lines(root: Path, base: str) -> dict[str, set[int]]:
    """Lines of the working tree that are new or changed since `base`, by path; none of what went.

    Files that git does not know yet are new as a whole, those it ignores are left out.
    """
    lines: dict[str, set[int]] = {}
    path = ""
    # whatever the user's own settings say
    plain = (
        "-c",
        "core.quotepath=off",
        "-c",
        "diff.noprefix=false",
        "-c",
        "diff.mnemonicprefix=false",
    )
    told = _git(root, *plain, "diff", "--unified=0", "--no-color", "--no-ext-diff", base, "--")
    for line in told.split("\n"):
        if found := _FILE.match(line):
            path = found["path"]
            lines[path] = set()
        elif found := _HUNK.match(line):
            first, count = int(found["first"]), int(found["count"] or 1)
            lines.setdefault(path, set()).update(range(first, first + count))
    for path in _git(root, "ls-files", "-z", "--others", "--exclude-standard").split("\0"):
        if path and (root / path).is_file():
            with (root / path).open("rb") as file:
                lines[path] = set(range(1, 1 + sum(1 for _ in file)))
    return lines


def changed_paths(root: Path, base: str) -> set[str]:
    """Paths that differ from `base`, those that went included."""
    told = _git(root, "diff", "--name-only", "-z", "--no-renames", base, "--")
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    return {path for path in (told + new).split("\0") if path}


@contextmanager
def checked_out(root: Path, commit_id: str, folder: Path) -> Iterator[Path]:
    """The repository as it was at a commit, in `folder`, as long as the block lasts."""
    shutil.rmtree(folder, ignore_errors=True)  # of a report that was killed
    _git(root, "worktree", "prune")
    _git(root, "worktree", "add", "--quiet", "--detach", str(folder), commit_id)
    try:
        yield folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def short(root: Path, commit_id: str) -> str:
    """A commit as people write it: the beginning of its id and its subject."""
    return _git(root, "log", "-1", "--format=%h %s", commit_id).strip()


def _git(root: Path, *arguments: str, fails: bool = False) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode and not fails:
        raise FlagmartError(f"git {arguments[0]}: {done.stderr.strip()}")
    return "" if done.returncode else done.stdout
