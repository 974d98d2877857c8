"""A synthetic stream of FeatBit events: the same bytes for the same options, everywhere.

Every value is a pure function of (seed, stream, index), where the hash is SplitMix64 (`hashing`)
and all arithmetic is on whole numbers, so no clock, no library's random numbers and no chunk size
has a say, a line can be made without the lines before it, and memory does not grow with the
number of lines.

**Lines.** Line `i` is the i-th to arrive. Five lines make a block: one exposure (an evaluation of
an experiment flag), three evaluations of rollout flags, one metric event, in an order drawn per
block. So 80 % of the lines are `FlagValue` and 20 % metric events; what is left over after the
last whole block is evaluations of rollout flags.

**Time.** Lines are spread over `[start, start + days)` by hourly weights in UTC
(`clock.HOURLY_WEIGHTS`: 1 at night, 10 from 14 to 16 o'clock); the client's clock is up to 5 s
behind the arrival, so neighbours may change places as they do in real data. Milliseconds, written
as microseconds.

**Users.** `user-0`, `user-1`, …; the user of a line is `users * x²` for an even `x` in [0, 1), so
a tenth of the users makes 31.6 % of the lines and no user's share is under half the mean. Half of
the first names need escapes in JSON.

**Flags.** A third of the flags, at least one, are experiments; the others are rollouts. Each user
has a bucket per flag out of 12,000. A rollout serves a variation other than the first to buckets
under its share; the share moves in five equal stages of the window (`world.ROLLOUTS`): 0, 10, 25,
50, 100 %; 100, 50, 25, 10, 0 %; 30 % throughout; 100, 100, 0, 50, 100 %. While the share stands,
so does a user's variation; while it grows, nobody who has a treatment loses it. Experiments split
their users equally and for good, and only they have `sendToExperiment` true.

**Experiments and their truth.** Each has a metric event of its own and designs that repeat
(`world.DESIGNS`): conversion 20 % against 26 %; value 20 against 23 with 50 % converting;
conversion 30 %, 30 %, 24 % (three variations); value 25 against 25 with 40 % converting (no
effect). Whether a user converts in an experiment is decided once, by hash, with the probability
of the variation served. Every exposure of a user who converts is followed, on average half an
hour later, by one metric event of that user; a user who does not convert never has one (the place
goes to a background event: a click, a page view, a custom event of no experiment). Exposures end
early enough for all of this to happen inside the window. Therefore, in a stream without `dirty`:

- `conversion_rate` of `truth()` is the expected share, among users exposed to a variation, of
  those with at least one metric event at or after their first exposure. It holds for any number
  of lines and any window that is the whole stream.
- `mean_value` is the expected `numericValue` of a metric event, drawn anew for each event, so it
  is the expected mean per converting user as well. Activity does not depend on the variation: the
  ratio of two variations' sums per exposed user is the ratio of their `conversion_rate *
  mean_value`.

(With one flag there is no rollout: all evaluations are of the experiment, and only users who are
exposed elsewhere fill the other places. Streams under ten lines with one flag are too short for a
follow-up and keep no promise.)

**Dirt.** `faults` documents the kinds and what `--dirty` counts.
"""

from flagmart.generate.options import Options
from flagmart.generate.world import ExperimentTruth, Truth, VariationTruth, truth

__all__ = ["ExperimentTruth", "Options", "Truth", "VariationTruth", "truth"]
