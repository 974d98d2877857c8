"""`flagmart ingest flags|users --source …`: flags and users of FeatBit's own stores, as versions.

A store keeps what is, not what was, so all of it is read each time, as a stream, and what has
changed lands. There is no checkpoint: nothing is lost where one run is killed or left out, but the
versions between.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from flagmart import talk
from flagmart.errors import FlagmartError
from flagmart.ingest.event import NoEventError
from flagmart.ingest.landed_files import FileReport, Report
from flagmart.ingest.versions import Kind, Record, as_text, batch, version
from flagmart.settings import DataFolder
from flagmart.warehouse import open_run
from flagmart.warehouse.landing import VERSIONS, DryRun, Run, RunResult


@dataclass
class Records:
    """Records of a store on their way, in batches."""

    expected: int
    """How many come, as the store counted them in the same snapshot.

    A store without snapshots raises it where records come that were not there yet.
    """
    batches: Iterator[list[tuple[Record, str]]]
    """Each record with why it cannot be read; '' where it can."""


class KeepingStore(Protocol):
    """A store that may keep flags and users, connected.

    Its methods raise FlagmartError where it cannot be reached, refuses, or has another table than
    is known by that name; the error names the store and tells no secret.
    """

    @property
    def kind(self) -> str:
        """The landing's `source`: postgres or mongodb."""

    @property
    def label(self) -> str:
        """Host and database, without any secret."""

    def records(self, kind: Kind, envs: Sequence[str]) -> AbstractContextManager[Records | None]:
        """All records of a kind, of these environments or of all; None where it keeps none."""

    def named(self, kind: Kind) -> str:
        """What the store calls the table or collection."""


def ingest(
    kind: Kind, store: KeepingStore, data: DataFolder, envs: Sequence[str], *, dry_run: bool
) -> Report:
    """Land what is new in the store: versions whose content differs from the newest landed.

    Args:
        kind: what to read.
        store: where from.
        data: where to land them.
        envs: only records of these environments; all where empty.
        dry_run: read and count, land nothing, need no data folder.

    Raises:
        FlagmartError: the store or the landing fails, or the stream ends early; nothing landed.
    """
    place = store.named(kind)
    report = FileReport(f"{store.label} {place}")
    with store.records(kind, envs) as records:
        if records is None:
            talk.say(f"{store.label}: has no {place}, so no {kind.name}s are read")
            return Report(RunResult([]), [])
        opened = (
            nullcontext(DryRun())
            if dry_run
            else open_run(data, store.kind, (store.label,), VERSIONS)
        )
        with opened as run, talk.progress(f"ingest {store.kind}", records.expected) as advance:
            run.begin(report.label)
            came = 0
            for found in records.batches:
                came += len(found)
                _land(kind, run, found, place)
                advance(min(came, records.expected), talk.plural(came, kind.name))
            if came != records.expected:
                raise FlagmartError(
                    f"{store.label}: {came:,} of {records.expected:,} rows of {place} came, then "
                    "the stream ended without an error; nothing landed, run it again"
                )
            return Report(run.finish(), [report])


def _land(kind: Kind, run: Run, records: Sequence[tuple[Record, str]], place: str) -> None:
    versions = []
    for record, fault in records:
        try:
            if fault:
                raise NoEventError(fault)
            versions.append(version(kind, record))
        except NoEventError as reason:
            run.reject(None, str(reason), as_text(record))
    if versions:
        run.append(batch(kind, run.run_id, versions, [place] * len(versions)))
