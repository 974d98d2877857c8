"""chDB connections, kept as a ClickHouse server keeps its sessions.

A process holds one engine on one data path, and as many connections to it as it likes. Each has
its own settings, current database and temporary tables, so a `session_id` is one connection that is
kept, and a request without one borrows any other.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import chdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from support.clickhouse.statement import Statement

IDLE_CONNECTIONS = 16
"""Connections kept for requests without a session; one costs a millisecond to make."""
STREAMS = 100
"""Statements that answer with rows at the same time; more wait their turn."""
PIPE_BYTES = 1 << 20
"""What Linux lets an ordinary user ask for a pipe (/proc/sys/fs/pipe-max-size)."""

_NEVER_CLOSED: list[Any] = []
"""Connections to a chDB before 4, where the first that is closed takes the others with it."""

NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
UNKNOWN_SETTING = 115
READONLY = 164
CANNOT_DECOMPRESS = 271
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
AUTHENTICATION_FAILED = 516


class EngineError(Exception):
    """An error as ClickHouse names it: its code, and its text with the code in front."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def refused(cls, code: int, name: str, message: str) -> EngineError:
        """An error of the front, in the engine's words."""
        return cls(code, f"Code: {code}. DB::Exception: {message}. ({name})")

    @classmethod
    def raised(cls, error: Exception) -> EngineError:
        """An error of the engine; one without a code is of chDB's own, which has no such thing."""
        text = str(error)
        found = re.search(r"Code: (\d+)\. ", text)
        if found is None:
            return cls.refused(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", text.rstrip("."))
        return cls(int(found[1]), text[found.start() :])


@dataclass(frozen=True)
class Summary:
    """What a statement read and wrote, as the engine counted it."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_s: float = 0.0

    @classmethod
    def of(cls, result: Any) -> Summary:
        if not hasattr(result, "rows_written"):  # engines before 26.7 do not say
            return cls(result.rows_read(), result.bytes_read(), elapsed_s=result.elapsed())
        return cls(
            result.rows_read(),
            result.bytes_read(),
            result.rows_written(),
            result.bytes_written(),
            result.elapsed(),
        )

    def header(self) -> str:
        """The text of `X-ClickHouse-Summary`, whose numbers are strings."""
        return json.dumps(
            {
                "read_rows": str(self.read_rows),
                "read_bytes": str(self.read_bytes),
                "written_rows": str(self.written_rows),
                "written_bytes": str(self.written_bytes),
                "result_rows": "0",
                "result_bytes": "0",
                "elapsed_ns": str(int(self.elapsed_s * 1e9)),
            },
            separators=(",", ":"),
        )


class Connection:
    """One connection to the engine and what has been set on it."""

    def __init__(self, path: str, settings: Mapping[str, str] | None = None) -> None:
        """Connect.

        Args:
            path: Where the engine keeps its data.
            settings: What another fresh connection says it is set to, which saves asking again.
        """
        self._connection = chdb.connect(path)
        # chDB before 4 has no argument for them, but ClickHouse's own way
        self._takes_params = "params" in signature(self._connection.query).parameters
        self.is_before_26_7 = not hasattr(self._connection, "send_insert")
        # A server refuses `1 + 1` without SELECT; chDB, made for a prompt, would take it.
        self.query(b"SET implicit_select = 0")
        self.settings = self._changed_settings() if settings is None else settings
        """What is set on the connection itself, and not for one request only."""
        self._database = "default"
        self.spent = False
        """Holds what no later request must see: it is closed when it is given back."""

    def query(
        self, sql: bytes, format_name: str = "TabSeparated", params: Mapping[str, str] | None = None
    ) -> tuple[bytes, Summary]:
        """Run a statement and take its whole answer into memory.

        Raises:
            EngineError: The engine refused it or it failed.
        """
        given = {"params": dict(params or {})} if self._takes_params else {}
        try:
            if params and not given:
                pairs = (f"{setting(f'param_{key}')} = {quote(v)}" for key, v in params.items())
                self._connection.query(f"SET {', '.join(pairs)}")
            result = self._connection.query(sql, format_name, **given)
        except RuntimeError as error:
            raise EngineError.raised(error) from None
        return result.bytes() or b"", Summary.of(result)

    def insert(self, sql: bytes, format_name: str, data: Iterable[bytes]) -> Summary:
        """Run an `INSERT` on data as it comes; an error of `data` itself takes back what can be.

        Raises:
            EngineError: The engine refused the statement or its data.
        """
        if self.is_before_26_7:
            return self._insert_from_file(sql, format_name, data)
        try:
            inserter = self._connection.send_insert(sql, format_name)
        except RuntimeError as error:
            raise EngineError.raised(error) from None
        with inserter:
            for piece in data:
                try:
                    inserter.append(piece)
                except RuntimeError as error:
                    raise EngineError.raised(error) from None
            try:
                result = inserter.finish()
            except RuntimeError as error:
                raise EngineError.raised(error) from None
        return Summary(
            written_rows=result.rows_written,
            written_bytes=result.bytes_written,
            elapsed_s=result.elapsed,
        )

    def _insert_from_file(self, sql: bytes, format_name: str, data: Iterable[bytes]) -> Summary:
        with tempfile.NamedTemporaryFile() as file:
            for piece in data:
                file.write(piece)
            file.flush()
            clause = f"\nFROM INFILE {quote(file.name)} FORMAT {format_name}"
            _, summary = self.query(sql + clause.encode())
        # Such an engine counts what it read from the file, which is what it wrote.
        return Summary(written_rows=summary.read_rows, written_bytes=summary.read_bytes)

    def change(self, sql: bytes, params: Mapping[str, str]) -> None:
        """Run a statement that leaves something behind, and note what it left."""
        self.query(sql, params=params)
        self.settings = self._changed_settings()
        database, _ = self.query(b"SELECT currentDatabase() FORMAT TSVRaw")
        self._database = database.decode().removesuffix("\n")

    def _changed_settings(self) -> Mapping[str, str]:
        """All that differ from the engine's defaults; takes 5 ms, too long for every request."""
        rows, _ = self.query(
            b"SELECT name, value FROM system.settings WHERE changed FORMAT JSONCompactEachRow"
        )
        return dict(json.loads(row) for row in rows.splitlines())

    @contextmanager
    def under(self, database: str | None, settings: Mapping[str, str]) -> Iterator[None]:
        """Run what follows in a database and with settings that last as long as the block.

        Raises:
            EngineError: The database or a setting is unknown, or a value is none of the setting's.
        """
        if settings:
            pairs = (f"{setting(name)} = {quote(value)}" for name, value in settings.items())
            self.query(f"SET {', '.join(pairs)}".encode())  # all of them, or none and an error
        try:
            if database:
                self.query(b"USE " + quote_name(database))
            yield
        finally:
            if settings:
                self._put_back(settings)
            if database:
                self._return_to_database()

    def _put_back(self, names: Iterable[str]) -> None:
        values = {name: self.settings.get(name) for name in names}
        pairs = [
            f"{name} = {'DEFAULT' if value is None else quote(value)}"
            for name, value in values.items()
        ]
        try:
            self.query(f"SET {', '.join(pairs)}".encode())
        except EngineError:  # one of them forbids it, as `readonly` does
            self.spent = True

    def _return_to_database(self) -> None:
        try:
            self.query(b"USE " + quote_name(self._database))
        except EngineError:  # it was dropped meanwhile
            self._database = "default"
            self.query(b"USE default")

    def close(self) -> None:
        if self._takes_params:
            self._connection.close()
        else:
            _NEVER_CLOSED.append(self._connection)


class Stream:
    """A statement's rows as they come, through a pipe that the engine writes like a file.

    Any format, whatever its header or footer, comes out as the engine writes it; the engine waits
    when the reader is slow; nothing is held but the pipe.
    """

    def __init__(
        self,
        engine: Engine,
        connection: Connection,
        statement: Statement,
        format_name: str,
        params: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._marker = uuid.uuid4().hex
        self._read_fd, self._write_fd = os.pipe()
        _widen(self._read_fd)
        sql = statement.into(f"/proc/self/fd/{self._write_fd}", self._marker, format_name)
        self._run = engine.workers.submit(self._write, connection, sql, params)

    def _write(self, connection: Connection, sql: bytes, params: Mapping[str, str]) -> Summary:
        try:
            return connection.query(sql, params=params)[1]
        finally:
            os.close(self._write_fd)

    def fileno(self) -> int:
        """Readable when there are bytes or the statement has ended."""
        return self._read_fd

    def read(self) -> bytes:
        """The next bytes; empty when the statement has ended, well or not: ask `finish`."""
        return os.read(self._read_fd, PIPE_BYTES)

    def finish(self) -> Summary:
        """Wait for the end.

        Raises:
            EngineError: The statement failed; some formats look whole nevertheless.
        """
        try:
            return self._run.result()
        finally:
            os.close(self._read_fd)

    def abandon(self) -> None:
        """Kill the statement and wait until it is gone.

        A closed pipe is not enough: the engine goes on and writes to nobody.
        """
        with self._engine.borrow() as killer:
            kill = f"KILL QUERY WHERE position(query, '/* {self._marker} */') > 0 ASYNC"
            while not self._run.done():
                killer.connection.query(kill.encode())
                wait([self._run], timeout=0.1)
                while _has_bytes(self._read_fd) and self.read():
                    pass
        os.close(self._read_fd)


@dataclass
class _Session:
    connection: Connection
    busy: bool
    expires_at: float
    """On the monotonic clock; counted from the end of its last request."""


class Lease:
    """A connection that is one request's alone until it is released."""

    def __init__(self, engine: Engine, connection: Connection, session_id: str | None) -> None:
        self._engine = engine
        self._session_id = session_id
        self._timeout_s = 0.0
        self.connection = connection
        self._held = True

    @property
    def is_session(self) -> bool:
        return self._session_id is not None

    def keep_for(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def release(self) -> None:
        """Give the connection back; a second time does nothing."""
        if self._held:
            self._held = False
            self._engine.give_back(self.connection, self._session_id, self._timeout_s)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Engine:
    """The engine on one data path, its sessions, and its connections for everybody else."""

    def __init__(self, folder: Path, config: Path | None = None, users: Path | None = None) -> None:
        """Start, on data in `folder`, with ClickHouse's own files of settings where given."""
        folder.mkdir(parents=True, exist_ok=True)
        given = (("config-file", config), ("users_config", users))
        options = "&".join(f"{option}={path}" for option, path in given if path)
        self._path = f"{folder}?{options}" if options else str(folder)
        # Kept, because the engine takes a millisecond to get to know a new thread.
        self.workers = ThreadPoolExecutor(STREAMS)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._sessions: dict[str, _Session] = {}
        # The engine stops with its last connection, so one stays open.
        self._first = Connection(self._path)
        version, _ = self._first.query(b"SELECT version() FORMAT TSVRaw")
        self.version = version.decode().strip()

    def _connect(self) -> Connection:
        return Connection(self._path, self._first.settings)

    def borrow(self) -> Lease:
        """A connection of no session."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        return Lease(self, connection or self._connect(), None)

    def session(self, session_id: str, timeout_s: float, *, must_exist: bool = False) -> Lease:
        """The connection of a session, made where there is none.

        Args:
            session_id: As the client names it.
            timeout_s: Seconds without a request after which the session is forgotten.
            must_exist: Refuse to make one.

        Raises:
            EngineError: Another request is running in the session (373), or there is none (372).
        """
        self._forget_expired()
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None and must_exist:
                raise EngineError.refused(
                    SESSION_NOT_FOUND, "SESSION_NOT_FOUND", f"Session {session_id} not found"
                )
            if session is None:
                session = _Session(self._connect(), busy=False, expires_at=0.0)
                self._sessions[session_id] = session
            if session.busy:
                raise EngineError.refused(
                    SESSION_IS_LOCKED,
                    "SESSION_IS_LOCKED",
                    f"Session {session_id} is locked by a concurrent client",
                )
            session.busy = True
        lease = Lease(self, session.connection, session_id)
        lease.keep_for(timeout_s)
        return lease

    def stream(
        self,
        connection: Connection,
        statement: Statement,
        format_name: str,
        params: Mapping[str, str],
    ) -> Stream:
        """Start a statement whose rows are read as they come.

        Args:
            connection: Where to run it; busy until `finish` or `abandon`.
            statement: One that answers with rows.
            format_name: Where the statement names none.
            params: Values for `{name:Type}`.
        """
        return Stream(self, connection, statement, format_name, params)

    def give_back(self, connection: Connection, session_id: str | None, timeout_s: float) -> None:
        """Take back what a lease held; only leases call this."""
        with self._lock:
            if session_id is not None and connection.spent:
                del self._sessions[session_id]
            elif session_id is not None:
                session = self._sessions[session_id]
                session.busy = False
                session.expires_at = time.monotonic() + timeout_s
                return
            elif not connection.spent and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _forget_expired(self) -> None:
        now = time.monotonic()
        with self._lock:
            expired = [
                name
                for name, session in self._sessions.items()
                if not session.busy and session.expires_at < now
            ]
            connections = [self._sessions.pop(name).connection for name in expired]
        for connection in connections:
            connection.close()


def _widen(fd: int) -> None:
    """Make a pipe large, where the system allows: fewer turns between the engine and its reader."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _has_bytes(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def quote(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_name(name: str) -> bytes:
    """An identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`".encode()


def setting(name: str) -> str:
    """A setting's name, if it can be one.

    Raises:
        EngineError: It cannot.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise EngineError.refused(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    return name
