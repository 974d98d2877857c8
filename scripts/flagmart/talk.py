"""Talk to the person at the terminal: stderr is talk, stdout is data."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol


class Output(StrEnum):
    """How a command prints its result on stdout."""

    TABLE = "table"
    JSON = "json"


def say(line: str) -> None:
    """One line of talk on stderr."""
    print(printable(line), file=sys.stderr, flush=True)


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_json_line(document: object) -> None:
    """One JSON document as one line on stdout."""
    print(json.dumps(document, ensure_ascii=False))


def print_table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Rows as aligned text on stdout, numbers to the right, blanks between columns."""
    cells = [[_text(value) for value in row] for row in rows]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) or row[i] is None for row in rows)
        for i in range(len(header))
    ]
    widths = [max(len(name), *(len(row[i]) for row in cells), 0) for i, name in enumerate(header)]
    for line in ([name.upper() for name in header], *cells):
        padded = (
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        )
        print("  ".join(padded).rstrip())


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(str(value))


def printable(text: str) -> str:
    """`text` on one line, without what would move a terminal's cursor: other people name files."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


class Advance(Protocol):
    """Tell a progress display how far the work has come, in the unit it was opened with."""

    def __call__(self, done: int, note: str = "") -> None:
        """`done` of the total so far; `note` says what that means in the user's terms."""


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Advance]:
    """A bar on a terminal; elsewhere a line every ten seconds, so that short work is silent."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=total, note="")

            def advance(done: int, note: str = "") -> None:
                bar.update(task, completed=done, note=note)

            yield advance
        return

    last = time.monotonic()

    def report(done: int, note: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= 10:
            last = time.monotonic()
            share = f" {done * 100 // total}%" if total else ""
            say(f"{title}:{share} {note}".rstrip())

    yield report


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A line every half minute that `what` goes on, for work that cannot tell how far it is."""
    over = threading.Event()
    begun = time.monotonic()

    def report() -> None:
        while not over.wait(30):
            say(f"{what}, for {time.monotonic() - begun:.0f} s so far")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def nearest(name: str, known: Sequence[str]) -> str:
    """`there is a, b, c and 2 others`: what `name` may have meant, else the first there are."""
    import difflib

    listed = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3]
    left = len(known) - len(listed)
    return "there is " + ", ".join(listed) + (f" and {plural(left, 'other')}" if left else "")


def plural(count: int, thing: str, things: str | None = None) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {thing if count == 1 else (things or thing + 's')}"
