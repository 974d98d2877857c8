"""A ClickHouse address for a test: a real server's from the environment, or a front of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TESTS = Path(__file__).resolve().parents[2]
STOP_S = 20.0
"""A front that has not stopped by then is killed."""


@dataclass(frozen=True)
class Address:
    """Where to reach ClickHouse's HTTP interface, and as whom."""

    host: str
    port: int
    user: str
    password: str
    database: str


def from_environment(environ: Mapping[str, str] = os.environ) -> Address | None:
    """A server that was given: FLAGMART_TEST_CLICKHOUSE_HOST, _PORT, _USER and _PASSWORD."""
    host = environ.get("FLAGMART_TEST_CLICKHOUSE_HOST")
    if not host:
        return None
    return Address(
        host=host,
        port=int(environ.get("FLAGMART_TEST_CLICKHOUSE_PORT", "8123")),
        user=environ.get("FLAGMART_TEST_CLICKHOUSE_USER", "default"),
        password=environ.get("FLAGMART_TEST_CLICKHOUSE_PASSWORD", ""),
        database="default",
    )


@contextmanager
def running(folder: Path) -> Iterator[Address]:
    """A ClickHouse to test against, until the block ends.

    Args:
        folder: For the data and the log of a front that is started; unused with a given server.

    Raises:
        RuntimeError: There is neither a server nor chdb, or the front does not start.
    """
    given = from_environment()
    if given is not None:
        yield given
        return
    with started(folder) as (address, _):
        yield address


@contextmanager
def started(
    folder: Path, engine: Path | None = None, *options: str
) -> Iterator[tuple[Address, subprocess.Popen[bytes]]]:
    """A front of the caller's own, whatever the environment says, and its process.

    Args:
        folder: For its data and its log.
        engine: Where another release of the engine lies, for tests of older ones: made by
            `pip install --no-deps --target ENGINE chdb-core==…` (`chdb==…` before ClickHouse 26).
        options: More of the front's own, see `python -m support.clickhouse --help`.

    Raises:
        RuntimeError: chdb is missing, or the front does not start.
    """
    if importlib.util.find_spec("chdb") is None:
        raise RuntimeError(
            "these tests need ClickHouse: install its engine with `make setup` (PyPI: chdb), or "
            "name a server in FLAGMART_TEST_CLICKHOUSE_HOST, _PORT, _USER and _PASSWORD"
        )
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "front.log"
    password = secrets.token_hex(16)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "support.clickhouse", "--child"),
                *("--folder", folder, "--port", "0", "--password", password),
                *options,
            ],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(str(path) for path in (engine, TESTS) if path),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait(STOP_S)
            raise RuntimeError(
                f"the ClickHouse front did not start, exit {process.returncode}; {log} says: "
                + log.read_text(errors="replace")[-2000:]
            )
        port = int(json.loads(line)["port"])
        yield Address("127.0.0.1", port, "default", password, "default"), process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
