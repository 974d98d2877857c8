"""A server of MongoDB's protocol of a test's own: FerretDB on SQLite, on 127.0.0.1."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo import errors

from support.go_tools import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

_FERRETDB = "github.com/FerretDB/FerretDB/ferretdb@v1.24.0"
_TAGS = ("ferretdb_no_postgresql", "ferretdb_no_mysql")
_STARTED_WITHIN = 60
INDEX = [("event", 1), ("env_id", 1), ("distinct_id", 1), ("timestamp", 1)]
"""The one FeatBit makes on `Events`."""

Client = pymongo.MongoClient[dict[str, Any]]


@contextmanager
def mongodb_server(folder: Path) -> Iterator[Client]:
    """A client of a server that is stopped when the block ends; `folder` holds its files.

    `FLAGMART_TEST_MONGODB` (a URL whose user may make databases) is taken instead.
    """
    given = os.environ.get("FLAGMART_TEST_MONGODB")
    if given:
        with Client(given) as client:
            yield client
        return
    program = compiled(Path(__file__).with_name("ferretdb"), _FERRETDB, _TAGS)
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, address, f"file:{folder}/"], cwd=folder, stdout=log, stderr=log
        )
    try:
        with Client(f"mongodb://{address}/", serverSelectionTimeoutMS=200) as client:
            until = time.monotonic() + _STARTED_WITHIN
            while True:
                try:
                    client.admin.command("ping")
                except errors.PyMongoError:
                    said = (folder / "log").read_text(errors="replace")
                    assert process.poll() is None, f"FerretDB ended: {said}"
                    assert time.monotonic() < until, f"FerretDB does not answer: {said}"
                else:
                    break
        with Client(f"mongodb://{address}/") as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)
