"""What the numbers of an experiment say and what they do not, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flagmart.experiments.results import (
    LEAST_EXPECTED,
    LEAST_USERS,
    MANY_IN_TWO,
    Obstacle,
    Verdict,
)
from flagmart.talk import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flagmart.experiments.results import Comparison, Result, Variation
    from flagmart.experiments.welch import Estimate, Interval

_METRIC = {
    "once": "the share of users with {}",
    "count": "the number of {} per user",
    "sum": "the sum of {} per user",
    "average": "a user's average of {}",
}
_OBSTACLES = {
    Obstacle.NO_BASELINE: "Nothing to compare with: no variation that users saw is the baseline; "
    "mend baseline_variation_id in seeds/experiments.csv.",
    Obstacle.SEVERAL_BASELINES: "Nothing to compare with: several variations are the baseline.",
    Obstacle.NO_USERS: "Nothing to compare: it has no users, or the baseline has none.",
    Obstacle.ONE_USER: "Nothing to compare: one user, here or in the baseline, shows no spread.",
    Obstacle.BEYOND_RANGE: "Nothing to compare: a user, here or in the baseline, has a value so "
    "large that the sums leave it out; see users_beyond_range.",
    Obstacle.NO_SPREAD: "Nothing to compare: within each of the two all users have the same value, "
    "so there is no chance to measure a difference by.",
}

_OF_ALL = (Obstacle.NO_BASELINE, Obstacle.SEVERAL_BASELINES)


def metric(result: Result) -> str:
    """The metric as a noun: `the share of users with purchase`."""
    return _METRIC.get(result.of.aggregation, "{}").format(result.of.metric_event)


def of_experiment(result: Result) -> list[str]:
    """Sentences on whether the experiment as a whole is to be trusted; none if nothing is odd."""
    return list(_of_experiment(result))


def _of_experiment(result: Result) -> Iterator[str]:
    split = result.split
    if split.is_mismatch:
        pairs = list(zip(result.variations, split.expected, strict=True))
        users = " : ".join(f"{one.arm.users:,}" for one, count in pairs if count is not None)
        wanted = " : ".join(f"{count:,.0f}" for count in split.expected if count is not None)
        yield (
            f"NOT TO BE TRUSTED: users are split {users} where {wanted} was expected, which is not "
            f"chance (p {p_value(split.p_value)}). Something loses or adds users, and those may be "
            "unlike the others; find it before you read on."
        )
    elif split.p_value is None and len(result.variations) > 1:
        yield (
            "Whether users are split as expected cannot be told: that takes two variations with "
            f"{LEAST_EXPECTED} users to expect in each."
        )
    aside = [
        f"{one.arm.variation_id} ({plural(one.arm.users, 'user')})"
        for one, count in zip(result.variations, split.expected, strict=True)
        if count is None
    ]
    if aside:
        yield (
            f"Not in expected_shares, so left out of the check of the split: {', '.join(aside)}."
        )
    if result.share_in_two_variations > MANY_IN_TWO:
        count = sum(one.arm.users_in_two_variations for one in result.variations)
        yield (
            f"{plural(count, 'user')} ({percent(result.share_in_two_variations)}) saw more than "
            "one variation. Counted in their first they make variations look more alike; left out, "
            "they may be missed. Look for what assigns users anew."
        )
    obstacle = result.variations[-1].obstacle
    if obstacle in _OF_ALL:
        yield _OBSTACLES[obstacle]
    elif len(result.variations) == 1:
        yield "Nothing to compare: only the baseline has users."


def of_variation(result: Result, variation: Variation) -> str:
    """Sentences on one variation; '' for the baseline, and where `of_experiment` says it all."""
    if variation.obstacle is not None:
        return "" if variation.obstacle in _OF_ALL else _OBSTACLES[variation.obstacle]
    if variation.comparison is None:
        return ""
    return " ".join(_of_comparison(result, variation, variation.comparison))


def _of_comparison(result: Result, variation: Variation, found: Comparison) -> Iterator[str]:
    match variation.verdict:
        case Verdict.NOT_TRUSTED:
            yield "Not to be trusted: the numbers may come from the wrong split alone."
        case Verdict.TOO_FEW:
            without = " and as many without" if result.of.aggregation == "once" else ""
            yield (
                f"Too few users to tell, whatever the numbers say: it takes {LEAST_USERS} on each "
                f"side, of whom {LEAST_EXPECTED} with a conversion{without} can be expected."
            )
        case Verdict.NOT_SHOWN:
            yield from _not_shown(result, found)
            yield from _beside(result, variation, found)
        case Verdict.NOT_SETTLED:
            yield from _not_settled(result, found)
            yield from _beside(result, variation, found)
        case _:
            yield from _shown(result, variation, found)
            yield from _beside(result, variation, found)


def _not_shown(result: Result, found: Comparison) -> Iterator[str]:
    told, size = best(result, found)
    yield (
        "No difference shown, which is not to say that there is none: anything from "
        f"{_range(told.interval, size)} fits the data."
    )
    if found.test.p_value < result.alpha:
        count = sum(one.comparison is not None for one in result.variations)
        yield (
            f"By itself it would pass (p {p_value(found.test.p_value)}); as one of {count} "
            "comparisons, of which one is easily lucky, it does not."
        )
    smallest = smallest_effect(found)
    if smallest is not None:
        yield (
            f"With so many users an effect of {size(smallest)} is seen four times in five; a "
            "smaller one is easily missed."
        )


def _not_settled(result: Result, found: Comparison) -> Iterator[str]:
    told, size = best(result, found)
    yield (
        f"Not settled yet: {metric(result)} is {_moved(told, size)} than the baseline's so far. "
        f"At its end that would pass (p {p_value(found.p_value_holm)}); but the experiment is "
        "running, and for whoever looks along the way the wider interval counts: "
        f"{_range(told.sequence, size)} fits the data."
    )


def _shown(result: Result, variation: Variation, found: Comparison) -> Iterator[str]:
    told, size = best(result, found)
    of = result.of
    lower = " (lower is better)" if of.success == "lower" else ""
    yield (
        f"{variation.verdict.value.capitalize()}{lower}: {metric(result)} is {_moved(told, size)} "
        f"than the baseline's; anything from {_range(told.interval, size)} fits the data."
    )
    if not found.difference.sequence.has_zero:
        yield "It holds however often the numbers were looked at."
    else:
        wider = f" ({_range(told.sequence, size)})" if told.sequence.has_zero else ""
        yield (
            "That is for one look, at an end that was planned; if it was stopped for what was seen "
            f"along the way, the wider interval counts{wider}, and is not enough."
        )
    yield "Expect less rather than more: what passes a test tends to be overstated."


def _beside(result: Result, variation: Variation, found: Comparison) -> Iterator[str]:
    """What is to be known of the effect that is given."""
    relative = found.relative_effect
    if relative is None:
        zero = (
            "every value of the variation is" if variation.mean == 0 else "the baseline's mean is"
        )
        yield f"There is no relative effect to give, since {zero} zero."
    elif found.baseline_hardly_differs_from_zero:
        told = size_of_difference(result)(found.difference.value, signed=True)
        yield (
            "The baseline's mean is hardly apart from zero, so an effect relative to it means "
            f"little; the difference is {told}."
        )
    elif relative.interval.has_zero == (found.test.p_value < result.alpha):
        touches = "still has zero in it" if relative.interval.has_zero else "leaves zero out"
        yield (
            "A close call: the test is of the difference, and the interval of the relative effect, "
            f"in which the baseline's noise weighs otherwise, {touches}."
        )


def best(result: Result, found: Comparison) -> tuple[Estimate, Callable[..., str]]:
    """The relative effect where there is one, else the difference; and how its size is written."""
    if found.relative_effect is not None:
        return found.relative_effect, percent
    return found.difference, size_of_difference(result)


def size_of_difference(result: Result) -> Callable[..., str]:
    """How a difference of means is written: of shares in percentage points."""
    return points if result.of.aggregation == "once" else number


def smallest_effect(found: Comparison) -> float | None:
    """What is found four times in five, in the unit of `best`."""
    if found.relative_effect is not None:
        return found.smallest_relative_effect
    return found.smallest_difference


def _moved(told: Estimate, size: Callable[..., str]) -> str:
    return f"{size(abs(told.value))} {'higher' if told.value > 0 else 'lower'}"


def _range(interval: Interval, size: Callable[..., str]) -> str:
    """`4.1% to 19.9% higher`, `3.0% lower to 5.2% higher`; the smaller effect first."""
    low, high = interval.low, interval.high
    if low > 0:
        return f"{size(low)} to {size(high)} higher"
    if high < 0:
        return f"{size(-high)} to {size(-low)} lower"
    return f"{size(-low)} lower to {size(high)} higher"


def percent(value: float, *, signed: bool = False) -> str:
    """A share as a percentage."""
    hundredths = 100 * value
    digits = 1 if abs(hundredths) >= 1 or not hundredths else 2
    return f"{hundredths:{'+' if signed else ''},.{digits}f}%"


def points(value: float, *, signed: bool = False) -> str:
    """A difference of two shares in percentage points."""
    return f"{percent(value, signed=signed).removesuffix('%')} pp"


def number(value: float, *, signed: bool = False) -> str:
    """A mean or a difference, with four digits where that is enough."""
    sign = "+" if signed else ""
    return f"{value:{sign},.0f}" if abs(value) >= 10_000 else f"{value:{sign}.4g}"


def p_value(value: float | None) -> str:
    """A p-value with two digits; one that is too small to tell from others as less than that."""
    if value is None:
        return "-"
    if value < 0.0001:
        return "<0.0001"
    return f"{value:.{max(2, 1 - math.floor(math.log10(value)))}f}"
