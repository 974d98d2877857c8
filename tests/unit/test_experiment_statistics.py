"""Statistics of experiments against scipy and statsmodels on per-user rows, and against chance."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import tt_ind_solve_power
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from flagmart.experiments import records, tables, words
from flagmart.experiments.arms import Arm, DayArm, Sample, sample
from flagmart.experiments.results import Comparison, Obstacle, Result, Verdict, curve, results
from flagmart.experiments.sequence import TIGHTEST_AT, half_width
from flagmart.experiments.welch import power, smallest_difference

Values = np.ndarray[Any, np.dtype[np.float64]]
EXACT = 1e-9


def arm(
    variation: str,
    users: int,
    conversions: int,
    value_sum: float | None = None,
    value_sum_squares: float | None = None,
    **changes: Any,
) -> Arm:
    """A variation; `off` is the baseline, and what users contribute is their conversion."""
    value_sum = float(conversions) if value_sum is None else value_sum
    made = Arm(
        experiment_key="button",
        env_id="production",
        flag_key="checkout",
        metric_event="purchase",
        aggregation="once",
        success="higher",
        variation_id=variation,
        is_baseline=variation == "off",
        expected_share=None,
        users=users,
        conversions=conversions,
        value_sum=value_sum,
        value_sum_squares=value_sum if value_sum_squares is None else value_sum_squares,
        users_in_two_variations=0,
        users_beyond_range=0,
    )
    return replace(made, **changes)


def of_values(variation: str, values: Values, **changes: Any) -> Arm:
    """A variation as the models add its users up."""
    return arm(
        variation,
        len(values),
        int(np.count_nonzero(values)),
        float(np.sum(values)),
        float(np.sum(values * values)),
        **{"aggregation": "sum", **changes},
    )


def only(rows: Sequence[Arm], **options: Any) -> Result:
    [result] = results(rows, **options)
    return result


def compared(result: Result) -> Comparison:
    found = result.variations[-1].comparison
    assert found is not None
    return found


CHANCE = np.random.default_rng(20260131)
PER_USER: dict[str, tuple[Values, Values]] = {
    "shares": (
        (CHANCE.random(4_000) < 0.12).astype(np.float64),
        (CHANCE.random(5_000) < 0.10).astype(np.float64),
    ),
    "rare shares": (
        (CHANCE.random(40_000) < 0.002).astype(np.float64),
        (CHANCE.random(9_000) < 0.003).astype(np.float64),
    ),
    "counts": (
        CHANCE.poisson(1.3, 900).astype(np.float64),
        CHANCE.poisson(1.2, 300).astype(np.float64),
    ),
    "heavy sums": (CHANCE.lognormal(3, 1.5, 2_000), CHANCE.lognormal(3, 1.4, 2_500)),
    "negative": (CHANCE.normal(-3, 8, 700), CHANCE.normal(-2.5, 2, 60)),
    "far from zero": (CHANCE.normal(1_000, 5, 800), CHANCE.normal(1_001, 7, 500)),
    "three users": (np.array([1.0, 2.5, 4.0]), np.array([2.0, 2.25, 7.0])),
}


@pytest.mark.parametrize("name", PER_USER)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_as_worked_out_from_each_user(name: str, alpha: float) -> None:
    one, baseline = PER_USER[name]
    found = compared(only([of_values("off", baseline), of_values("on", one)], alpha=alpha))
    right = stats.ttest_ind(one, baseline, equal_var=False)
    assert found.test.statistic == pytest.approx(right.statistic, rel=EXACT)
    assert found.test.p_value == pytest.approx(right.pvalue, rel=EXACT)
    assert found.test.degrees_of_freedom == pytest.approx(right.df, rel=EXACT)
    interval = right.confidence_interval(1 - alpha)
    assert found.difference.interval.low == pytest.approx(interval.low, rel=EXACT)
    assert found.difference.interval.high == pytest.approx(interval.high, rel=EXACT)
    means = CompareMeans(DescrStatsW(one), DescrStatsW(baseline))
    assert (found.difference.interval.low, found.difference.interval.high) == pytest.approx(
        means.tconfint_diff(alpha, usevar="unequal"), rel=EXACT
    )


@pytest.mark.parametrize("name", PER_USER)
def test_the_relative_effect_is_the_delta_method_on_each_user(name: str) -> None:
    one, baseline = PER_USER[name]
    found = compared(only([of_values("off", baseline), of_values("on", one)])).relative_effect
    assert found is not None
    # the gradient of one / |baseline| through the covariance of the two means
    size = abs(baseline.mean())
    gradient = np.array([1 / size, -one.mean() / (size * baseline.mean())])
    covariance = np.diag([stats.sem(one) ** 2, stats.sem(baseline) ** 2])
    error = math.sqrt(gradient @ covariance @ gradient)
    parts = gradient**2 * np.diag(covariance)
    freedom = parts.sum() ** 2 / (parts**2 / [len(one) - 1, len(baseline) - 1]).sum()
    effect = (one.mean() - baseline.mean()) / size
    low, high = stats.t.interval(0.95, freedom, effect, error)
    assert found.value == pytest.approx(effect, rel=EXACT)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), rel=EXACT)
    wide = half_width(error, len(one) + len(baseline), 0.05)
    assert found.sequence.high == pytest.approx(effect + wide, rel=EXACT)


def test_the_delta_method_is_what_logarithms_come_to() -> None:
    # Near no effect, log(one / baseline) has the same error as one / baseline: an independent road.
    one, baseline = PER_USER["counts"]
    found = compared(only([of_values("off", baseline), of_values("on", one)])).relative_effect
    assert found is not None
    of_logarithm = math.hypot(
        stats.sem(one) / one.mean(), stats.sem(baseline) / baseline.mean()
    ) * (one.mean() / baseline.mean())
    margin = (found.interval.high - found.interval.low) / 2
    assert margin == pytest.approx(1.96 * of_logarithm, rel=0.01)


def test_p_values_are_corrected_by_holm() -> None:
    rows = [arm(name, 1_000, count) for name, count in zip("abc", (131, 128, 101), strict=True)]
    result = only([*rows, arm("off", 1_000, 100)])
    found = [one.comparison for one in result.variations if one.comparison]
    first, second, third = (one.test.p_value for one in found)
    assert first < second < third
    # by hand: times 3, 2, 1, and never below the one before
    right = (3 * first, max(3 * first, 2 * second), third)
    assert tuple(one.p_value_holm for one in found) == pytest.approx(right, rel=EXACT)
    _, of_statsmodels, *_ = multipletests([first, second, third], method="holm")
    assert tuple(of_statsmodels) == pytest.approx(right, rel=EXACT)
    assert result.variations[0].verdict is Verdict.BASELINE
    # alone the second would pass
    assert second < 0.05 < found[1].p_value_holm
    told = words.of_variation(result, result.variations[2])
    assert "By itself it would pass (p 0.049); as one of 3 comparisons" in told


def test_what_has_to_hold_for_all_comparisons_at_once_is_at_a_share_of_alpha() -> None:
    rows = [arm(name, 2_000, 200 + n) for n, name in enumerate(("off", "a", "b", "c"))]
    found = compared(only(rows, effect=-0.1))
    one, baseline = sample(rows[3]), sample(rows[0])
    assert one is not None
    assert baseline is not None
    assert found.smallest_difference == smallest_difference(one, baseline, 0.05 / 3)
    assert found.power == power(one, baseline, 0.1 * 0.1, 0.05 / 3)
    error = math.hypot(math.sqrt(one.error_squared), math.sqrt(baseline.error_squared))
    edge = found.difference.sequence.high - found.difference.value
    assert edge == pytest.approx(half_width(error, 4_000, 0.05 / 3))
    # the interval is of its own comparison
    alone = compared(only([rows[0], rows[3]]))
    assert found.difference.interval == alone.difference.interval


def test_holm_corrects_each_experiment_for_itself() -> None:
    alone = [arm("off", 1_000, 100), arm("on", 1_000, 130)]
    many = [replace(row, experiment_key=f"e{n}") for n in range(50) for row in alone]
    found = results(many)
    assert len(found) == 50
    assert {compared(one).p_value_holm for one in found} == {compared(found[0]).test.p_value}


def test_power_is_that_of_statsmodels_where_both_are_alike() -> None:
    one = baseline = Sample(users=400, mean=10.0, variance=9.0)
    right = 3 * tt_ind_solve_power(nobs1=400, alpha=0.05, power=0.8, ratio=1.0)
    found = smallest_difference(one, baseline, 0.05)
    assert found == pytest.approx(right, rel=1e-5)
    assert found is not None
    assert power(one, baseline, found, 0.05) == pytest.approx(0.8, abs=1e-5)
    assert power(one, baseline, -found, 0.05) == pytest.approx(0.8, abs=1e-5)


def test_power_is_how_often_unlike_samples_show_it() -> None:
    chance = np.random.default_rng(5)
    one, baseline = Sample(40, 0.0, 25.0), Sample(200, 0.0, 1.0)
    smallest = smallest_difference(one, baseline, 0.05)
    assert smallest is not None
    seen = stats.ttest_ind(
        chance.normal(smallest, 5, (40, 4_000)), chance.normal(0, 1, (200, 4_000)), equal_var=False
    )
    low, high = stats.binom.interval(0.999, 4_000, 0.8)
    assert low <= (seen.pvalue < 0.05).sum() <= high


def test_power_has_a_number_however_far_from_the_data() -> None:
    chance = np.random.default_rng(6)
    for _ in range(200):
        users = (10 ** chance.uniform(0.31, 7, 2)).astype(int)
        spread = 10 ** chance.uniform(-12, 12, 2)
        one, baseline = (Sample(int(n), 1.0, float(v)) for n, v in zip(users, spread, strict=True))
        alpha = float(10 ** chance.uniform(-4, -0.3))
        smallest = smallest_difference(one, baseline, alpha)
        assert smallest is not None
        assert power(one, baseline, smallest, alpha) == pytest.approx(0.8, abs=1e-5)
        assert power(one, baseline, 10 * smallest, alpha) > 0.95
    assert smallest_difference(one, baseline, 0.9) is None


def test_the_sequence_is_where_the_mixture_of_likelihood_ratios_reaches_one_over_alpha() -> None:
    # Ville: the mean over N(0, rho²) of exp(λ S - λ² t / 2) exceeds 1 / alpha at any t with a
    # probability of alpha at most. So its root is the edge; integrated here, not solved.
    for users in (40, 2_000, 10_000, 300_000):
        for alpha in (0.05, 0.01):
            edge = half_width(1 / math.sqrt(users), users, alpha) * users
            rho = math.sqrt(_rho_squared(alpha))

            def mixed(u: float, edge: float = edge, users: int = users, rho: float = rho) -> float:
                drift = rho * u
                return math.exp(drift * edge - drift * drift * users / 2 - u * u / 2)

            peak = rho * edge / (users * rho * rho + 1)
            width = 12 / math.sqrt(users * rho * rho + 1)
            mean, _ = quad(mixed, peak - width, peak + width, epsabs=0, epsrel=1e-11)
            assert mean / math.sqrt(2 * math.pi) == pytest.approx(1 / alpha, rel=1e-9)


def _rho_squared(alpha: float) -> float:
    """By iteration from u - log u = 1 - 2 log alpha, the larger root, of which 1 is no part."""
    u = 10.0
    for _ in range(200):
        u = 1 - 2 * math.log(alpha) + math.log(u)
    return (u - 1) / TIGHTEST_AT


def test_the_sequence_as_worked_out_by_hand() -> None:
    # with 30 digits: u = 9.2119680620..., whose root is the width in errors where it is tightest
    assert half_width(1.0, TIGHTEST_AT, 0.05) == pytest.approx(3.035122413028551, abs=1e-12)
    assert half_width(0.01, 5_000, 0.05) == pytest.approx(0.03078662538135512, abs=1e-15)
    # no other number to tune it to would make it tighter there
    best = half_width(1.0, TIGHTEST_AT, 0.05)
    for users in (TIGHTEST_AT - 500, TIGHTEST_AT + 500):
        scaled = half_width(1.0, users, 0.05)
        assert scaled > best
    # wider than the interval for one look at any size, and narrower than nothing
    for users in (10, 1_000, 10_000, 10_000_000):
        assert half_width(1.0, users, 0.05) > 2.5


def binomial(draws: int, share: float) -> tuple[float, float]:
    """What a share comes to in so many draws, but for one time in a thousand."""
    low, high = stats.binom.interval(0.999, draws, share)
    return float(low), float(high)


def simulated(chance: np.random.Generator, kind: str, users: int, effect: float) -> Values:
    """What each user contributes: a conversion, or money that most do not spend."""
    if kind == "once":
        return (chance.random(users) < 0.15 * (1 + effect)).astype(np.float64)
    spends = chance.random(users) < 0.3
    return spends * chance.gamma(2.0, 10.0 * (1 + effect), users)


@pytest.mark.parametrize("kind", ["once", "sum"])
def test_a_thousand_experiments_without_effect_alarm_as_often_as_alpha_says(kind: str) -> None:
    chance = np.random.default_rng(11)
    rows = [
        of_values(
            variation,
            simulated(chance, kind, 500 + 3 * number % 400, 0.0),
            experiment_key=f"e{number}",
            aggregation=kind,
        )
        for number in range(1_000)
        for variation in ("off", "on")
    ]
    found = results(rows)
    alarms = sum(compared(one).test.p_value < 0.05 for one in found)
    low, high = binomial(1_000, 0.05)
    assert low <= alarms <= high
    verdicts = {one.variations[1].verdict for one in found}
    assert verdicts == {Verdict.BETTER, Verdict.WORSE, Verdict.NOT_SHOWN}
    # and an effect that is there is found, so the test can tell
    rows = [
        replace(row, value_sum=row.value_sum * 1.5, value_sum_squares=row.value_sum_squares * 2.25)
        if row.variation_id == "on"
        else row
        for row in rows[:400]
    ]
    assert sum(compared(one).test.p_value < 0.05 for one in results(rows)) > high


def test_three_comparisons_alarm_together_as_often_as_alpha_says() -> None:
    chance = np.random.default_rng(12)
    rows = [
        arm(variation, 4_000, int(chance.binomial(4_000, 0.1)), experiment_key=f"e{number}")
        for number in range(400)
        for variation in ("off", "a", "b", "c")
    ]
    found = results(rows)

    alarms = {"corrected": 0, "as they are": 0}
    for result in found:
        compared_all = [one.comparison for one in result.variations if one.comparison]
        assert len(compared_all) == 3
        alarms["corrected"] += min(one.p_value_holm for one in compared_all) < 0.05
        alarms["as they are"] += min(one.test.p_value for one in compared_all) < 0.05
    assert alarms["corrected"] <= binomial(400, 0.05)[1] < alarms["as they are"]


@pytest.mark.parametrize("kind", ["once", "sum"])
def test_intervals_of_200_experiments_cover_the_truth_as_often_as_they_say(kind: str) -> None:
    chance = np.random.default_rng(13)
    truth = 0.2
    rows = [
        of_values(
            variation,
            simulated(chance, kind, 1_500, truth if variation == "on" else 0.0),
            experiment_key=f"e{number}",
            aggregation=kind,
        )
        for number in range(200)
        for variation in ("off", "on")
    ]
    covered = wider = 0
    for result in results(rows):
        found = compared(result).relative_effect
        assert found is not None
        covered += found.interval.low <= truth <= found.interval.high
        wider += found.sequence.low <= truth <= found.sequence.high
    low, high = binomial(200, 0.95)
    assert low <= covered <= high
    assert wider >= covered


def test_who_looks_every_day_is_misled_no_more_often_than_alpha_says() -> None:
    chance = np.random.default_rng(14)
    runs, days = 500, 21
    arrived = chance.integers(20, 600, (runs, 2, days)).cumsum(axis=2)
    first = chance.binomial(arrived[:, :, :1], 0.1)
    more = chance.binomial(np.diff(arrived, axis=2), 0.1)
    converted = np.concatenate([first, more], axis=2).cumsum(axis=2)
    rows = [
        DayArm(
            **vars(
                arm(
                    variation,
                    int(arrived[run, side, day]),
                    int(converted[run, side, day]),
                    experiment_key=f"e{run}",
                )
            ),
            day_on=date(2026, 1, 1) + timedelta(days=day),
        )
        for run in range(runs)
        for day in range(days)
        for side, variation in enumerate(("off", "on"))
    ]
    misled: dict[str, set[str]] = {"one look": set(), "any look": set(), "of the effect": set()}
    for point in curve(rows):
        if point.difference and not point.difference.interval.has_zero:
            misled["one look"].add(point.arm.experiment_key)
        if point.difference and not point.difference.sequence.has_zero:
            misled["any look"].add(point.arm.experiment_key)
        if point.relative_effect and not point.relative_effect.sequence.has_zero:
            misled["of the effect"].add(point.arm.experiment_key)
    high = binomial(runs, 0.05)[1]
    assert len(misled["any look"]) <= high
    assert len(misled["of the effect"]) <= high
    # looked at each day, the interval for one look misleads in one of five
    assert len(misled["one look"]) > 2 * high


def test_a_day_of_the_curve_is_the_result_of_that_day() -> None:
    day = [
        DayArm(**vars(arm(name, 900 + n, 90 + 9 * n)), day_on=date(2026, 1, 1))
        for n, name in enumerate(("off", "a", "b"))
    ]
    later = [replace(row, day_on=date(2026, 1, 2), users=row.users * 2) for row in day]
    # on the first day one variation had not begun: the others' sequences allow for it all the same
    points = curve([*day[:2], *later])
    assert [point.arm.day_on.day for point in points] == [1, 1, 2, 2, 2]
    assert points[0].difference is None
    result = only([Arm(**{k: v for k, v in vars(row).items() if k != "day_on"}) for row in later])
    assert points[3].difference == result.variations[1].comparison.difference  # type: ignore[union-attr]
    assert points[1].difference is not None
    samples = [found for found in map(sample, day[:2]) if found]
    error = math.hypot(*(math.sqrt(found.error_squared) for found in samples))
    edge = points[1].difference.sequence.high - points[1].difference.value
    assert edge == pytest.approx(half_width(error, 1_801, 0.05 / 2))
    rows, header = tables.of_points(points)
    assert header[-1] == "if peeked"
    assert rows[0] == ["button", "2026-01-01", "off", 900, 90, "10.0%", "", ""]
    assert json.loads(json.dumps(records.of_point(points[1]), allow_nan=False))["users"] == 901


def test_users_that_are_split_otherwise_than_expected_make_a_result_not_to_be_trusted() -> None:
    # 1,000 users split 600 to 400 where halves were meant: p = 2.54e-10, as published
    result = only([arm("off", 400, 80), arm("on", 600, 180)])
    assert result.split.p_value == pytest.approx(2.54e-10, rel=1e-3)
    assert result.variations[1].verdict is Verdict.NOT_TRUSTED
    [told] = words.of_experiment(result)
    assert told.startswith("NOT TO BE TRUSTED: users are split 400 : 600 where 500 : 500 was")
    assert records.of_result(result)["is_trusted"] is False
    # the same users as they were meant to be
    meant = only([arm("off", 400, 80, expected_share=0.4), arm("on", 600, 180, expected_share=0.6)])
    assert meant.split.p_value == pytest.approx(1)
    assert meant.variations[1].verdict is Verdict.BETTER
    assert words.of_experiment(meant) == []


def test_a_split_is_judged_at_one_in_a_thousand() -> None:
    # by hand: x² / (2,000 + x) passes 10.828, chi-square's value at 0.001, between these two
    for more, mismatch in ((152, False), (153, True)):
        split = only([arm("off", 1_000, 100), arm("on", 1_000 + more, 100)]).split
        assert split.is_mismatch is mismatch, split


def test_a_variation_that_nobody_saw_is_a_mismatch_and_one_without_a_share_is_left_aside() -> None:
    gone = only([arm("off", 900, 90, expected_share=0.5), arm("on", 0, 0, expected_share=0.5)])
    assert gone.split.is_mismatch
    assert gone.variations[1].obstacle is Obstacle.NO_USERS
    shares = {"off": 0.5, "on": 0.5, "stray": None}
    stray = only([arm(name, 900, 90, expected_share=share) for name, share in shares.items()])
    assert stray.split.p_value == 1
    assert stray.split.expected == (900, 900, None)
    [told] = words.of_experiment(stray)
    assert (
        told == "Not in expected_shares, so left out of the check of the split: stray (900 users)."
    )
    few = only([arm("off", 4, 2), arm("on", 5, 2)])
    assert few.split.p_value is None
    assert words.of_experiment(few)[0].startswith("Whether users are split as expected cannot be")


OBSTACLES: dict[Obstacle, list[Arm]] = {
    Obstacle.NO_BASELINE: [arm("on", 500, 50), arm("other", 500, 40)],
    Obstacle.SEVERAL_BASELINES: [arm("off", 500, 50), arm("on", 500, 40, is_baseline=True)],
    Obstacle.NO_USERS: [arm("off", 0, 0), arm("on", 3, 2)],
    Obstacle.ONE_USER: [arm("off", 1, 1), arm("on", 3, 2)],
    Obstacle.BEYOND_RANGE: [arm("off", 500, 40), arm("on", 500, 50, users_beyond_range=1)],
    Obstacle.NO_SPREAD: [arm("off", 500, 500), arm("on", 500, 0)],
}


@pytest.mark.parametrize("obstacle", Obstacle)
def test_what_cannot_be_compared_says_why(obstacle: Obstacle) -> None:
    result = only(OBSTACLES[obstacle], effect=0.1)
    last = result.variations[-1]
    assert last.obstacle is obstacle
    assert last.verdict is Verdict.NOT_COMPARED
    assert last.comparison is None
    told = [*words.of_experiment(result), words.of_variation(result, last)]
    assert sum("Nothing to compare" in one for one in told) == 1
    rows, header = tables.of_result(result)
    assert {len(row) for row in rows} == {len(header)}
    json.dumps(records.of_result(result), allow_nan=False)


def test_the_baseline_alone_is_a_result() -> None:
    result = only([arm("off", 500, 50)])
    assert [one.verdict for one in result.variations] == [Verdict.BASELINE]
    assert words.of_experiment(result) == ["Nothing to compare: only the baseline has users."]
    assert words.of_variation(result, result.variations[0]) == ""
    assert results([]) == []


def test_few_users_have_numbers_and_no_verdict() -> None:
    for users, conversions, verdict in (
        (29, 20, Verdict.TOO_FEW),  # too few users
        (30, 24, Verdict.NOT_SHOWN),
        (500, 3, Verdict.TOO_FEW),  # 3 conversions to expect on each side
        (500, 497, Verdict.TOO_FEW),  # 3 without one
        (500, 5, Verdict.NOT_SHOWN),
    ):
        rows = [arm("off", users, conversions), arm("on", users, conversions)]
        assert only(rows).variations[1].verdict is verdict, (users, conversions)
    # a sum is not less normal where all have one
    rows = [replace(of_values(v, CHANCE.gamma(5, 3, 200))) for v in ("off", "on")]
    assert only(rows).variations[1].verdict is Verdict.NOT_SHOWN


def test_no_conversion_at_all_on_one_side() -> None:
    none = only([arm("off", 1_000, 0), arm("on", 1_000, 30)], effect=0.05)
    assert none.variations[1].verdict is Verdict.BETTER
    found = compared(none)
    assert found.relative_effect is None
    assert found.smallest_relative_effect is None
    assert found.power is None
    told = words.of_variation(none, none.variations[1])
    assert "is 3.0 pp higher than the baseline's" in told
    assert "no relative effect to give, since the baseline's mean is zero" in told
    lost = only([arm("off", 1_000, 30), arm("on", 1_000, 0)])
    assert lost.variations[1].verdict is Verdict.WORSE
    assert compared(lost).relative_effect is None
    assert "since every value of the variation is zero" in words.of_variation(
        lost, lost.variations[1]
    )


def test_lower_is_better_where_it_is_said_so() -> None:
    rows = [
        arm("off", 8_000, 1_000, success="lower"),
        arm("on", 8_000, 850, success="lower"),
        arm("slow", 8_000, 1_150, success="lower"),
    ]
    result = only(rows)
    assert [one.verdict for one in result.variations[1:]] == [Verdict.BETTER, Verdict.WORSE]
    told = words.of_variation(result, result.variations[1])
    assert told.startswith(
        "Better (lower is better): the share of users with purchase is 15.0% lower than the base"
    )


def test_negative_means_keep_the_sign_of_the_difference() -> None:
    chance = np.random.default_rng(8)
    rows = [of_values("off", chance.normal(-5, 1, 400)), of_values("on", chance.normal(-4, 1, 400))]
    result = only(rows)
    found = compared(result).relative_effect
    assert found is not None
    assert found.value == pytest.approx(0.2, abs=0.05)
    assert found.interval.low < found.value < found.interval.high
    assert result.variations[1].verdict is Verdict.BETTER


def test_a_baseline_near_zero_is_said_to_be() -> None:
    chance = np.random.default_rng(9)
    rows = [
        of_values("off", chance.normal(0.01, 5, 900)),
        of_values("on", chance.normal(2, 5, 900)),
    ]
    result = only(rows)
    told = words.of_variation(result, result.variations[1])
    assert "The baseline's mean is hardly apart from zero" in told


def test_values_that_are_all_equal_have_no_spread_whatever_rounding_does() -> None:
    for value in (0.1, 1 / 3, 1e-7, 12_345.678, -2.7):
        values = np.full(997, value)
        found = sample(of_values("on", values))
        assert found is not None
        assert found.variance == 0
        # and a spread of a millionth of the mean is none of rounding's
        values[::2] *= 1 + 1e-6
        found = sample(of_values("on", values))
        assert found is not None
        assert math.sqrt(found.variance) == pytest.approx(np.std(values, ddof=1), rel=1e-2)


def test_significant_for_one_look_and_not_for_many() -> None:
    result = only([arm("off", 10_000, 1_000), arm("on", 10_000, 1_110)])
    told = words.of_variation(result, result.variations[1])
    assert result.variations[1].verdict is Verdict.BETTER
    assert "That is for one look, at an end that was planned; if it was stopped for" in told
    assert "the wider interval counts (3.0% lower to 25.0% higher), and is not enough." in told
    result = only([arm("off", 10_000, 1_000), arm("on", 10_000, 1_250)])
    assert "It holds however often the numbers were looked at." in words.of_variation(
        result, result.variations[1]
    )


def test_a_running_experiment_is_settled_by_the_sequence_alone() -> None:
    for conversions, ended, running in (
        (1_110, Verdict.BETTER, Verdict.NOT_SETTLED),
        (890, Verdict.WORSE, Verdict.NOT_SETTLED),
        (1_250, Verdict.BETTER, Verdict.BETTER),
        (1_010, Verdict.NOT_SHOWN, Verdict.NOT_SHOWN),
    ):
        rows = [arm("off", 10_000, 1_000), arm("on", 10_000, conversions)]
        assert only(rows, running={"another"}).variations[1].verdict is ended
        assert only(rows, running={"button"}).variations[1].verdict is running
    result = only([rows[0], arm("on", 10_000, 1_110)], running={"button"})
    assert words.of_variation(result, result.variations[1]) == (
        "Not settled yet: the share of users with purchase is 11.0% higher than the baseline's so "
        "far. At its end that would pass (p 0.011); but the experiment is running, and for whoever "
        "looks along the way the wider interval counts: 3.0% lower to 25.0% higher fits the data."
    )
    assert records.of_result(result)["is_running"] is True


def test_no_difference_shown_says_what_would_have_been_seen() -> None:
    result = only([arm("off", 3_000, 300), arm("on", 3_000, 305)])
    assert words.of_variation(result, result.variations[1]) == (
        "No difference shown, which is not to say that there is none: anything from 13.7% lower to "
        "17.0% higher fits the data. With so many users an effect of 21.8% is seen four times in "
        "five; a smaller one is easily missed."
    )


def test_test_and_relative_interval_may_differ_and_then_it_is_said() -> None:
    result = only([arm("off", 1_000, 100), arm("on", 1_000, 128)])
    found = compared(result)
    assert found.test.p_value < 0.05
    assert not found.difference.interval.has_zero
    assert found.relative_effect is not None
    assert found.relative_effect.interval.has_zero
    assert "A close call: the test is of the difference" in words.of_variation(
        result, result.variations[1]
    )


def test_users_in_two_variations_are_said_from_one_in_a_hundred_on() -> None:
    for twice, is_said in ((10, False), (11, True)):
        rows = [arm("off", 1_000, 100, users_in_two_variations=n) for n in (twice,)]
        result = only([*rows, arm("on", 1_000, 100, users_in_two_variations=10)])
        assert bool(words.of_experiment(result)) is is_said
    [told] = words.of_experiment(result)
    assert told.startswith("21 users (1.1%) saw more than one variation.")


def test_the_table_has_a_column_for_what_is_asked() -> None:
    rows = [arm("off", 3_000, 300), arm("on", 3_000, 305)]
    plain = ["variation", "users", "conversions", "rate", "effect", "95% interval", "if peeked"]
    found, header = tables.of_result(only(rows))
    assert header == [*plain, "p", "mde", "result"]
    assert found[1][1:5] == [3_000, 305, "10.2%", "+1.7%"]
    _, header = tables.of_result(only([*rows, arm("third", 3_000, 310)], effect=0.05, alpha=0.01))
    assert header[5] == "99% interval"
    assert header[7:] == ["p", "p (holm)", "mde", "power at 5.0%", "result"]
    _, header = tables.of_result(only([of_values("off", CHANCE.gamma(1, 1, 90))]))
    assert header[3] == "mean"


def test_a_record_has_every_name_at_any_time() -> None:
    full = records.of_result(only([arm("off", 3_000, 300), arm("on", 3_000, 405)], effect=0.05))
    bare = records.of_result(only([arm("off", 0, 0), arm("on", 1, 1)]))
    assert list(full) == list(bare)
    assert [list(one) for one in full["variations"]] == [list(one) for one in bare["variations"]]  # type: ignore[attr-defined]
    one = full["variations"][1]  # type: ignore[index]
    assert one["verdict"] == "better"
    assert one["power"] == pytest.approx(0.0925, abs=0.0001)
    assert one["difference"]["sequence"][0] < one["difference"]["interval"][0]


def test_sizes_are_written_so_that_they_can_be_read() -> None:
    assert [words.percent(value) for value in (0, 0.5, 0.01234, 0.00456, 0.00001)] == [
        "0.0%",
        "50.0%",
        "1.2%",
        "0.46%",
        "0.00%",
    ]
    assert words.points(-0.0123, signed=True) == "-1.2 pp"
    assert [words.number(value) for value in (0.9, 12.3456, 1234.5, 123456.7)] == [
        "0.9",
        "12.35",
        "1234",
        "123,457",
    ]
    assert [words.p_value(value) for value in (0.5, 0.049, 0.0070, 0.00012, 0.00001, 1.0)] == [
        "0.50",
        "0.049",
        "0.0070",
        "0.00012",
        "<0.0001",
        "1.00",
    ]
