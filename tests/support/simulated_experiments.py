"""Many small experiments whose true effects are known, and what each user of them did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ENV = "5f0e6b1c-0000-4000-8000-000000000000"
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 7
AGGREGATIONS = ("once", "count", "sum", "average")
EFFECTS = (0.1, 0.2, 0.3, -0.2)
"""Relative effects of the experiments that have one, in turn."""

BASELINE, TREATMENT = "a", "b"
CONVERSION_RATE = 0.3
EVENTS_OF_A_USER = 1.2
MEAN_VALUE = 20.0
_DAY_US = 86_400_000_000
_WINDOW_US = DAYS * _DAY_US


@dataclass(frozen=True)
class Experiment:
    """One experiment of two variations with equal shares.

    Attributes:
        effect: How much larger the expected contribution of a user of the treatment is, as a
            share of the baseline's: 0 for an A/A test.
        contributions: By variation, one number for each user, 0 for who did nothing.
        converted: By variation, how many users had a metric event at or after their exposure.
    """

    key: str
    aggregation: str
    effect: float
    contributions: dict[str, NDArray[np.float64]]
    converted: dict[str, int]


@dataclass
class Simulated:
    """The experiments and their events."""

    experiments: list[Experiment] = field(default_factory=list)
    evaluations: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Experiment, user, variation, microseconds since START."""
    metrics: list[tuple[int, int, float, int]] = field(default_factory=list)
    """Experiment, user, value, microseconds since START."""

    def seed(self) -> str:
        """The rows of seeds/experiments.csv."""
        end = START + timedelta(days=DAYS)
        rows = (
            f"{one.key},{ENV},{one.key},{one.key}-done,{one.aggregation},higher,{BASELINE},"
            f"{START:%Y-%m-%d},{end:%Y-%m-%d},{BASELINE}:0.5|{TREATMENT}:0.5,"
            for one in self.experiments
        )
        head = (
            "experiment_key,env_id,flag_key,metric_event,aggregation,success,"
            "baseline_variation_id,starts_at,ends_at,expected_shares,id_type"
        )
        return "\n".join((head, *rows, ""))

    def write(self, path: Path) -> None:
        """The events, as a parquet dump of FeatBit's ClickHouse table."""
        keys = [one.key for one in self.experiments]
        evaluated = [
            f'{{"featureFlagKey":"{keys[e]}","userKeyId":"u{u}","sendToExperiment":true,'
            f'"variationId":"{(BASELINE, TREATMENT)[v]}"}}'
            for e, u, v, _ in self.evaluations
        ]
        measured = [
            f'{{"eventName":"{keys[e]}-done","numericValue":{value},"user":{{"keyId":"u{u}"}}}}'
            for e, u, value, _ in self.metrics
        ]
        size = len(evaluated) + len(measured)
        start_us = round(START.timestamp()) * 1_000_000
        clock = [at for *_, at in self.evaluations] + [at for *_, at in self.metrics]
        table = pa.table(
            {
                "uuid": [f"{n:08x}-0000-4000-8000-000000000000" for n in range(size)],
                "distinct_id": [f"{ENV}-{keys[e]}" for e, *_ in self.evaluations]
                + [f"{keys[e]}-done" for e, *_ in self.metrics],
                "env_id": [ENV] * size,
                "event": ["FlagValue"] * len(evaluated) + ["CustomEvent"] * len(measured),
                "properties": evaluated + measured,
                "timestamp": pa.array(
                    np.array(clock, np.int64) + start_us, pa.timestamp("us", tz="UTC")
                ),
            }
        )
        pq.write_table(table, path)


def simulate(
    *, without_effect: int, with_effect: int, users: int, users_with_effect: int, seed: int = 1
) -> Simulated:
    """Experiments without an effect first, then those with one; aggregations in turn.

    A user is evaluated once or more; who acts does so first on the instant of exposure, and all of
    it within the window. One in ten also acts before, which counts for nothing.
    """
    chance = np.random.default_rng(seed)
    made = Simulated()
    for number in range(without_effect + with_effect):
        aggregation = AGGREGATIONS[number % len(AGGREGATIONS)]
        place = number - without_effect
        effect = EFFECTS[place // len(AGGREGATIONS) % len(EFFECTS)] if place >= 0 else 0.0
        _add(made, number, aggregation, effect, users if place < 0 else users_with_effect, chance)
    return made


def _add(
    made: Simulated,
    number: int,
    aggregation: str,
    effect: float,
    users: int,
    chance: np.random.Generator,
) -> None:
    variation = chance.integers(0, 2, users)
    lift = 1 + effect * variation
    exposed_us = chance.integers(_DAY_US // 24, _WINDOW_US - 1, users)
    again = chance.poisson(0.8, users)
    if aggregation == "count":
        events = chance.poisson(EVENTS_OF_A_USER * lift)
    else:
        rate = CONVERSION_RATE * (lift if aggregation == "once" else 1)
        events = (chance.random(users) < rate) * (1 + chance.poisson(0.5, users))
    before = chance.random(users) < 0.1
    contribution = np.zeros(users)
    for user in range(users):
        at = int(exposed_us[user])
        made.evaluations.append((number, user, int(variation[user]), at))
        for late in chance.integers(at, _WINDOW_US, again[user]):
            made.evaluations.append((number, user, int(variation[user]), int(late)))
        if before[user]:
            value = round(float(chance.exponential(MEAN_VALUE)), 2)
            made.metrics.append((number, user, value, int(chance.integers(0, at))))
        if not (count := int(events[user])):
            continue
        mean = MEAN_VALUE * (lift[user] if aggregation in ("sum", "average") else 1)
        values = np.round(chance.exponential(mean, count), 2)
        # the first of them on the instant of exposure
        times = [at, *chance.integers(at, _WINDOW_US, count - 1)]
        made.metrics += [
            (number, user, float(value), int(when))
            for value, when in zip(values, times, strict=True)
        ]
        contribution[user] = {
            "once": 1,
            "count": count,
            "sum": values.sum(),
            "average": values.mean(),
        }[aggregation]
    made.experiments.append(
        Experiment(
            key=f"x{number}",
            aggregation=aggregation,
            effect=effect,
            contributions={
                BASELINE: contribution[variation == 0],
                TREATMENT: contribution[variation == 1],
            },
            converted={
                BASELINE: int((events[variation == 0] > 0).sum()),
                TREATMENT: int((events[variation == 1] > 0).sum()),
            },
        )
    )
