"""What comes from the environment: where the data lies, which engine, what time it is."""

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from flagmart import durable
from flagmart.errors import FlagmartError, UsageError


@dataclass(frozen=True)
class DataFolder:
    """The data folder (`FLAGMART_DATA`, default `data`) and what lies where in it."""

    root: Path

    @property
    def landing(self) -> Path:
        """Parquet landings, one folder a table, each with its manifest."""
        return self.root / "landing"

    @property
    def rejects(self) -> Path:
        """What ingest could not read as an event: one JSON-lines file a run."""
        return self.root / "rejects"

    @property
    def duckdb(self) -> Path:
        """The DuckDB file dbt builds into; `profiles.yml` names the same one."""
        return self.root / "flagmart.duckdb"

    @property
    def ledger(self) -> Path:
        """SQLite: what was delivered and acknowledged."""
        return self.root / "ledger.sqlite"

    @property
    def spool(self) -> Path:
        """Rows on their way out; safe to lose, made anew from the engine."""
        return self.root / "spool"

    @property
    def spill(self) -> Path:
        """What the memory of DuckDB cannot hold, which makes this folder and takes it away."""
        return self.root / "spill"

    @property
    def acknowledged(self) -> Path:
        """Ids of messages sent over HTTP, in sending order; the ledger points into these files."""
        return self.root / "acknowledged"

    @property
    def checkpoints(self) -> Path:
        """How far each store has been read; safe to lose, its ids are looked at again."""
        return self.root / "checkpoints"

    @property
    def dbt(self) -> Path:
        """What dbt writes beside the tables where the project is the installed one."""
        return self.root / "dbt"

    @property
    def cache(self) -> Path:
        """What takes long to make and never differs; safe to lose."""
        return self.root / "cache"

    @property
    def locks(self) -> Path:
        """One file a lock, naming its holder."""
        return self.root / "locks"

    def ensure(self, folder: Path) -> Path:
        """Make `folder` (and its parents) where it is missing.

        Raises:
            FlagmartError: the folder cannot be made; names it and the mend.
        """
        try:
            durable.make_folder(folder)
        except OSError as error:
            raise FlagmartError(
                f"cannot write in {folder}: {error.strerror}; give its owner's permission "
                "or point FLAGMART_DATA at a folder of yours"
            ) from error
        return folder


def data_folder() -> DataFolder:
    """The data folder named by the environment.

    Raises:
        UsageError: the name is blank or begins with `~`, which other readers would take literally.
    """
    named = os.environ.get("FLAGMART_DATA") or "data"
    if named.startswith("~") or not named.strip():
        raise UsageError(
            f"FLAGMART_DATA={named!r} is no folder; write it out, neither cron nor dbt expands ~"
        )
    return DataFolder(Path(named))


class Engine(StrEnum):
    """Where the tables are; each as dbt names its adapter."""

    DUCKDB = "duckdb"
    CLICKHOUSE = "clickhouse"


def engine() -> Engine:
    """The engine named by `DBT_TARGET` (default duckdb), which `profiles.yml` reads, too.

    Raises:
        UsageError: it names no engine.
    """
    named = os.environ.get("DBT_TARGET") or Engine.DUCKDB
    try:
        return Engine(named)
    except ValueError:
        raise UsageError(f"DBT_TARGET={named!r} is no engine; say duckdb or clickhouse") from None


@dataclass(frozen=True)
class ClickHouse:
    """Where a ClickHouse's HTTP interface is, who asks, and in which database."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    secure: bool
    """HTTPS; the server's certificate is always verified."""
    named_by: str
    """What the variables begin with that name the server."""
    password_in: str
    """The variable that holds the password."""

    @property
    def landing(self) -> str:
        """The landing's database, beside dbt's own; as the macro `landing_schema` names it."""
        return f"{self.database}_landing"

    @property
    def builds(self) -> str:
        """The database of what dbt notes of its runs; as the macro `builds_schema` names it."""
        return f"{self.database}_builds"

    def __str__(self) -> str:
        return f"ClickHouse at {self.host}:{self.port}"


_CLICKHOUSE = "FLAGMART_CLICKHOUSE"
_CLICKHOUSE_PASSWORD = "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD"  # noqa: S105 - a variable's name
_FEATBIT = "FLAGMART_FEATBIT_CLICKHOUSE"
_FEATBIT_PASSWORD = "DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD"  # noqa: S105


def clickhouse() -> ClickHouse:
    """ClickHouse as the environment names it: the variables and defaults of `profiles.yml`.

    dbt builds in its database; beside it lie those of the landing and of build notes.

    Raises:
        UsageError: `FLAGMART_CLICKHOUSE_PORT` or `FLAGMART_CLICKHOUSE_SECURE` has no such value.
    """
    return _clickhouse(_CLICKHOUSE, _CLICKHOUSE_PASSWORD, "flagmart")


