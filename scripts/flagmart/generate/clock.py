"""When a line happened: a daily rhythm by integer arithmetic."""

import pyarrow.compute as pc

from flagmart.generate import columns as c
from flagmart.generate.columns import Column
from flagmart.generate.hashing import Stream, key
from flagmart.generate.world import World

HOURLY_WEIGHTS = (2, 1, 1, 1, 1, 2, 3, 5, 6, 8, 8, 9, 8, 9, 10, 10, 9, 8, 8, 6, 6, 5, 4, 3)
"""Events of each UTC hour in proportion; each weight divides the 3,600,000 ms of an hour."""

MAX_LATENESS_MS = 5_000
"""The SDKs send in batches every 1 to 5 s."""

_CELLS = 1024


class Clock:
    """Times of lines: days take equal numbers of lines, the weights decide within a day."""

    def __init__(self, world: World) -> None:
        self._lines = max(1, world.options.events) * _CELLS
        self._days = world.options.days
        self._start_ms = world.start_ms
        self._arrival = key(world.options.seed, Stream.ARRIVAL)
        self._lateness = key(world.options.seed, Stream.LATENESS)
        self._parts = sum(HOURLY_WEIGHTS)
        starts: list[int] = []
        lengths: list[int] = []
        for hour, weight in enumerate(HOURLY_WEIGHTS):
            length = 3_600_000 // weight
            starts += [hour * 3_600_000 + part * length for part in range(weight)]
            lengths += [length] * weight
        self._part_start = c.numbers(starts)
        self._part_length = c.numbers(lengths)

    def arrived_ms(self, line: Column) -> Column:
        """When the line arrived, ms since 1970; never falls from one line to the next."""
        place = c.low_bits(c.hash64(self._arrival, line), _CELLS - 1)
        cell = pc.add(c.times(line, _CELLS), place)
        spread = c.times(cell, self._days)
        day = c.over(spread, self._lines)
        within = c.times(c.remainder(spread, self._lines), self._parts)
        part = c.over(within, self._lines)
        rest = pc.multiply(c.remainder(within, self._lines), self._part_length.take(part))
        ms = pc.add(self._part_start.take(part), c.over(rest, self._lines))
        return c.add(pc.add(c.times(day, 86_400_000), ms), self._start_ms)

    def client_ms(self, line: Column) -> Column:
        """What the client's clock said: up to MAX_LATENESS_MS before, never before the window."""
        late = c.remainder(c.hash64(self._lateness, line), MAX_LATENESS_MS)
        return pc.max_element_wise(pc.subtract(self.arrived_ms(line), late), c.u64(self._start_ms))
