"""Results as documents, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flagmart.experiments import words

if TYPE_CHECKING:
    from flagmart.experiments.arms import Arm
    from flagmart.experiments.results import Point, Result, Variation
    from flagmart.experiments.welch import Estimate

_COMMON = ("experiment_key", "env_id", "flag_key", "metric_event", "aggregation", "success")
_OF_ARM = ("variation_id", "is_baseline", "users", "conversions")


def of_result(result: Result) -> dict[str, object]:
    """An experiment; what is not known is null, and there is every name at any time."""
    return {
        **_columns(result.of, _COMMON),
        "alpha": result.alpha,
        "comparisons": result.comparisons,
        "is_running": result.is_running,
        "is_trusted": not result.split.is_mismatch,
        "split_p_value": result.split.p_value,
        "share_in_two_variations": result.share_in_two_variations,
        "says": words.of_experiment(result),
        "variations": [
            {**_variation(result, one), "expected_users": users}
            for one, users in zip(result.variations, result.split.expected, strict=True)
        ],
    }


def of_point(point: Point) -> dict[str, object]:
    """A variation at the end of a day."""
    return {
        **_columns(point.arm, ("experiment_key", "env_id")),
        "day_on": point.arm.day_on.isoformat(),
        **_columns(point.arm, _OF_ARM),
        "mean": point.mean,
        "difference": _estimate(point.difference),
        "relative_effect": _estimate(point.relative_effect),
    }


def _variation(result: Result, one: Variation) -> dict[str, object]:
    found = one.comparison
    test = found.test if found else None
    return {
        **_columns(one.arm, _OF_ARM),
        "users_in_two_variations": one.arm.users_in_two_variations,
        "users_beyond_range": one.arm.users_beyond_range,
        "conversion_rate": one.conversion_rate,
        "mean": one.mean,
        "verdict": one.verdict.value,
        "obstacle": one.obstacle.value if one.obstacle else None,
        "difference": _estimate(found.difference if found else None),
        "relative_effect": _estimate(found.relative_effect if found else None),
        "t_statistic": test.statistic if test else None,
        "degrees_of_freedom": test.degrees_of_freedom if test else None,
        "p_value": test.p_value if test else None,
        "p_value_holm": found.p_value_holm if found else None,
        "smallest_difference": found.smallest_difference if found else None,
        "smallest_relative_effect": found.smallest_relative_effect if found else None,
        "power": found.power if found else None,
        "says": words.of_variation(result, one),
    }


def _columns(arm: Arm, names: tuple[str, ...]) -> dict[str, object]:
    return {name: getattr(arm, name) for name in names}


def _estimate(found: Estimate | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "value": found.value,
        "interval": [found.interval.low, found.interval.high],
        "sequence": [found.sequence.low, found.sequence.high],
    }
