"""SIGINT and SIGTERM: the first one lets the step in hand end, the second does not."""

from __future__ import annotations

import queue
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flagmart import talk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody has asked to stop."""

    def __init__(self) -> None:
        # the one thing of the standard library that a signal's handler may put something into
        # while this same thread waits for it
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def is_asked(self) -> bool:
        """Whether to begin nothing more."""
        return not self._asked.empty()

    def ask(self) -> None:
        """Begin nothing more."""
        self._asked.put(None)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it is asked for."""
        try:
            self._asked.get(timeout=seconds)
        except queue.Empty:
            return
        self.ask()


@contextmanager
def on_signals() -> Iterator[Stop]:
    """What the signals ask for while the block runs.

    Raises:
        KeyboardInterrupt: a second one came.
    """
    stop = Stop()

    def first(number: int, _: FrameType | None) -> None:
        for every in _SIGNALS:
            signal.signal(every, signal.default_int_handler)
        talk.say(
            f"flagmart: {signal.Signals(number).name}: ends after the step in hand; "
            "a second one ends at once"
        )
        stop.ask()

    before = {number: signal.signal(number, first) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
