"""Rounds of ingest, build and export: each step does only what is new, and is safe by itself.

A step that fails is told and does not hold up the next one, as in a crontab with `;`: what landed
earlier may still have to go out, and a delivery whose models failed is refused by export itself.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flagmart import destinations, locks, project, settings, talk
from flagmart.delivery import export as exporting
from flagmart.delivery.deliveries import read_project
from flagmart.delivery.report import Outcome
from flagmart.errors import Exit, FlagmartError, UsageError
from flagmart.ingest import stores
from flagmart.settings import Engine
from flagmart.sync import notes
from flagmart.sync.build import build
from flagmart.sync.notes import Note
from flagmart.sync.stopping import on_signals
from flagmart.warehouse import compaction, manifest, newest_run
from flagmart.warehouse.landing import FEATBIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from flagmart.delivery.report import Report
    from flagmart.ingest.stores import Store, StoreReport
    from flagmart.settings import DataFolder
    from flagmart.sync.stopping import Stop

_MERGED_AFTER = 200
"""Runs of ingest, each with a file of its own, that dbt reads in a fraction of a second."""


@dataclass(frozen=True)
class Job:
    """What is kept in step."""

    connect: Callable[[], AbstractContextManager[Store]]
    deliveries: tuple[str, ...]
    envs: tuple[str, ...]
    """Environments to read; all where empty."""
    project_dir: Path
    variables: str | None
    """Vars for dbt, as YAML."""
    test_every: timedelta
    """From one build that runs the tests of the data, too, to the next."""
    wait_seconds: float
    """For the DuckDB file, while another process holds it."""


@dataclass
class Round:
    """What became of one round."""

    number: int
    began_at: datetime
    landed: int = 0
    """Events new in the landing."""
    built: bool = False
    tested: bool = False
    """Whether the build ran the tests, too."""
    reports: list[Report] = field(default_factory=list)
    """Of the deliveries that were looked at; none where nothing can be new."""
    failures: list[str] = field(default_factory=list)
    code: Exit = Exit.DONE
    """Of the step that came off worst."""

    def failed(self, reason: str) -> None:
        """A step failed."""
        self.failures.append(reason)
        self.code = Exit.FAILED

    def partly(self) -> None:
        """A step left something out."""
        if self.code is Exit.DONE:
            self.code = Exit.PARTLY

    @property
    def line(self) -> str:
        """It all in one line."""
        said = []
        if self.landed:
            said.append(f"{talk.plural(self.landed, 'event')} landed")
        if self.built:
            said.append("built and tested" if self.tested else "built")
        said += [
            f"{report.delivery} {report.outcome}"
            + (f" {talk.plural(report.rows, 'row')}" if report.rows else "")
            for report in self.reports
            if report.outcome is not Outcome.NOTHING_NEW
        ]
        said += self.failures
        return f"round {self.number}: {', '.join(said) or 'nothing new'}"


class _Rounds:
    """One round after another, and what they know of each other."""

    def __init__(self, job: Job, data: DataFolder, *, only_one: bool) -> None:
        """With `only_one` the round is one of many all the same, each in a process of its own."""
        self._job = job
        self._data = data
        self._number = 0
        note = notes.read(job.project_dir)
        self._note = note if note and _is_of(note, job) else None
        # a process that stays begins with a build, since the project may be another one by now
        self._built = self._note.newest_run if self._note and only_one else None
        """The newest run there was when all was last built."""
        self._settled = False
        """Whether nothing can be left to send until something is built again."""

    def go(self, stop: Stop) -> Round:
        """One round, or what of it was done when somebody asked to stop.

        Raises:
            UsageError: in the first round, which cannot come right by itself.
        """
        self._number += 1
        current = Round(self._number, settings.now())
        for step in (self._ingest, self._build, self._export, self._compact):
            if stop.is_asked:
                break
            try:
                step(current)
            except (FlagmartError, OSError, sqlite3.Error) as error:
                if isinstance(error, UsageError) and self._number == 1:
                    raise
                current.failed(_in_words(error))
        return current

    def _ingest(self, current: Round) -> None:
        with self._job.connect() as store:
            report = stores.ingest(store, self._data, stores.Bounds(self._job.envs))
        current.landed = report.total("landed")
        if not report.is_complete:
            current.partly()
            talk.say(f"flagmart: {_left_out(report)}")

    def _build(self, current: Round) -> None:
        newest = newest_run(self._data)
        if newest is None or newest == self._built:
            return
        self._settled = False
        job, note, now = self._job, self._note, settings.now()
        last = datetime.fromisoformat(note.tested_at) if note else None
        due = last is None or now - last >= job.test_every
        build(job.deliveries, job.project_dir, job.variables, tested=due)
        tested_at = now if last is None or due else last
        self._note = Note(job.deliveries, job.variables, newest, tested_at.isoformat())
        notes.write(job.project_dir, self._note)
        self._built, current.built, current.tested = newest, True, due

    def _export(self, current: Round) -> None:
        known = project.target_folder(self._job.project_dir) / "manifest.json"
        if self._settled or not known.exists():
            return
        options = exporting.Options(self._job.project_dir, wait_seconds=self._job.wait_seconds)
        current.reports = exporting.export(list(self._job.deliveries), options, self._data)
        for report in current.reports:
            for remark in report.remarks:
                if report.outcome is Outcome.FAILED:
                    current.failed(f"{report.delivery}: {remark}")
                else:
                    talk.say(f"flagmart: {report.delivery}: {remark}")
            if report.outcome is Outcome.PARTLY:
                current.partly()
        self._settled = self._are_settled(current.reports)

    def _compact(self, _: Round) -> None:
        merge_small_files(self._data, self._job.wait_seconds)

    def _are_settled(self, reports: list[Report]) -> bool:
        """Messages that were all answered wait for new rows; a file may be gone, a day be over."""
        of = {
            delivery.name: delivery for delivery in read_project(self._job.project_dir).deliveries
        }
        return all(
            of[report.delivery].sink in destinations.HTTP_SINKS
            and report.outcome is not Outcome.FAILED
            for report in reports
        )


def run(job: Job, data: DataFolder, tell: Callable[[Round], None], *, every: float | None) -> Exit:
    """Rounds until somebody asks to stop.

    Args:
        job: what is kept in step.
        data: the data folder.
        tell: told of every round that ended.
        every: seconds from the end of a round to the next; None for one round.

    Returns:
        The code of the one round; of many, that they were ended.

    Raises:
        UsageError: the first round cannot come right by itself.
        FlagmartError: another sync is at this data folder.
        KeyboardInterrupt: it was asked for twice.
    """
    rounds = _Rounds(job, data, only_one=every is None)
    lock = data.ensure(data.locks) / "sync.lock"
    with locks.held(lock, f"the sync of {data.root}"), on_signals() as stop:
        while True:
            current = rounds.go(stop)
            tell(current)
            if every is None:
                return current.code
            stop.wait(every)
            if stop.is_asked:
                return Exit.DONE


def merge_small_files(data: DataFolder, wait_seconds: float, after: int = _MERGED_AFTER) -> None:
    """Compact the landing where so many runs left a file each: a build reads every one of them.

    Raises:
        FlagmartError: see `compaction.compact`.
    """
    if settings.engine() is not Engine.DUCKDB:
        return
    if len(manifest.read(data.landing / FEATBIT.name).runs) >= after:
        compaction.compact(data, wait_seconds)


def _is_of(note: Note, job: Job) -> bool:
    return (note.deliveries, note.variables) == (job.deliveries, job.variables)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    return str(error)


def _left_out(report: StoreReport) -> str:
    where = ", ".join(str(result.rejects) for result in report.results if result.rejects)
    return (
        f"{report.label}: {report.total('unreadable'):,} rows unreadable, "
        f"{report.total('conflicting_repeats'):,} contradict one that landed; see {where}"
    )
