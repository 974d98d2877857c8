"""ClickHouse over HTTP: statements, Arrow both ways, and errors that name the server."""

from __future__ import annotations

import io
import logging
import re
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa

from flagmart import talk
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from flagmart.settings import ClickHouse

TABLE_EXISTS = 57
UNKNOWN_TABLE = 60
UNKNOWN_DATABASE = 81
_AUTHENTICATION_FAILED = 516
_ACCESS_DENIED = 497
_READONLY = 164
REFUSALS = (_ACCESS_DENIED, _READONLY)
"""The user may not."""
_OLDEST = (25, 8)
"""The release that `make soak` goes back to; as in the macro `begin_build`."""
_SHOWN = 400
"""Characters of a server's error that are passed on: it may cite the whole statement."""
_PARAMETER_BYTES = 120_000
"""A field of a request may have 128 KB by default."""
_SPILL = 1 << 30
_SETTINGS: dict[str, Any] = {
    # as in profiles.yml: a view is computed when it is read, under its reader's settings
    "session_timezone": "UTC",
    "join_use_nulls": 1,
    # the type that DuckDB's reader gives
    "output_format_arrow_string_as_string": 1,
    # an insert that is acknowledged is in the table; newer servers would gather several first
    "async_insert": 0,
    # what does not fit into a gigabyte goes to the server's disk
    "max_bytes_before_external_group_by": _SPILL,
    "max_bytes_before_external_sort": _SPILL,
}
READING: dict[str, Any] = {
    # text as text, which older servers gave as bytes
    "output_format_arrow_string_as_string": 1,
    # all statements see the same replicas, and all shards or none
    "load_balancing": "in_order",
    "prefer_localhost_replica": 0,
    "max_parallel_replicas": 1,
    "skip_unavailable_shards": 0,
}
"""For reading a server of other people's, as far as it has these and lets us change them."""
SPILLED_JOIN: dict[str, Any] = {"join_algorithm": "grace_hash", "max_bytes_in_join": _SPILL // 4}
"""For joins of tables of any size: the hash table goes to disk in parts."""

Parameters = dict[str, Any]
"""Values for `{name:Type}`: text, whole numbers, and lists of them."""


class ServerError(FlagmartError):
    """What the server or the way to it answered."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """ClickHouse's number of the error; None where it has none."""


@contextmanager
def connected(server: ClickHouse, *, only_reads: bool = False) -> Iterator[Client]:
    """A client, closed when the block ends.

    Args:
        server: which one.
        only_reads: a server of other people's: any release, and a user who may change no setting.

    Raises:
        FlagmartError: the client is not installed, or the server cannot be reached or refuses.
    """
    client = Client(server, only_reads=only_reads)
    try:
        yield client
    finally:
        client.close()


class Client:
    """One client; threads may share it, since it keeps no session.

    Every method raises ServerError where the server or the way to it fails.
    """

    def __init__(self, server: ClickHouse, *, only_reads: bool = False) -> None:
        try:
            import clickhouse_connect
        except ImportError:
            raise FlagmartError(
                f"{server} is reached by a client that is not installed; install it with "
                ".venv/bin/pip install 'dbt-clickhouse>=1.10.3,<1.11'"
            ) from None
        from urllib3 import Timeout

        # its warnings would reach stderr beside the error that is raised
        logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
        self.server = server
        self._rights = "docs/sources.md" if only_reads else "docs/operator.md"
        with self._named():
            self._client = clickhouse_connect.get_client(
                host=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                interface="https" if server.secure else "http",
                verify=True,
                compress=False,  # Arrow's own compression is used, both ways
                autogenerate_session_id=False,
                # lists of runs and days may be too long for a URL
                form_encode_query_params=True,
                client_name="flagmart",
                settings={} if only_reads else _SETTINGS,
                # makes a server report every ten seconds that it is still at work
                send_receive_timeout=15,
                show_clickhouse_errors="scrub",
            )
            if only_reads:
                for key, value in self.changeable(READING).items():
                    self._client.set_client_setting(key, value)
        release = str(self._client.server_version)
        if (
            not only_reads
            and tuple(int(part) for part in re.findall(r"\d+", release)[:2]) < _OLDEST
        ):
            self._client.close()
            oldest = ".".join(map(str, _OLDEST))
            raise FlagmartError(
                f"{server} is of release {release}, and {oldest} is the oldest that flagmart runs "
                "on; update the server"
            )
        # a statement takes as long as it takes; a server that is gone is noticed by TCP's keepalive
        self._client.timeout = Timeout(connect=10, read=None)  # type: ignore[attr-defined]

    def changeable(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `settings` that the server has and lets this user change."""
        known = self._client.server_settings
        return {
            key: value
            for key, value in settings.items()
            if key in known and not known[key].readonly
        }

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def run(
        self,
        statement: str,
        parameters: Parameters | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Run a statement that gives no rows."""
        with self._named(), talk.waiting(f"{self.server} is at work"):
            self._client.command(statement, parameters, settings=dict(settings or {}))

    def rows(
        self,
        statement: str,
        parameters: Parameters | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement that gives few; complete or an error."""
        with self._named(), talk.waiting(f"{self.server} is at work"):
            # waits for the statement's end before its first byte, so that an error comes as one
            answer = self._client.raw_query(
                statement, parameters, settings=dict(settings or {}), fmt="ArrowStream"
            )
            return [
                row
                for batch in (pa.ipc.open_stream(answer) if answer else ())
                for row in zip(
                    *(column.to_pylist() for column in _without_zones(batch).columns), strict=True
                )
            ]

    def file(self, select: str, form: str, settings: Mapping[str, Any]) -> bytes:
        """The whole answer to `select` in one of the server's formats, as in a file."""
        with self._named(), talk.waiting(f"{self.server} is at work"):
            return self._client.raw_query(select, settings=dict(settings), fmt=form)

    def number(
        self,
        statement: str,
        parameters: Parameters | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> int:
        """The one whole number a statement gives."""
        [(number,)] = self.rows(statement, parameters, settings)
        return int(number)

    def stream(
        self,
        select: str,
        parameters: Parameters | None = None,
        *,
        expected: int,
        settings: Mapping[str, Any] | None = None,
        or_more: bool = False,
    ) -> Generator[pa.RecordBatch, None, None]:
        """The rows of `select` in batches, as they come; memory stays flat.

        Args:
            select: a statement without FORMAT.
            parameters: its values.
            expected: number of rows it must give: a server may end a stream well that failed.
            settings: for this statement.
            or_more: rows may have come since they were counted.
        """
        got = 0
        for batch in self.batches(select, parameters, settings):
            got += batch.num_rows
            yield batch
        if got < expected or (got > expected and not or_more):
            raise ServerError(
                f"{self.server} gave {got:,} of {expected:,} rows: it broke off, or the table "
                "changed meanwhile; run it again"
            )

    def batches(
        self,
        select: str,
        parameters: Parameters | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        """As `stream`, where the number of rows is not known; look at what came."""
        with self._named(), ExitStack() as opened:
            with talk.waiting(f"{self.server} is at work"):
                answer = self._client.raw_stream(
                    select, parameters, settings=dict(settings or {}), fmt="ArrowStream"
                )
                answer.auto_close = False  # type: ignore[union-attr] # a short one would be closed unread
                body = opened.enter_context(closing(io.BufferedReader(answer)))  # type: ignore[type-var]
                begun = body.peek(1)
            # no row, no schema
            for batch in pa.ipc.open_stream(body) if begun else ():
                yield _without_zones(batch)
            # a server that fails ends the rows well, and then says so or breaks off
            if rest := body.read(_SHOWN):
                raise ServerError(
                    f"{self.server} broke off: {talk.printable(rest.decode(errors='replace'))}"
                )

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table, whose columns are named like theirs."""
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=pa.Codec("lz4"))
        with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
            writer.write_table(rows)
        with self._named():
            self._client.raw_insert(
                table, rows.schema.names, sink.getvalue().to_pybytes(), fmt="ArrowStream"
            )

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn what goes wrong inside into an error that names the server."""
        from clickhouse_connect.driver.exceptions import ClickHouseError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (ClickHouseError, HTTPError, pa.ArrowException, OSError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        code = getattr(error, "code", None)
        if code == _AUTHENTICATION_FAILED:
            reason = (
                f"user {self.server.user!r} or the password is wrong; set "
                f"{self.server.named_by}_USER and {self.server.password_in}"
            )
        elif code in REFUSALS:
            reason = f"{_first_line(error)}; grant it to {self.server.user!r}, see {self._rights}"
        elif code is not None:
            reason = _first_line(error)
        else:
            reason = (
                f"{_cause(error)}; see that it is running, and that {self.server.named_by}_HOST, "
                "_PORT and _SECURE are right"
            )
        raise ServerError(f"{self.server}: {talk.printable(reason)}", code) from error


def _first_line(error: Exception) -> str:
    """What the server says, without what the client puts around it."""
    line = str(error).strip().splitlines()[0]
    line = line.rpartition("server response: ")[2].removeprefix("Code: ")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _cause(error: Exception) -> str:
    """Why the server was not reached: the innermost reason, for those around it cite URLs."""
    inner: BaseException = error
    while following := getattr(inner, "reason", None) or inner.__cause__:
        if not isinstance(following, BaseException):
            break
        inner = following
    text = (str(inner).strip() or type(inner).__name__).splitlines()[0]
    return text[:_SHOWN]


def _without_zones(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Timestamps in UTC as DuckDB gives them: without a zone."""
    if not any(pa.types.is_timestamp(kind) for kind in rows.schema.types):
        return rows
    schema = pa.schema(
        field.with_type(pa.timestamp(field.type.unit))
        if pa.types.is_timestamp(field.type)
        else field
        for field in rows.schema
    )
    columns = [column.cast(field.type) for column, field in zip(rows.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def many(name: str, values: Sequence[int | str], kind: str) -> tuple[str, Parameters]:
    """An expression for a list of any length, and its parameters.

    Args:
        name: what the parameters' names begin with.
        values: the list.
        kind: ClickHouse's type of each value.
    """
    longest = max((len(str(value)) for value in values), default=0)
    at_once = max(1, _PARAMETER_BYTES // (longest + len("'',")))
    parts = [
        list(values[first : first + at_once]) for first in range(0, max(1, len(values)), at_once)
    ]
    parameters = {f"{name}_{number}": part for number, part in enumerate(parts)}
    arrays = ", ".join(f"{{{key}:Array({kind})}}" for key in parameters)
    return f"arrayConcat({arrays})", parameters


def name(identifier: str) -> str:
    """An identifier in quotes."""
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """A text in quotes, for the statements that take no parameters: those that make tables."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
