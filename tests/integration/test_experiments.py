"""Experiments in one build: their counts and statistics, and FeatBit's query on the same events."""

import json
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from support.command import flagmart
from support.dbt_project import build, copy_project, query
from support.simulated_experiments import BASELINE, ENV, TREATMENT, Simulated, simulate

AT = datetime(2026, 2, 1, tzinfo=UTC)
MODELS = ("--select", "+fct_experiment_results", "+fct_exposures")
FEATBIT = """
    with exposed as (
        select flag_key, user_key, variation_id
        from stg_featbit__flag_evaluations
        where env_id = $1 and send_to_experiment
    ),
    per_user as (
        select exposed.flag_key, exposed.user_key, exposed.variation_id,
            sum(metrics.numeric_value) as total
        from exposed
        inner join stg_featbit__metric_events as metrics
            on exposed.user_key = metrics.user_key
            and metrics.event_name = exposed.flag_key || '-done'
        where metrics.env_id = $1
        group by all
    )
    select flag_key, variation_id, count(*), avg(total) from per_user group by all
"""
"""How FeatBit 5 takes a numeric metric: every evaluation times every event, before or after."""


@dataclass(frozen=True)
class Built:
    """The simulated world, and the data folder it was built in, once."""

    world: Simulated
    data: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """1,000 A/A tests and 200 A/B tests, each a row of the seed, in one build."""
    folder = tmp_path_factory.mktemp("experiments")
    world = simulate(without_effect=1000, with_effect=200, users=100, users_with_effect=400)
    project = copy_project(folder)
    (project / "seeds/experiments.csv").write_text(world.seed(), encoding="utf-8")
    world.write(folder / "events.parquet")
    data = folder / "data"
    flagmart("ingest", "files", str(folder / "events.parquet"), data=data, at=AT)
    build(*MODELS, data=data, project=project)
    return Built(world, data)


def test_every_experiment_counts_what_its_users_did(built: Built) -> None:
    found = {
        (key, variation): tuple(figures)
        for key, variation, *figures in query(
            built.data,
            "select experiment_key, variation_id, users, conversions, value_sum, "
            "value_sum_squares, users_in_two_variations, users_beyond_range, is_baseline, "
            "expected_share from fct_experiment_results",
        )
    }
    assert len(found) == 2 * len(built.world.experiments) == 2400
    for one in built.world.experiments:
        for variation, numbers in one.contributions.items():
            users, conversions, value_sum, squares, *rest = found[one.key, variation]
            assert (users, conversions) == (len(numbers), one.converted[variation]), one.key
            assert value_sum == pytest.approx(numbers.sum(), rel=1e-12), one.key
            assert squares == pytest.approx((numbers**2).sum(), rel=1e-12), one.key
            assert rest == [0, 0, variation == BASELINE, 0.5]


def test_the_last_day_of_the_curve_is_the_result(built: Built) -> None:
    columns = "experiment_key, variation_id, users, conversions, value_sum, value_sum_squares"
    last = f"select {columns} from fct_experiment_daily where day_on = '2026-01-07'"
    assert query(built.data, f"{last} except select {columns} from fct_experiment_results") == []
    assert query(built.data, f"select count(*) from ({last})") == [(2400,)]
    assert query(built.data, "select count(*) from fct_experiment_daily") == [(2400 * 7,)]
    # it grows by whole users, and sums of what may be negative only by what they do
    assert query(
        built.data,
        "select count(*) from (select users - lag(users, 1, 0) over (partition by experiment_key, "
        "variation_id order by day_on) as more from fct_experiment_daily) where more < 0",
    ) == [(0,)]


def test_exposures_are_the_users_of_experiments_that_see_all(built: Built) -> None:
    counted = (
        "select flag_key, variation_id, count(*) as users from fct_exposures group by all "
        "except select experiment_key, variation_id, users from fct_experiment_results"
    )
    assert query(built.data, counted) == []
    assert query(built.data, "select sum(exposures) from fct_exposures") == [
        (len(built.world.evaluations),)
    ]


