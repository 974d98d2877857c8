"""A store that FeatBit keeps writing to while ingest reads it and is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from flagmart.ingest.stores import Chunk, Store

_PAUSE = 0.02
_BURSTS_BEFORE = 20
_KILLS = 3
_MOST_BURSTS = 600
"""Some 19,000 events. On a busy machine an ingest that reads more slowly than events are written,
and the more slowly the more there are, would never come to its end."""


class Writer(threading.Thread):
    """Keeps inserting as FeatBit does, with all that clients' clocks do."""

    def __init__(self, insert: Callable[[Sequence[datetime]], None], chance: random.Random) -> None:
        """`insert` puts events with these clocks, of whole milliseconds, into the store."""
        super().__init__(daemon=True)
        self._insert = insert
        self._chance = chance
        self._over = threading.Event()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            for _ in range(_MOST_BURSTS):
                if self._over.wait(_PAUSE):
                    break
                self.burst()
        except Exception as error:
            self.failed = error

    def burst(self) -> None:
        tied = datetime.now(UTC).replace(microsecond=self._chance.randrange(1_000) * 1_000)
        late = timedelta(seconds=self._chance.uniform(0, 40 * 86_400))
        moments = [
            *[tied] * self._chance.randrange(1, 60),
            tied - late,
            tied - timedelta(seconds=5),
        ]
        if self._chance.random() < 0.2:
            moments += [datetime(1970, 1, 1, tzinfo=UTC)]
        if self._chance.random() < 0.05:
            moments += [tied + timedelta(days=self._chance.uniform(0, 400))]
        self._insert(
            [moment.replace(microsecond=moment.microsecond // 1_000 * 1_000) for moment in moments]
        )

    def stop(self) -> None:
        self._over.set()
        self.join()
        assert self.failed is None


def killed_ingests(
    source: str,
    data: Path,
    insert: Callable[[Sequence[datetime]], None],
    chance: random.Random,
    seconds: float,
) -> Iterator[int]:
    """`flagmart ingest SOURCE` again and again while a writer inserts, most of them killed.

    Gives how many were killed so far, after each; the writer has stopped when it ends.
    """
    writer = Writer(insert, chance)
    for _ in range(_BURSTS_BEFORE):
        writer.burst()
    writer.start()
    killed = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until or killed < _KILLS:
        process = subprocess.Popen(
            [sys.executable, "-m", "flagmart", "ingest", source],
            env={**os.environ, "FLAGMART_DATA": str(data)},
            stderr=subprocess.PIPE,
        )
        if chance.random() < 0.7:
            time.sleep(chance.uniform(0.3, 1.6))
            process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), said
        yield killed
    writer.stop()


def came_of(store: Store, chunk: Chunk) -> tuple[int, int]:
    """How many rows of a chunk come, and how many of it the store says there are."""
    with store.read(chunk, None) as reading:
        came = sum(rows.num_rows for rows, _ in reading.rows)
    return came, reading.expected
