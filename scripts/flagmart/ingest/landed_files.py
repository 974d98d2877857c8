"""Files landed in one ingest run, whatever is read from them, and what became of each."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from flagmart import talk
from flagmart.ingest.formats import Format
from flagmart.ingest.sources import RefusedError, Source, expand
from flagmart.settings import DataFolder
from flagmart.warehouse import open_run
from flagmart.warehouse.landing import DryRun, Landing, Run, RunResult


@dataclass
class FileReport:
    """What was found out about one file, beside its counts."""

    label: str
    format: Format | None = None
    timestamps: str | None = None
    """`s`, `ms`, `us`, `ns`, `text` or `date` (they need no unit); None where no record has one."""
    refused: str | None = None
    """Why nothing was read."""
    damaged: str | None = None
    """Why reading ended early."""
    skipped: Counter[str] = field(default_factory=Counter)
    """What was read and not meant to land, by kind; Prefab's telemetry holds such."""


@dataclass(frozen=True)
class Report:
    """What became of all files."""

    result: RunResult
    files: list[FileReport] = field(default_factory=list)

    @property
    def refused(self) -> list[FileReport]:
        """Files that nothing was read from."""
        return [file for file in self.files if file.refused]

    @property
    def is_complete(self) -> bool:
        """Whether every record of every file landed or had landed before."""
        return (
            not any(file.refused or file.damaged for file in self.files)
            and not self.result.total("unreadable")
            and not self.result.total("conflicting_repeats")
        )


def land_files(
    paths: Sequence[Path],
    data: DataFolder,
    landing: Landing,
    read: Callable[[Run, Source, FileReport], Iterator[tuple[int, int]]],
    *,
    source: str,
    counted: str,
    no_file: str,
    dry_run: bool,
) -> Report:
    """Land what `read` finds in the files of `paths`, all in one run.

    Args:
        paths: files, folders, `-` for standard input.
        data: where to land them.
        landing: which landing they belong to.
        read: reads one file into the run; yields how far it has come in bytes, and how many rows
            that brought. Raises RefusedError for a file that nothing can be read from.
        source: what the run is recorded as.
        counted: what a row is called in the progress bar.
        no_file: what a refused file is called.
        dry_run: read and count, land nothing, need no data folder.

    Raises:
        UsageError: a path does not exist.
        FlagmartError: the landing cannot be written.
    """
    sources = expand(paths, data.root)
    inputs = tuple(str(path).encode("utf-8", "backslashreplace").decode() for path in paths)
    opened = nullcontext(DryRun()) if dry_run else open_run(data, source, inputs, landing)
    total = sum(file.size for file in sources)
    reports: list[FileReport] = []
    done = landed = 0
    with opened as run, talk.progress("ingest", total) as advance:
        for file in sources:
            report = FileReport(file.label)
            reports.append(report)
            run.begin(file.label)
            try:
                for position, rows in read(run, file, report):
                    landed += rows
                    advance(done + position, talk.plural(landed, counted))
            except RefusedError as reason:
                report.refused = str(reason)
                talk.say(f"{file.label}: {no_file}: {report.refused}")
            done += file.size
        return Report(run.finish(), reports)
