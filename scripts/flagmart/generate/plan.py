"""Who does what on which line: everything about a line but its text."""

from dataclasses import dataclass

import pyarrow.compute as pc

from flagmart.generate import columns as c
from flagmart.generate.clock import Clock
from flagmart.generate.columns import Column
from flagmart.generate.hashing import Stream, key
from flagmart.generate.text import BACKGROUND_EVENTS, BACKGROUND_VALUES
from flagmart.generate.world import BUCKETS, RATE_SCALE, STAGES, VALUE_SPREAD, Kind, World

BLOCK = 5
EXPOSURE, METRIC = 0, 4
"""Places of a block, before it is rotated; the places between them are evaluations of rollouts."""

FOLLOW_UPS_PER_DAY = 48
"""A follow-up comes one window of blocks later on average: half an hour, given enough lines."""


@dataclass(frozen=True)
class Evaluations:
    """Columns of evaluations; `variation` counts through all flags' variations."""

    flag: Column
    variation: Column
    user: Column
    client_ms: Column


@dataclass(frozen=True)
class Metrics:
    """Columns of metric events; `event` and `value` are places in the lists of `Plan`."""

    event: Column
    value: Column
    user: Column
    client_ms: Column


class Plan:
    """Answers for any lines in any order; lines are columns of their numbers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = Clock(world)
        options, flags = world.options, world.flags
        self._key = {stream: key(options.seed, stream) for stream in Stream}
        self._users = options.users
        self._start_ms = world.start_ms
        self._window_ms = world.window_ms

        self._experiments = world.experiments
        self._rollouts = options.flags - self._experiments
        sizes = [len(flag.variation_ids) for flag in flags]
        self._first_variation = c.numbers([sum(sizes[:number]) for number in range(len(sizes))])
        self._treatments = c.numbers([size - 1 for size in sizes])
        self._shares = c.numbers([share for flag in flags for share in flag.shares])

        designs = [flag.design for flag in flags if flag.design is not None]
        self._rates = c.numbers([rate for design in designs for rate in design.rates])
        # a value experiment draws around its mean, a conversion is always the same
        self._value_from = c.numbers(
            [
                quarters - (VALUE_SPREAD if design.kind is Kind.VALUE else 0)
                for design in designs
                for quarters in design.quarters
            ]
        )
        self._value_varies = c.numbers([int(design.kind is Kind.VALUE) for design in designs])
        highest = max(max(design.quarters) for design in designs) + VALUE_SPREAD
        self.values = [_quarters(number) for number in range(highest + 1)] + list(BACKGROUND_VALUES)
        self._background_values = highest + 1
        self.metric_events = [
            ("CustomEvent", flag.metric_event) for flag in flags if flag.design is not None
        ] + list(BACKGROUND_EVENTS)

        # Blocks are followed up window by window: the exposure of a block by the metric event of
        # one block of the next window. The window is a power of two so that xor permutes it.
        self._blocks = options.events // BLOCK
        most = max(1, self._blocks // (FOLLOW_UPS_PER_DAY * options.days))
        self._window = 1 << (most.bit_length() - 1)
        self._followed = self._window * max(0, self._blocks // self._window - 1)

    def is_metric(self, line: Column) -> Column:
        """Which lines are metric events."""
        block, place = self._placed(line)
        return pc.and_(pc.equal(place, c.u64(METRIC)), pc.less(block, c.u64(self._blocks)))

    def evaluations(self, line: Column) -> Evaluations:
        """What the lines say that are evaluations."""
        block, place = self._placed(line)
        exposed = pc.and_(pc.equal(place, c.u64(EXPOSURE)), pc.less(block, c.u64(self._followed)))
        client_ms = self.clock.client_ms(line)
        if self._rollouts:
            drawn = c.hash64(self._key[Stream.FLAG], line)
            flag = pc.if_else(
                exposed,
                c.remainder(drawn, self._experiments),
                c.add(c.remainder(drawn, self._rollouts), self._experiments),
            )
            user = self._user(line)
        else:
            flag = c.times(line, 0)
            user = self._user(pc.if_else(exposed, line, self._any_followed_exposure(line)))
        return Evaluations(flag, self._variation(flag, user, client_ms), user, client_ms)

    def metrics(self, line: Column) -> Metrics:
        """What the lines say that are metric events."""
        block = c.over(line, BLOCK)
        own_ms = self.clock.client_ms(line)
        window = c.over(block, self._window)
        follows = pc.and_(
            pc.greater(window, c.u64(0)),
            pc.less(block, c.u64(self._followed + self._window)),
        )
        # the window before; the first has none, looks at itself, and no use is made of that
        earlier = pc.subtract(pc.max_element_wise(window, c.u64(1)), c.u64(1))
        shuffle = c.low_bits(c.hash64(self._key[Stream.FOLLOW_UP], earlier), self._window - 1)
        within = pc.bit_wise_xor(c.remainder(block, self._window), shuffle)
        followed = pc.add(c.times(earlier, self._window), within)
        exposure = self._exposure_of(followed)

        exposed_ms = self.clock.client_ms(exposure)
        flag = c.remainder(c.hash64(self._key[Stream.FLAG], exposure), self._experiments)
        user = self._user(exposure)
        variation = self._variation(flag, user, exposed_ms)
        drawn = c.hash64(self._key[Stream.CONVERTS], _pair(flag, user))
        converts = pc.and_(
            follows, pc.less(c.remainder(drawn, RATE_SCALE), self._rates.take(variation))
        )

        chance = c.hash64(self._key[Stream.VALUE], line)
        spread = pc.add(
            c.low_bits(chance, VALUE_SPREAD), c.low_bits(c.right(chance, 8), VALUE_SPREAD)
        )
        spread = pc.multiply(spread, self._value_varies.take(flag))
        value = pc.add(self._value_from.take(variation), spread)

        background = c.hash64(self._key[Stream.BACKGROUND], line)
        return Metrics(
            event=pc.if_else(
                converts,
                flag,
                c.add(c.remainder(background, len(BACKGROUND_EVENTS)), self._experiments),
            ),
            value=pc.if_else(
                converts,
                value,
                c.add(
                    c.remainder(c.right(background, 32), len(BACKGROUND_VALUES)),
                    self._background_values,
                ),
            ),
            user=pc.if_else(converts, user, self._user(line)),
            client_ms=pc.if_else(converts, pc.max_element_wise(own_ms, exposed_ms), own_ms),
        )

    def chance(self, stream: Stream, index: Column) -> Column:
        """64 even bits for each index."""
        return c.hash64(self._key[stream], index)

    def _placed(self, line: Column) -> tuple[Column, Column]:
        """A line's block and its place in it, the block's rotation undone."""
        block = c.over(line, BLOCK)
        turn = c.remainder(c.hash64(self._key[Stream.BLOCK_ORDER], block), BLOCK)
        place = pc.add(c.remainder(line, BLOCK), turn)
        return block, c.remainder(place, BLOCK)

    def _exposure_of(self, block: Column) -> Column:
        """The line of the block's exposure."""
        turn = c.remainder(c.hash64(self._key[Stream.BLOCK_ORDER], block), BLOCK)
        place = c.remainder(pc.subtract(c.u64(BLOCK + EXPOSURE), turn), BLOCK)
        return pc.add(c.times(block, BLOCK), place)

    def _any_followed_exposure(self, line: Column) -> Column:
        if not self._followed:
            return line
        drawn = c.hash64(self._key[Stream.FLAG], line)
        return self._exposure_of(c.remainder(drawn, self._followed))

    def _user(self, line: Column) -> Column:
        """Users * x², with x of 31 bits."""
        x = c.right(c.hash64(self._key[Stream.USER], line), 33)
        return c.right(c.times(c.right(pc.multiply(x, x), 30), self._users), 32)

    def _variation(self, flag: Column, user: Column, client_ms: Column) -> Column:
        elapsed = pc.subtract(client_ms, c.u64(self._start_ms))
        stage = c.over(c.times(elapsed, STAGES), self._window_ms)
        share = self._shares.take(pc.add(c.times(flag, STAGES), stage))
        drawn = c.hash64(self._key[Stream.BUCKET], _pair(flag, user))
        treatment = c.add(c.remainder(c.right(drawn, 32), self._treatments.take(flag)), 1)
        served = pc.if_else(pc.less(c.remainder(drawn, BUCKETS), share), treatment, c.u64(0))
        return pc.add(self._first_variation.take(flag), served)


def _pair(flag: Column, user: Column) -> Column:
    return pc.add(c.times(flag, 2**32), user)


def _quarters(number: int) -> str:
    """A quarter as C# prints a float: `20`, `20.25`, `20.5`."""
    whole, part = divmod(number, 4)
    return f"{whole}{('', '.25', '.5', '.75')[part]}"