def test_featbits_query_multiplies_what_ours_counts_once(built: Built) -> None:
    theirs = {
        (flag, variation): (users, mean)
        for flag, variation, users, mean in query(built.data, FEATBIT, ENV)
    }
    ours = {
        (key, variation): value_sum / users
        for key, variation, value_sum, users in query(
            built.data,
            "select experiment_key, variation_id, value_sum, users from fct_experiment_results",
        )
    }
    inflated, honest, dropped = [], [], []
    for one in built.world.experiments:
        if one.aggregation != "sum":
            continue
        for name, numbers in one.contributions.items():
            users, mean = theirs[one.key, name]
            inflated.append(mean / numbers.mean())
            honest.append(ours[one.key, name] / numbers.mean())
            dropped.append(1 - users / len(numbers))
    print(
        f"mean of a user's sum over the truth: FeatBit's {statistics.mean(inflated):.2f}, "
        f"ours {statistics.mean(honest):.2f}; users FeatBit leaves out: "
        f"{statistics.mean(dropped):.0%}"
    )
    assert len(inflated) == 600
    assert min(inflated) > 2
    assert min(dropped) > 0.3
    assert honest == pytest.approx([1.0] * len(honest), rel=1e-9)


@pytest.fixture(scope="module")
def told(built: Built) -> dict[str, dict[str, Any]]:
    """By experiment, what the command says of it; `treatment` is its other variation."""
    found = json.loads(flagmart("experiments", "--output", "json", data=built.data, at=AT))
    by_key = {one["experiment_key"]: one for one in found}
    for one in by_key.values():
        [one["treatment"]] = [v for v in one["variations"] if v["variation_id"] == TREATMENT]
    return by_key


def binomial(draws: int, share: float) -> tuple[float, float]:
    """What a share comes to in so many draws, but for one time in a thousand."""
    low, high = stats.binom.interval(0.999, draws, share)
    return float(low), float(high)


def test_a_test_of_the_counts_is_the_test_of_the_users(
    built: Built, told: dict[str, dict[str, Any]]
) -> None:
    for one in built.world.experiments:
        found = told[one.key]["treatment"]
        samples = one.contributions[TREATMENT], one.contributions[BASELINE]
        right = stats.ttest_ind(*samples, equal_var=False)
        interval = right.confidence_interval()
        assert found["t_statistic"] == pytest.approx(right.statistic, rel=1e-9, abs=1e-9), one.key
        assert found["degrees_of_freedom"] == pytest.approx(right.df, rel=1e-9), one.key
        assert found["p_value"] == pytest.approx(right.pvalue, rel=1e-9), one.key
        assert found["difference"]["interval"] == pytest.approx(
            [interval.low, interval.high], rel=1e-9, abs=1e-9
        ), one.key


def test_experiments_without_effect_alarm_as_often_as_alpha_says(
    built: Built, told: dict[str, dict[str, Any]]
) -> None:
    without = [told[one.key] for one in built.world.experiments if one.effect == 0]
    assert len(without) == 1000
    alarms = sum(one["treatment"]["p_value"] < 0.05 for one in without)
    low, high = binomial(1000, 0.05)
    assert low <= alarms <= high
    # whoever looks along the way is misled less often than that
    edges = [one["treatment"]["difference"]["sequence"] for one in without]
    assert sum(not low <= 0 <= high for low, high in edges) < alarms
    # and a wrong split is seen about once in a thousand
    assert sum(not one["is_trusted"] for one in told.values()) <= binomial(1200, 0.001)[1]


def test_intervals_of_experiments_with_an_effect_cover_it(
    built: Built, told: dict[str, dict[str, Any]]
) -> None:
    true = [
        (told[one.key]["treatment"], one.effect) for one in built.world.experiments if one.effect
    ]
    assert len(true) == 200
    covered = {
        name: sum(
            found["relative_effect"][name][0] <= effect <= found["relative_effect"][name][1]
            for found, effect in true
        )
        for name in ("interval", "sequence")
    }
    low, high = binomial(200, 0.95)
    assert low <= covered["interval"] <= high
    assert covered["interval"] <= covered["sequence"]
    # the alarms are of the right side, and the effects are not too small to be found at all
    found = [
        (one["relative_effect"]["value"] > 0) == (e > 0) for one, e in true if one["p_value"] < 0.05
    ]
    assert sum(found) > 0.97 * len(found) > 20
