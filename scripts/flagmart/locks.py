"""Locks between processes that name who holds them."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flagmart.errors import FlagmartError


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at `path` while the block runs; it is freed when the process dies.

    Args:
        path: the lock file, in a folder that exists.
        what: what the lock protects, for the message of whoever finds it held.

    Raises:
        FlagmartError: another process holds it; names that process and since when.
    """
    lock = FileLock(path)
    holder = path.with_suffix(".holder")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FlagmartError(
            f"{what} is in use by {_describe(holder)}; try again when it is done"
        ) from None
    except OSError as error:
        raise FlagmartError(f"cannot lock {path}: {error.strerror}") from error
    try:
        # whoever looks sees all of it or none
        written = path.with_suffix(".new-holder")
        written.write_text(json.dumps(this_process()), encoding="utf-8")
        written.replace(holder)
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def this_process() -> dict[str, Any]:
    """What a lock says of its holder."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(["flagmart", *sys.argv[1:2]]),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def describe(text: str) -> str:
    """The holder in words, from the JSON of `this_process`."""
    try:
        facts = json.loads(text)
        place = f"process {facts['pid']} on {facts['host']}"
        return f"{facts['command']} ({place}, since {facts['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _describe(holder: Path) -> str:
    try:
        return describe(holder.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "another process"
