"""What a stream is made from."""

from dataclasses import dataclass
from datetime import date

MAX_EVENTS = 4_000_000_000  # 1024 * MAX_EVENTS * milliseconds of an hour stays under 2**64
MAX_USERS = 2**31
MAX_FLAGS = 10_000
MAX_DAYS = 3_650
MAX_SEED = 2**63 - 1
FIRST_START = date(2000, 1, 1)
LAST_START = date(2088, 1, 1)  # the window then ends before the year the wrong future clocks show


@dataclass(frozen=True)
class Options:
    """One stream; two streams with equal options are equal to the byte.

    Attributes:
        events: lines in all, 0 to MAX_EVENTS, faults included.
        users: 1 to MAX_USERS.
        flags: 1 to MAX_FLAGS.
        days: length of the window, 1 to MAX_DAYS.
        start: first day of the window (UTC), FIRST_START to LAST_START.
        seed: 0 to MAX_SEED.
        dirty: probability, 0 to 1, of each line to carry one fault.
    """

    events: int = 100_000
    users: int = 1_000
    flags: int = 10
    days: int = 30
    start: date = date(2026, 1, 1)
    seed: int = 1
    dirty: float = 0.0
