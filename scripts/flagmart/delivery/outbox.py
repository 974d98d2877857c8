"""Which messages are still to be sent, by the ledger and its files of ids; and a spool of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flagmart.delivery import spool as spooling
from flagmart.errors import FlagmartError
from flagmart.warehouse.protocol import IdFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from flagmart.delivery.ledger import Ledger, Spool, Target
    from flagmart.warehouse.protocol import Relation, RunFigures, Warehouse


@dataclass(frozen=True)
class Bounds:
    """What of the unsent messages one export may send; the rest goes with a later one."""

    since: datetime | None = None
    """The first `ingested_at`, included; UTC without zone."""
    until: datetime | None = None
    """The first one that is not."""
    max_rows: int | None = None

    def within(self, runs: Iterable[RunFigures]) -> list[RunFigures]:
        """Those of the runs that landed in between."""
        return [
            run
            for run in runs
            if (self.since is None or run.ingested_at >= self.since)
            and (self.until is None or run.ingested_at < self.until)
        ]


@dataclass(frozen=True)
class Outbox:
    """Messages taken out for sending, in order."""

    ids: Path
    payloads: Path
    counts: dict[datetime, int]
    """Rows of each `ingested_at`, in the order they stand in."""

    @property
    def rows(self) -> int:
        """How many messages."""
        return sum(self.counts.values())

    def unfinished(
        self, settled: tuple[tuple[int, int], ...], max_rows: int | None
    ) -> Callable[[RunFigures], bool]:
        """What says of a run whether messages of it may still be unsent.

        Args:
            settled: rows of this that were acknowledged or refused.
            max_rows: how many it was allowed to hold.
        """
        missing, first = set(), 0
        for moment, rows in self.counts.items():
            last = first + rows - 1
            if not any(low <= first and last <= high for low, high in settled):
                missing.add(moment)
            first += rows
        # where it is full, more may follow in its last run and in all runs after that
        end = max(self.counts) if self.rows == max_rows else None
        return lambda run: (
            run.ingested_at in missing or (end is not None and run.ingested_at >= end)
        )


def fill(
    messages: Generator[pa.RecordBatch, None, None],
    ids: Path,
    payloads: Path,
    relation: Relation,
    max_rows: int | None = None,
) -> Outbox | None:
    """Write messages to a spool; None where there are none.

    Raises:
        FlagmartError: a row without message id or payload.
    """
    counts = spooling.write(messages, ids, payloads, str(relation), max_rows)
    return Outbox(ids, payloads, counts) if counts else None


def changed_runs(runs: list[RunFigures], known: dict[datetime, RunFigures]) -> list[RunFigures]:
    """Runs whose figures are not those the ledger holds as having nothing unsent."""
    return [run for run in runs if known.get(run.ingested_at) != run]


def count_dead(
    warehouse: Warehouse,
    relation: Relation,
    runs: Sequence[RunFigures],
    spools: list[Spool],
    id_folder: Path,
) -> int:
    """How many messages of these runs are dead letters."""
    files = id_files(spools, id_folder, dead)
    if not files or not runs:
        return 0
    moments = [run.ingested_at for run in runs]
    return sum(run.rows for run in runs) - warehouse.count_unsent(relation, moments, files)


def refuse_repeats(warehouse: Warehouse, relation: Relation, moments: list[datetime]) -> None:
    """See that each message of these runs has an id of its own.

    Raises:
        FlagmartError: one has not.
    """
    repeated = warehouse.repeated_message_ids(relation, moments)
    if repeated:
        raise FlagmartError(
            f"{relation} holds a message_id more than once (first: {repeated[0]}); "
            "each message needs its own, mend the model"
        )


def settled(spool: Spool) -> tuple[tuple[int, int], ...]:
    """Rows that were acknowledged or refused."""
    return spool.settled


def acknowledged(spool: Spool) -> tuple[tuple[int, int], ...]:
    """Rows that were acknowledged."""
    return spool.ranges


def dead(spool: Spool) -> tuple[tuple[int, int], ...]:
    """Rows that were refused."""
    return spool.dead


def id_files(
    spools: list[Spool],
    id_folder: Path,
    rows: Callable[[Spool], tuple[tuple[int, int], ...]] = settled,
) -> list[IdFile]:
    """The files that hold the ids of these rows.

    Raises:
        FlagmartError: one that the ledger relies on is missing.
    """
    files = []
    for spool in spools:
        if not (ranges := rows(spool)):
            continue
        path = id_file(id_folder, spool)
        if not path.exists():
            raise FlagmartError(
                f"{path} is missing: it holds {spool.acknowledged:,} acknowledged message ids; "
                "put it back, or they would all be sent again"
            )
        files.append(IdFile(path, ranges))
    return files


def id_file(id_folder: Path, spool: Spool) -> Path:
    """Where the ids of a spool lie."""
    return id_folder / f"{spool.name}.parquet"


def tidy(target: Target, ledger: Ledger, id_folder: Path) -> None:
    """Close what a killed export left open, and see that ledger and id files belong together.

    Raises:
        FlagmartError: they do not.
    """
    for spool in ledger.spools(target):
        if spool.is_open or not spool.settled:
            close(spool, target, ledger, id_folder)
    known = ledger.spool_names(target.delivery)
    unknown = sorted(path.name for path in id_folder.glob("*.parquet") if path.stem not in known)
    if unknown:
        raise FlagmartError(
            f"{id_folder / unknown[0]} holds ids of messages that were sent, "
            "but the ledger knows nothing of it; "
            "put the ledger back, or remove that folder to send everything again"
        )


def close(spool: Spool, target: Target, ledger: Ledger, id_folder: Path) -> None:
    """Nothing more is sent from this spool; one of which nothing is settled is dropped."""
    now = next((s for s in ledger.spools(target) if s.id == spool.id), spool)
    if now.settled:
        ledger.close_spool(spool.id)
    else:
        # the file first: a file the ledger does not know would mean a lost ledger
        id_file(id_folder, spool).unlink(missing_ok=True)
        ledger.drop_spool(spool.id)
