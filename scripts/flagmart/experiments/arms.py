"""One variation of an experiment, as the models have it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True)
class Arm:
    """A row of fct_experiment_results, column by column."""

    experiment_key: str
    env_id: str
    flag_key: str
    metric_event: str
    aggregation: str
    """once, count, sum or average: what a user contributes."""
    success: str
    """higher or lower: which way is better."""
    variation_id: str
    is_baseline: bool
    expected_share: float | None
    """Of all users; null in every row where all should be equal, else where none is given."""
    users: int
    conversions: int
    """Users with at least one metric event."""
    value_sum: float
    """Of what each user contributes."""
    value_sum_squares: float
    users_in_two_variations: int
    users_beyond_range: int
    """Whose contribution is so large that the sums leave it out."""

    @property
    def experiment(self) -> tuple[str, ...]:
        """What all variations of an experiment have in common, the key first."""
        return (
            self.experiment_key,
            self.env_id,
            self.flag_key,
            self.metric_event,
            self.aggregation,
            self.success,
        )


@dataclass(frozen=True)
class DayArm(Arm):
    """A row of fct_experiment_daily: an Arm as it was at the end of a day."""

    day_on: date


COLUMNS = tuple(column.name for column in fields(Arm))
DAY_COLUMNS = tuple(column.name for column in fields(DayArm))
_NOISE = 8 * sys.float_info.epsilon
"""What two sums that were rounded to 64 bits may differ by, as a share of the larger."""


@dataclass(frozen=True)
class Sample:
    """What a t-test asks of the users of one variation."""

    users: int
    """At least two."""
    mean: float
    variance: float
    """Of the sample: the squares' sum divided by one less than `users`."""

    @property
    def error_squared(self) -> float:
        """The variance of the mean."""
        return self.variance / self.users


def mean(arm: Arm) -> float | None:
    """What a user contributes on average; none where there is no user, or one beyond range."""
    if arm.users < 1 or arm.users_beyond_range:
        return None
    return arm.value_sum / arm.users


def sample(arm: Arm) -> Sample | None:
    """Mean and variance of the users; none of fewer than two, or with one beyond range.

    Sum and sum of squares are subtracted as fractions, so nothing is lost beyond what the two
    64-bit numbers have lost themselves. A remainder that could be that loss is no spread.
    """
    if arm.users < 2 or arm.users_beyond_range:
        return None
    total, squares = Fraction(arm.value_sum), Fraction(arm.value_sum_squares)
    spread = squares - total * total / arm.users
    if spread <= squares * Fraction(_NOISE):
        spread = Fraction(0)
    return Sample(arm.users, float(total / arm.users), float(spread / (arm.users - 1)))
