"""Results of experiments: each variation against the baseline, and whether to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING

from flagmart.experiments import arms, welch
from flagmart.experiments.arms import sample

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from flagmart.experiments.arms import Arm, DayArm, Sample
    from flagmart.experiments.welch import Estimate

ALPHA = 0.05
MISMATCH_BELOW = 0.001
"""A split less likely than this is no accident.

The usual level (docs.growthbook.io/statistics/srm has it, with its reason): mismatches are rare, so
at 0.05 half of the alarms would be false.
"""
LEAST_EXPECTED = 5
"""Below this count in a cell neither chi-square's nor the normal distribution is near the truth."""
LEAST_USERS = 30
"""Of a variation, for a t-test of what is not normal; FeatBit's experiments ask for as many."""
MANY_IN_TWO = 0.01
"""Share of users in two variations from which on it is said; what GrowthBook warns at, too."""


class Verdict(StrEnum):
    """What is to be made of a variation."""

    BASELINE = "baseline"
    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "no difference shown"
    NOT_SETTLED = "not settled yet"
    TOO_FEW = "too few users"
    NOT_COMPARED = "cannot be compared"
    NOT_TRUSTED = "not to be trusted"


class Obstacle(StrEnum):
    """Why a variation has no statistics."""

    NO_BASELINE = "no baseline"
    SEVERAL_BASELINES = "several baselines"
    NO_USERS = "no users"
    ONE_USER = "one user"
    BEYOND_RANGE = "beyond range"
    NO_SPREAD = "no spread"


@dataclass(frozen=True)
class Split:
    """Whether users are split as they should be: chi-square against the expected shares."""

    expected: tuple[float | None, ...]
    """Users of each variation, in the order of the variations; None for one without a share."""
    p_value: float | None
    """Of the users in variations with a share; None where there are too few of either."""

    @property
    def is_mismatch(self) -> bool:
        """Whether it is not to be put down to chance."""
        return self.p_value is not None and self.p_value < MISMATCH_BELOW


@dataclass(frozen=True)
class Comparison:
    """A variation against the baseline."""

    difference: Estimate
    relative_effect: Estimate | None
    """None where the baseline's mean is zero, or all of the variation's values are."""
    test: welch.Test
    p_value_holm: float
    """The test's, corrected by Holm's method over all comparisons of the experiment."""
    smallest_difference: float | None
    """Found four times in five by so many users, at alpha over the number of comparisons."""
    smallest_relative_effect: float | None
    power: float | None
    """How often the effect that was asked about is found, at the same alpha."""
    baseline_hardly_differs_from_zero: bool
    enough_users: bool


@dataclass(frozen=True)
class Variation:
    """A variation with what is known of it: a comparison, or an obstacle, or it is the baseline."""

    arm: Arm
    mean: float | None
    conversion_rate: float | None
    comparison: Comparison | None
    obstacle: Obstacle | None
    verdict: Verdict


@dataclass(frozen=True)
class Result:
    """An experiment."""

    variations: tuple[Variation, ...]
    """The baseline first, then as the rows; one at least."""
    split: Split
    alpha: float
    effect: float | None
    """The relative effect whose power was asked for."""
    comparisons: int
    is_running: bool

    @property
    def of(self) -> Arm:
        """Any of its rows, for what they have in common."""
        return self.variations[0].arm

    @property
    def share_in_two_variations(self) -> float:
        """Of its users, those who saw more than one."""
        users = sum(one.arm.users for one in self.variations)
        twice = sum(one.arm.users_in_two_variations for one in self.variations)
        return twice / users if users else 0.0


@dataclass(frozen=True)
class Point:
    """A variation at the end of a day, everything since the start counted."""

    arm: DayArm
    mean: float | None
    difference: Estimate | None
    relative_effect: Estimate | None


def results(
    rows: Iterable[Arm],
    alpha: float = ALPHA,
    effect: float | None = None,
    running: Collection[str] = (),
) -> list[Result]:
    """The experiments that the rows are of, in their order.

    Args:
        rows: of fct_experiment_results, all of an experiment side by side.
        alpha: the share of false alarms that is accepted in each experiment.
        effect: a relative effect whose power is wanted.
        running: keys of experiments whose end is still to come: what passes for one look at the
            end is settled there only if it passes for any number of looks.
    """
    return [
        _result(tuple(found), alpha, effect, running)
        for _, found in groupby(rows, lambda row: row.experiment)
    ]


def curve(rows: Iterable[DayArm], alpha: float = ALPHA) -> list[Point]:
    """Every variation at the end of every day, in the order of the rows; the baseline's, too.

    Args:
        rows: of fct_experiment_daily, all of an experiment and in it all of a day side by side.
        alpha: as in `results`.
    """
    points: list[Point] = []
    for _, group in groupby(rows, lambda row: row.experiment):
        found = tuple(group)
        alpha_of_looks = alpha / max(1, len({row.variation_id for row in found}) - 1)
        for _, day in groupby(found, lambda row: row.day_on):
            points += _points(tuple(day), alpha, alpha_of_looks)
    return points


def _points(rows: tuple[DayArm, ...], alpha: float, alpha_of_looks: float) -> Iterator[Point]:
    baseline = _baseline(rows)
    for row in rows:
        difference = relative = None
        pair = None if row is baseline else _pair(row, baseline)
        if isinstance(pair, _Pair):
            difference = welch.difference(pair.one, pair.baseline, alpha, alpha_of_looks)
            relative = welch.relative_effect(pair.one, pair.baseline, alpha, alpha_of_looks)
        yield Point(row, arms.mean(row), difference, relative)


