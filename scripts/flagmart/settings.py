"""What comes from the environment: where the data lies, what time it is, how long to wait."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
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
    def acknowledged(self) -> Path:
        """Ids of messages sent over HTTP, in sending order; the ledger points into these files."""
        return self.root / "acknowledged"

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


def longest_wait() -> float:
    """Seconds of an HTTP delivery's longest wait between attempts (`FLAGMART_LONGEST_WAIT`, 60).

    Raises:
        UsageError: `FLAGMART_LONGEST_WAIT` is no number of seconds.
    """
    value = os.environ.get("FLAGMART_LONGEST_WAIT") or "60"
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(
            f"FLAGMART_LONGEST_WAIT={value!r} is no number of seconds; write it like 60"
        )
    return seconds


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
