"""Two variations compared: Welch's t-test, the relative effect by the delta method, power."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flagmart.experiments.sequence import half_width

if TYPE_CHECKING:
    from flagmart.experiments.arms import Sample

POWER = 0.8
"""How often the smallest effect of `smallest_difference` is found: four times in five."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`."""

    low: float
    high: float

    @property
    def has_zero(self) -> bool:
        """Whether zero is one of the values that fit."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Estimate:
    """What the data say of an effect."""

    value: float
    interval: Interval
    """For one look, at the planned end."""
    sequence: Interval
    """For any number of looks."""


@dataclass(frozen=True)
class Test:
    """Welch's t-test of equal means, two-sided."""

    __test__ = False

    statistic: float
    degrees_of_freedom: float
    p_value: float


def standard_error(one: Sample, baseline: Sample) -> float:
    """Of the difference of the two means."""
    return math.sqrt(one.error_squared + baseline.error_squared)


def test(one: Sample, baseline: Sample) -> Test:
    """Whether two means differ; not both samples may be without spread."""
    from scipy.stats import ttest_ind_from_stats

    found = ttest_ind_from_stats(
        one.mean,
        math.sqrt(one.variance),
        one.users,
        baseline.mean,
        math.sqrt(baseline.variance),
        baseline.users,
        equal_var=False,
    )
    freedom = _freedom((one.error_squared, one.users), (baseline.error_squared, baseline.users))
    return Test(float(found.statistic), freedom, float(found.pvalue))


def difference(one: Sample, baseline: Sample, alpha: float, alpha_of_looks: float) -> Estimate:
    """The difference of the means; not both samples may be without spread.

    Args:
        one: the variation.
        baseline: what it is compared with.
        alpha: one minus the level of the interval.
        alpha_of_looks: the same of the sequence.
    """
    return _estimate(
        one.mean - baseline.mean,
        (one.error_squared, one.users),
        (baseline.error_squared, baseline.users),
        alpha,
        alpha_of_looks,
    )


def relative_effect(
    one: Sample, baseline: Sample, alpha: float, alpha_of_looks: float
) -> Estimate | None:
    """The difference as a share of the baseline's mean, by the delta method; see `difference`.

    Its noise has two parts, the variation's and the baseline's, the latter weighed by the ratio of
    the means; the degrees of freedom are Welch's of these two. The sign is that of the difference,
    also where the baseline's mean is negative. There is none where that mean is zero, nor where the
    method sees no noise at all: a variation whose values are all zero.
    """
    if baseline.mean == 0:
        return None
    size, ratio = abs(baseline.mean), one.mean / baseline.mean
    of_one = one.error_squared / size**2
    of_baseline = baseline.error_squared * (ratio / size) ** 2
    if of_one + of_baseline == 0:
        return None
    return _estimate(
        (one.mean - baseline.mean) / size,
        (of_one, one.users),
        (of_baseline, baseline.users),
        alpha,
        alpha_of_looks,
    )


def smallest_difference(one: Sample, baseline: Sample, alpha: float) -> float | None:
    """The difference that so many users, so spread, would show at `alpha` with the power POWER.

    There is none where false alarms alone are as frequent as that.
    """
    if alpha >= POWER:
        return None
    from scipy.optimize import brentq

    error = standard_error(one, baseline)
    high = error
    while power(one, baseline, high, alpha) < POWER:
        high *= 2
    return float(
        brentq(lambda true: power(one, baseline, true, alpha) - POWER, 0, high, xtol=1e-6 * error)
    )


def power(one: Sample, baseline: Sample, true_difference: float, alpha: float) -> float:
    """How often so many users, so spread, would show a difference that is there, at `alpha`."""
    from statsmodels.stats.power import TTestIndPower

    asked = {
        # in the one standard deviation by which samples of these sizes would have this error
        "effect_size": abs(true_difference)
        * math.sqrt(1 / one.users + 1 / baseline.users)
        / standard_error(one, baseline),
        "nobs1": baseline.users,
        "ratio": one.users / baseline.users,
        "df": _freedom((one.error_squared, one.users), (baseline.error_squared, baseline.users)),
    }
    found = float(TTestIndPower().power(alpha=alpha, **asked))
    if math.isnan(found):
        # no number is as small as the tail on the other side, which then counts for nothing
        found = float(TTestIndPower().power(alpha=alpha / 2, alternative="larger", **asked))
    # nor as near to one as what is then left: the effect is many times its error
    return 1.0 if math.isnan(found) else found


def sure_of_its_sign(baseline: Sample, alpha: float) -> bool:
    """Whether the mean's own interval leaves zero out: a share of anything else means little."""
    from scipy.stats import t

    margin = float(t.isf(alpha / 2, baseline.users - 1)) * math.sqrt(baseline.error_squared)
    return abs(baseline.mean) > margin


def _estimate(
    value: float,
    one: tuple[float, int],
    baseline: tuple[float, int],
    alpha: float,
    alpha_of_looks: float,
) -> Estimate:
    """From the squared error that each side brings, and its users."""
    from scipy.stats import t

    error = math.sqrt(one[0] + baseline[0])
    margin = float(t.isf(alpha / 2, _freedom(one, baseline))) * error
    of_looks = half_width(error, one[1] + baseline[1], alpha_of_looks)
    return Estimate(
        value,
        Interval(value - margin, value + margin),
        Interval(value - of_looks, value + of_looks),
    )


def _freedom(one: tuple[float, int], baseline: tuple[float, int]) -> float:
    """Welch's degrees of freedom, in shares so that no square can underflow."""
    share = one[0] / (one[0] + baseline[0])
    return 1 / (share**2 / (one[1] - 1) + (1 - share) ** 2 / (baseline[1] - 1))