def _result(
    rows: tuple[Arm, ...], alpha: float, effect: float | None, running: Collection[str]
) -> Result:
    is_running = rows[0].experiment_key in running
    rows = tuple(sorted(rows, key=lambda row: not row.is_baseline))
    baseline = _baseline(rows)
    others = [row for row in rows if row is not baseline]
    pairs = {row.variation_id: _pair(row, baseline) for row in others}
    tests = {
        variation: welch.test(pair.one, pair.baseline)
        for variation, pair in pairs.items()
        if isinstance(pair, _Pair)
    }
    corrected = _holm({variation: tested.p_value for variation, tested in tests.items()})
    split = _split(rows)
    variations = []
    if not isinstance(baseline, Obstacle):
        variations.append(_variation(baseline, Verdict.BASELINE))
    for row in others:
        pair = pairs[row.variation_id]
        if isinstance(pair, Obstacle):
            variations.append(_variation(row, Verdict.NOT_COMPARED, obstacle=pair))
            continue
        tested, p_holm = tests[row.variation_id], corrected[row.variation_id]
        found = _comparison(pair, tested, p_holm, alpha, alpha / len(others), effect)
        verdict = _verdict(found, row.success, alpha, is_running=is_running)
        if split.is_mismatch:
            verdict = Verdict.NOT_TRUSTED
        variations.append(_variation(row, verdict, found))
    return Result(tuple(variations), split, alpha, effect, len(others), is_running)


@dataclass(frozen=True)
class _Pair:
    """A variation and the baseline, at least one of them with some spread."""

    one: Sample
    baseline: Sample
    enough_users: bool


def _baseline(rows: Sequence[Arm]) -> Arm | Obstacle:
    found = [row for row in rows if row.is_baseline]
    if len(found) == 1:
        return found[0]
    return Obstacle.SEVERAL_BASELINES if found else Obstacle.NO_BASELINE


def _pair(row: Arm, baseline: Arm | Obstacle) -> _Pair | Obstacle:
    if isinstance(baseline, Obstacle):
        return baseline
    one, other = sample(row), sample(baseline)
    if one is None or other is None:
        fewest = min(row.users, baseline.users)
        return [Obstacle.NO_USERS, Obstacle.ONE_USER, Obstacle.BEYOND_RANGE][min(fewest, 2)]
    if welch.standard_error(one, other) == 0:
        return Obstacle.NO_SPREAD
    return _Pair(one, other, _enough(row, baseline))


def _enough(row: Arm, baseline: Arm) -> bool:
    """Whether the normal distribution is near, by the counts if the two were alike."""
    fewest = min(row.users, baseline.users)
    converted = row.conversions + baseline.conversions
    users = row.users + baseline.users
    # a share is as far from normal where almost everyone converts; a sum is not
    rarer = min(converted, users - converted) if row.aggregation == "once" else converted
    return fewest >= LEAST_USERS and fewest * rarer >= LEAST_EXPECTED * users


def _comparison(
    pair: _Pair,
    tested: welch.Test,
    p_value_holm: float,
    alpha: float,
    alpha_of_one: float,
    effect: float | None,
) -> Comparison:
    one, baseline = pair.one, pair.baseline
    size = abs(baseline.mean)
    smallest = welch.smallest_difference(one, baseline, alpha_of_one)
    power = None
    if effect is not None and size:
        power = welch.power(one, baseline, effect * size, alpha_of_one)
    return Comparison(
        difference=welch.difference(one, baseline, alpha, alpha_of_one),
        relative_effect=welch.relative_effect(one, baseline, alpha, alpha_of_one),
        test=tested,
        p_value_holm=p_value_holm,
        smallest_difference=smallest,
        smallest_relative_effect=smallest / size if smallest and size else None,
        power=power,
        baseline_hardly_differs_from_zero=not welch.sure_of_its_sign(baseline, alpha),
        enough_users=pair.enough_users,
    )


def _verdict(found: Comparison, success: str, alpha: float, *, is_running: bool) -> Verdict:
    if not found.enough_users:
        return Verdict.TOO_FEW
    if found.p_value_holm >= alpha:
        return Verdict.NOT_SHOWN
    if is_running and found.difference.sequence.has_zero:
        return Verdict.NOT_SETTLED
    is_higher = found.difference.value > 0
    return Verdict.BETTER if is_higher == (success != "lower") else Verdict.WORSE


def _variation(
    row: Arm,
    verdict: Verdict,
    comparison: Comparison | None = None,
    obstacle: Obstacle | None = None,
) -> Variation:
    rate = row.conversions / row.users if row.users else None
    return Variation(row, arms.mean(row), rate, comparison, obstacle, verdict)


def _holm(p_values: dict[str, float]) -> dict[str, float]:
    """Corrected by Holm's method, which holds whatever the comparisons have in common.

    The smallest of n is taken n times, the next n - 1 times and so on, and none is below the one
    before. (statsmodels' own collects garbage at each call, which takes longer than all the rest.)
    """
    corrected: dict[str, float] = {}
    before = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        before = max(before, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = before
    return corrected


def _split(rows: Sequence[Arm]) -> Split:
    """Users against the expected shares; those whose variation has none are left aside."""
    shares = [row.expected_share for row in rows]
    if not any(shares):
        shares = [1.0] * len(rows)
    pairs = list(zip(rows, shares, strict=True))
    users = sum(row.users for row, share in pairs if share is not None)
    whole = sum(share for share in shares if share is not None)
    expected = tuple(None if share is None else users * share / whole for share in shares)
    cells = [
        (row.users, wanted)
        for row, wanted in zip(rows, expected, strict=True)
        if wanted is not None
    ]
    if len(cells) < 2 or min(wanted for _, wanted in cells) < LEAST_EXPECTED:
        return Split(expected, None)
    from scipy.stats import chisquare

    observed, wanted = zip(*cells, strict=True)
    return Split(expected, float(chisquare(observed, wanted).pvalue))