def featbit_clickhouse() -> ClickHouse:
    """FeatBit's own ClickHouse, and the database with its events.

    Where `FLAGMART_FEATBIT_CLICKHOUSE_HOST` names no other, it is the server that flagmart's own
    tables are on. What is said of one server is never sent to another one.

    Raises:
        UsageError: no server is named, or a variable has no such value.
    """
    database = os.environ.get(f"{_FEATBIT}_DATABASE") or "featbit"
    if os.environ.get(f"{_FEATBIT}_HOST"):
        return _clickhouse(_FEATBIT, _FEATBIT_PASSWORD, database)
    if engine() is not Engine.CLICKHOUSE and not os.environ.get(f"{_CLICKHOUSE}_HOST"):
        raise UsageError(
            f"no ClickHouse is named; set {_FEATBIT}_HOST, and where they differ from the defaults "
            f"_PORT, _USER, _DATABASE and _SECURE; the password goes into {_FEATBIT_PASSWORD}"
        )
    server = replace(clickhouse(), database=database)
    if not os.environ.get(f"{_FEATBIT}_USER"):
        return server
    return replace(
        server,
        user=os.environ[f"{_FEATBIT}_USER"],
        password=os.environ.get(_FEATBIT_PASSWORD, ""),
        named_by=_FEATBIT,
        password_in=_FEATBIT_PASSWORD,
    )


def _clickhouse(prefix: str, password_in: str, database: str) -> ClickHouse:
    secure = os.environ.get(f"{prefix}_SECURE") or "false"
    if secure not in ("true", "false"):
        raise UsageError(f"{prefix}_SECURE={secure!r} is neither true nor false")
    port = os.environ.get(f"{prefix}_PORT") or ("8443" if secure == "true" else "8123")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise UsageError(f"{prefix}_PORT={port!r} is no port; write it like 8123")
    return ClickHouse(
        host=os.environ.get(f"{prefix}_HOST") or "127.0.0.1",
        port=int(port),
        user=os.environ.get(f"{prefix}_USER") or "default",
        password=os.environ.get(password_in, ""),
        database=os.environ.get(f"{prefix}_DATABASE") or database,
        secure=secure == "true",
        named_by=prefix,
        password_in=password_in,
    )


def longest_wait() -> float:
    """Seconds of an HTTP delivery's longest wait between attempts (`FLAGMART_LONGEST_WAIT`, 60).

    Raises:
        UsageError: `FLAGMART_LONGEST_WAIT` is no number of seconds.
    """
    return _number("FLAGMART_LONGEST_WAIT", "60", "seconds")


def look_back_hours() -> float:
    """Hours of the client's clock an ingest looks back (`FLAGMART_LOOK_BACK_HOURS`, 24).

    It is for stores that keep no arrival time. A day holds what a phone sends when it is taken into
    the network again overnight. A longer one costs each run the ids of that time, a shorter one
    leaves more to the sweep.

    Raises:
        UsageError: `FLAGMART_LOOK_BACK_HOURS` is no number of hours.
    """
    return _number("FLAGMART_LOOK_BACK_HOURS", "24", "hours")


def sweep_every() -> int:
    """Every how many ingests from a store all its ids are looked at (`FLAGMART_SWEEP_EVERY`, 100).

    That finds what came later than any look-back, or with a clock in 1970: within a day for an
    ingest every quarter of an hour. 1 looks at all ids every time.

    Raises:
        UsageError: `FLAGMART_SWEEP_EVERY` is no number of runs.
    """
    value = _number("FLAGMART_SWEEP_EVERY", "100", "runs")
    if value < 1 or value != int(value):
        raise UsageError(f"FLAGMART_SWEEP_EVERY={value:g} is no number of runs; write it like 100")
    return int(value)


def _number(variable: str, default: str, what: str) -> float:
    value = os.environ.get(variable) or default
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UsageError(f"{variable}={value!r} is no number of {what}; write it like {default}")
    return number


_BYTES = {"": 1, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
ENGINE_MEMORY = 384_000_000
"""What of an export's memory is the engine's: a large sort spills to disk beyond it."""
LANE_MEMORY = 192_000_000
"""What one day on its way may take: rows waiting for a row group, the file's buffers, a part of an
upload. With Hackle's maps a second lane took 100 MB."""


def export_lanes() -> int:
    """How many days a file delivery writes and puts in place at a time.

    As many as there are processors and `FLAGMART_EXPORT_MEMORY` (default 900MB) has room for
    beside the engine's share; never less than one.

    Raises:
        UsageError: `FLAGMART_EXPORT_MEMORY` is no size.
    """
    value = os.environ.get("FLAGMART_EXPORT_MEMORY") or "900MB"
    number = value.rstrip("KMGB")
    if not number.isdecimal() or value[len(number) :] not in _BYTES:
        raise UsageError(f"FLAGMART_EXPORT_MEMORY={value!r} is no size; write it like 900MB")
    room = int(number) * _BYTES[value[len(number) :]] - ENGINE_MEMORY
    return max(1, min(room // LANE_MEMORY, os.cpu_count() or 1))


def now() -> datetime:
    """The time now, UTC with microseconds; `FLAGMART_NOW` (ISO 8601) sets it.

    That is for tests and for runs that must give the same result again.

    Raises:
        UsageError: `FLAGMART_NOW` is no ISO 8601 time.
    """
    fixed = os.environ.get("FLAGMART_NOW")
    if not fixed:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(fixed)
    except ValueError as error:
        raise UsageError(
            f"FLAGMART_NOW={fixed!r} is no ISO 8601 time; write it like 2026-01-31T12:00:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
