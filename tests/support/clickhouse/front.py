"""ClickHouse's HTTP interface, as far as the clients of this project speak it, over `engine`.

Where a choice was to be made, a ClickHouse server's behaviour was taken: names of parameters and
headers, codes of errors, which settings outlive a request, when an answer may still turn into an
error. https://clickhouse.com/docs/interfaces/http is the description.
"""

from __future__ import annotations

import base64
import binascii
import email.parser
import email.policy
import hmac
import select
import socket
import sys
import tempfile
import uuid
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from support.clickhouse import engine as ch
from support.clickhouse.bodies import (
    BadBodyError,
    Chunks,
    ClientGoneError,
    Decoded,
    Encoder,
    Readable,
    RequestBody,
    chosen_encoding,
    pieces,
)
from support.clickhouse.engine import EngineError, Lease, Stream, Summary
from support.clickhouse.statement import NotOneStatementError, Statement, insert_with_data, parse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

MAX_QUERY_BYTES = 262_144
"""ClickHouse's default of `max_query_size`: an INSERT's text before its data fits into it."""
KEPT_BACK_BYTES = 1 << 20
"""Of an answer, before its headers are sent: an error up to there is an error of the request."""
IN_MEMORY_BYTES = 16 << 20
"""Of an answer that is kept back to its end; more goes to a temporary file."""
SESSION_S = 60
MAX_SESSION_S = 3600
"""`default_session_timeout` and `max_session_timeout` of a ClickHouse server."""

NOT_SETTINGS = frozenset(
    {
        *("query", "query_id", "database", "user", "password", "quota_key", "default_format"),
        *("session_id", "session_timeout", "session_check", "wait_end_of_query", "buffer_size"),
        *("compress", "decompress", "client_protocol_version", "stacktrace"),
    }
)
"""Parameters that speak to the HTTP interface; all others are settings."""

STATUSES = {
    400: (6, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 69, 117, 456, 457),
    403: (ch.AUTHENTICATION_FAILED,),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, ch.UNKNOWN_SETTING),
    408: (159,),
    501: (ch.NOT_IMPLEMENTED,),
}
"""HTTP's status for ClickHouse's codes, the common ones as its server maps them; else 500."""


@dataclass(frozen=True)
class Request:
    """What a request asks for, its body aside."""

    query: bytes
    """Text from the URL or the form; the body goes on from there."""
    options: Mapping[str, str]
    """Of `NOT_SETTINGS`."""
    settings: Mapping[str, str]
    params: Mapping[str, str]
    """Values for `{name:Type}`, escaped as in a tab-separated file."""
    reads_only: bool
    changes_nothing: bool
    """Of a user who may not even change a setting."""

    @classmethod
    def of(
        cls, given: Mapping[str, str], *, reads_only: bool, changes_nothing: bool = False
    ) -> Request:
        return cls(
            query=given.get("query", "").encode("utf-8", "surrogateescape"),
            options={name: value for name, value in given.items() if name in NOT_SETTINGS},
            settings={
                name: value
                for name, value in given.items()
                if name not in NOT_SETTINGS and not name.startswith("param_")
            },
            params={
                name.removeprefix("param_"): value
                for name, value in given.items()
                if name.startswith("param_")
            },
            reads_only=reads_only,
            changes_nothing=changes_nothing,
        )

    @contextmanager
    def on(self, connection: ch.Connection) -> Iterator[None]:
        """Run what follows in the database and with the settings that are asked for."""
        fixed = {"readonly": "1"} if self.changes_nothing else {}
        with (
            connection.under(None, fixed),
            connection.under(self.options.get("database"), self.settings),
        ):
            yield

    def flag(self, name: str) -> bool:
        return self.options.get(name, "0") not in ("0", "false", "")


@dataclass
class Front:
    """What all requests share."""

    engine: ch.Engine
    user: str
    password: str
    reader_password: str | None = None
    """Of user `reader`, whose statements run under `readonly = 1`; None where there is none."""

    def password_of(self, user: str) -> str | None:
        """None where there is no such user."""
        if hmac.compare_digest(user.encode(), self.user.encode()):
            return self.password
        return self.reader_password if user == READER else None


READER = "reader"


