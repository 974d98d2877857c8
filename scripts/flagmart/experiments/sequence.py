"""A confidence sequence: an interval that stays valid however often it is looked at.

Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic
confidence sequences, Annals of Statistics 52 (2024), arXiv 2103.06476. It is Robbins' normal
mixture with the variance estimated: after t observations of variance s² the mean lies within

    s · sqrt(2 (t ρ² + 1) / (t² ρ²) · log(sqrt(t ρ² + 1) / α))

at all t at once but for a share of α of all experiments. A difference of two means is a mean, too,
over the users of both (their section on randomized experiments), and s² / t its squared standard
error. Asymptotic means here what it means for a t-test: right as users grow many.
"""

from __future__ import annotations

import math
from functools import cache

TIGHTEST_AT = 10_000
"""Users of both variations at which the interval is tightest.

It has to stand before anyone looks, so it is one number for all. The choice is mild: at α = 0.05
the interval is 1.26, 1.07 and 1.18 times as wide at 1,000, 100,000 and a million users as it would
be if tuned to them, and 1.95, 1.55, 1.66 and 1.82 times the interval for one look at 1,000, 10,000,
100,000 and a million.
"""


def half_width(standard_error: float, users: int, alpha: float) -> float:
    """Half of the interval around an estimate.

    Args:
        standard_error: of the estimate, at this look.
        users: of both variations, at this look; at least one.
        alpha: the share of experiments in which the truth may ever lie outside, between 0 and 1.
    """
    x = users * _rho_squared(alpha)
    return standard_error * math.sqrt((x + 1) / x * (math.log1p(x) - 2 * math.log(alpha)))


@cache
def _rho_squared(alpha: float) -> float:
    """The ρ² by which the interval is tightest at TIGHTEST_AT: where its derivative is zero."""
    from scipy.special import lambertw

    return float(-lambertw(-alpha * alpha / math.e, -1).real - 1) / TIGHTEST_AT