class Server(ThreadingHTTPServer):
    """A thread for each client's connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], front: Front) -> None:
        super().__init__(address, Handler)
        self.front = front

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is no error; anything else is one of ours, and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@dataclass
class Answer:
    """Where the answer to a request stands."""

    query_id: str
    timezone: str = "UTC"
    headers: dict[str, str] = field(default_factory=dict)
    begun: bool = False
    """Its status is on the way to the client; from here an error can only break it off."""


class Handler(BaseHTTPRequestHandler):
    """One client's connection, request after request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Server

    def do_GET(self) -> None:
        self._serve(reads_only=True)

    def do_POST(self) -> None:
        self._serve(reads_only=False)

    def handle_expect_100(self) -> bool:
        """Ask for the body at once: answers are buffered, and curl waits a second for this one."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _serve(self, *, reads_only: bool) -> None:
        body = self._body()
        url = urlsplit(self.path)
        given = dict(parse_qsl(url.query, keep_blank_values=True, errors="surrogateescape"))
        answer = Answer(given.get("query_id") or str(uuid.uuid4()))
        try:
            try:
                if url.path == "/ping" or (url.path == "/" and reads_only and not given):
                    self._send_whole(answer, 200, b"Ok.\n")
                elif url.path != "/":
                    self._send_whole(answer, 404, f"There is no handle {url.path}\n".encode())
                else:
                    user = self._authenticate(given)
                    rest, fields = self._form(body)
                    request = Request.of(
                        given | fields, reads_only=reads_only, changes_nothing=user == READER
                    )
                    self._execute(request, rest, answer)
                body.drain()
            except (EngineError, BadBodyError) as raised:
                error = _as_engine_error(raised)
                if answer.begun:
                    self._break_off()
                else:
                    body.drain()
                    self._send_error(answer, error)
        except (ConnectionError, TimeoutError):
            self._break_off()

    def _body(self) -> RequestBody:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        length = None if chunked else int(self.headers.get("Content-Length") or 0)
        return RequestBody(self.rfile, length)

    def _form(self, body: RequestBody) -> tuple[Readable, dict[str, str]]:
        """The body to read the statement from, and the fields of a form that came in its place."""
        encoding = self.headers.get("Content-Encoding", "").strip().lower()
        try:
            rest = Decoded(body, encoding)
        except LookupError:
            raise EngineError.refused(
                ch.NOT_IMPLEMENTED, "NOT_IMPLEMENTED", f"Unknown Content-Encoding {encoding}"
            ) from None
        kind = self.headers.get("Content-Type", "")
        if not kind.lower().startswith("multipart/form-data"):
            return rest, {}
        return rest, _form_fields(kind, b"".join(pieces(b"", rest)))

    def _authenticate(self, given: Mapping[str, str]) -> str:
        """The user's name."""
        user = self.headers.get("X-ClickHouse-User") or given.get("user", "default")
        password = self.headers.get("X-ClickHouse-Key") or given.get("password", "")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with suppress(binascii.Error, UnicodeDecodeError):
                user, _, password = base64.b64decode(token).decode().partition(":")
        expected = self.server.front.password_of(user)
        if expected is None or not hmac.compare_digest(password.encode(), expected.encode()):
            raise EngineError.refused(
                ch.AUTHENTICATION_FAILED,
                "AUTHENTICATION_FAILED",
                f"{user}: Authentication failed: password is incorrect, or there is no user with "
                "such name",
            )
        return user

    def _execute(self, request: Request, rest: Readable, answer: Answer) -> None:
        for name in ("compress", "decompress"):
            if request.flag(name):
                raise EngineError.refused(
                    ch.NOT_IMPLEMENTED, "NOT_IMPLEMENTED", f"{name}=1 is not spoken here"
                )
        answer.timezone = request.settings.get("session_timezone", answer.timezone)
        head = request.query + b"\n" if request.query else b""
        head += rest.read(MAX_QUERY_BYTES)
        insert = insert_with_data(head)
        if insert is not None and not (insert.format == "Values" and request.params):
            self._refuse_writing(request, "INSERT")
            with (
                self._lease(request) as lease,
                request.on(lease.connection),
            ):
                data = pieces(head[insert.data_at :], rest)
                summary = lease.connection.insert(insert.text, insert.format, data)
            self._send_whole(answer, 200, b"", summary)
            return
        text = b"".join(pieces(head, rest))
        try:
            statement = parse(text)
        except NotOneStatementError as error:
            raise EngineError.refused(ch.SYNTAX_ERROR, "SYNTAX_ERROR", str(error)) from None
        with self._lease(request) as lease:
            if statement.answers_rows:
                self._answer_rows(request, statement, lease, answer)
                return
            self._refuse_writing(request, statement.kind)
            if statement.changes_connection:
                # On the connection itself: what it sets shall outlive the request's own settings.
                lease.connection.spent = not lease.is_session
                lease.connection.change(statement.text, request.params)
                content, summary = b"", Summary()
            else:
                sql = statement.text
                if lease.connection.is_before_26_7:  # such a chDB never ends what waits for a drop
                    sql = statement.without_sync()
                with request.on(lease.connection):
                    content, summary = lease.connection.query(sql, params=request.params)
        self._send_whole(answer, 200, content, summary)

    def _answer_rows(
        self, request: Request, statement: Statement, lease: Lease, answer: Answer
    ) -> None:
        format_name = (
            statement.format
            or self.headers.get("X-ClickHouse-Format")
            or request.options.get("default_format")
            or "TabSeparated"
        )
        answer.headers["X-ClickHouse-Format"] = format_name
        rows = self._rows(request, statement, lease, format_name, answer)
        with closing(rows), tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as kept:
            for piece in rows:
                kept.write(piece)
                if kept.tell() >= KEPT_BACK_BYTES and not request.flag("wait_end_of_query"):
                    break
            encoding = None
            if request.settings.get("enable_http_compression", "1") not in ("0", "false"):
                encoding = chosen_encoding(self.headers.get("Accept-Encoding", ""))
            if encoding:
                answer.headers["Content-Encoding"] = encoding
            answer.headers["Transfer-Encoding"] = "chunked"
            self._begin(answer, 200)
            encoder = Encoder(Chunks(self.wfile), encoding)
            kept.seek(0)
            for piece in pieces(b"", kept):
                encoder.write(piece)
            for piece in rows:
                encoder.write(piece)
            encoder.end()

    def _rows(
        self,
        request: Request,
        statement: Statement,
        lease: Lease,
        format_name: str,
        answer: Answer,
    ) -> Generator[bytes]:
        """The answer's bytes, the last of them only when all is well and the connection is free.

        So a client that has read everything may go on in its session at once, and one whose
        statement failed late never sees the end that some formats write all the same.
        """
        last = b""
        connection = lease.connection
        with lease, request.on(connection):
            stream = self.server.front.engine.stream(
                connection, statement, format_name, request.params
            )
            try:
                while piece := self._next_piece(stream):
                    if last:
                        yield last
                    last = piece
            except BaseException:
                stream.abandon()
                raise
            answer.headers["X-ClickHouse-Summary"] = stream.finish().header()
        yield last

    def _next_piece(self, stream: Stream) -> bytes:
        """What the statement writes next, unless the client hangs up before."""
        poll = select.poll()
        poll.register(stream, select.POLLIN | select.POLLHUP)
        poll.register(self.connection, select.POLLIN | select.POLLHUP)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if stream.fileno() in ready:
                return stream.read()
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise ClientGoneError("the client hung up while its statement ran")
            poll.unregister(self.connection)  # its next request, already: that is allowed

    def _lease(self, request: Request) -> Lease:
        engine = self.server.front.engine
        session_id = request.options.get("session_id")
        if not session_id:
            return engine.borrow()
        given = request.options.get("session_timeout", str(SESSION_S))
        if not given.isdecimal() or int(given) > MAX_SESSION_S:
            raise EngineError.refused(
                ch.INVALID_SESSION_TIMEOUT,
                "INVALID_SESSION_TIMEOUT",
                f"Invalid session timeout: '{given}', must be a number up to {MAX_SESSION_S}",
            )
        return engine.session(session_id, float(given), must_exist=request.flag("session_check"))

    def _refuse_writing(self, request: Request, kind: str) -> None:
        if request.reads_only:
            raise EngineError.refused(
                ch.READONLY,
                "READONLY",
                f"Cannot execute {kind} with the GET method: use POST for what modifies data",
            )

    def _begin(self, answer: Answer, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("X-ClickHouse-Server-Display-Name", "chdb")
        self.send_header("X-ClickHouse-Query-Id", answer.query_id)
        self.send_header("X-ClickHouse-Timezone", answer.timezone)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        answer.begun = True

    def _send_whole(
        self, answer: Answer, status: int, content: bytes, summary: Summary | None = None
    ) -> None:
        if summary is not None:
            answer.headers["X-ClickHouse-Summary"] = summary.header()
        answer.headers["Content-Length"] = str(len(content))
        self._begin(answer, status)
        self.wfile.write(content)
        self.wfile.flush()

    def _send_error(self, answer: Answer, error: EngineError) -> None:
        status = next((status for status, codes in STATUSES.items() if error.code in codes), 500)
        version = self.server.front.engine.version
        answer.headers = {"X-ClickHouse-Exception-Code": str(error.code)}
        self._send_whole(answer, status, f"{error} (version {version} (chDB))\n".encode())

    def _break_off(self) -> None:
        """End the connection without the mark that ends an answer: the only way to take it back."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _as_engine_error(error: EngineError | BadBodyError) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return EngineError.refused(
        ch.CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"Cannot decompress the body: {error}"
    )


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """Name and text of each field of a form.

    Raises:
        EngineError: The form carries a file, which would be a table sent along with the query.
    """
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename() is not None or not isinstance(content, bytes):
            raise EngineError.refused(
                ch.NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "External tables are not spoken here"
            )
        fields[str(name)] = content.decode("utf-8", "surrogateescape")
    return fields
