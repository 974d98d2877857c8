"""What exists before the first event: flags, variations, experiments and their truth."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property

from flagmart.generate.hashing import Stream, guid, key
from flagmart.generate.options import Options

BUCKETS = 12_000
"""Places of users per flag: a multiple of 2, 3 and 100, so that splits and percentages are
exact."""

ROLLOUTS = (
    (0, 10, 25, 50, 100),
    (100, 50, 25, 10, 0),
    (30, 30, 30, 30, 30),
    (100, 100, 0, 50, 100),
)
"""Percent of users with a treatment, by fifth of the window; rollout flags take them in turn."""

STAGES = 5

RATE_SCALE = 10_000
VALUE_SCALE = 4
"""Values are whole quarters, which float32 and its shortest text hold exactly."""

VALUE_SPREAD = 63
"""The sum of two even numbers of 0 … 63 quarters less this: mean 0, between -15.75 and 15.75."""


class Kind(StrEnum):
    """What an experiment's metric event says."""

    CONVERSION = "conversion"
    VALUE = "value"


@dataclass(frozen=True)
class Design:
    """The known effect of an experiment; per variation, the baseline first."""

    kind: Kind
    metric_event: str
    rates: tuple[int, ...]  # of RATE_SCALE
    quarters: tuple[int, ...]  # mean value, times VALUE_SCALE


DESIGNS = (
    Design(Kind.CONVERSION, "checkout-completed", (2000, 2600), (4, 4)),
    Design(Kind.VALUE, "order.value", (5000, 5000), (80, 92)),
    Design(Kind.CONVERSION, "signup-finished", (3000, 3000, 2400), (4, 4, 4)),
    Design(Kind.VALUE, "basket_value", (4000, 4000), (100, 100)),
)

EXPERIMENT_KEYS = (
    "checkout-redesign",
    "pricing.order-total",
    "signup_form-v2",
    "basket_upsell.2026",
)
ROLLOUT_KEYS = (
    "new-navigation",
    "search.ranker-v3",
    "dark_mode",
    "recommendations",
    "payments.provider-b",
    "image-lazy-loading",
    "API.rate-limits",
)
ROLLOUT_SIZES = (2, 4, 2, 3)
"""Variations of the rollout flags, in turn: boolean where 2."""


@dataclass(frozen=True)
class Flag:
    """One flag; `shares` is the part of BUCKETS with a treatment in each stage of the window."""

    key: str
    variation_ids: tuple[str, ...]
    shares: tuple[int, ...]
    design: Design | None = None
    metric_event: str = ""


@dataclass(frozen=True)
class VariationTruth:
    """What is true of one variation: expectations of what the package's docstring says."""

    variation_id: str
    conversion_rate: float
    mean_value: float


@dataclass(frozen=True)
class ExperimentTruth:
    """What is true of one experiment; the first variation is the baseline."""

    env_id: str
    flag_key: str
    metric_event: str
    kind: Kind
    baseline_variation_id: str
    variations: tuple[VariationTruth, ...]


@dataclass(frozen=True)
class Truth:
    """What a perfect analysis of a clean stream expects; the window is `[start, end)`, UTC."""

    env_id: str
    start: datetime
    end: datetime
    experiments: tuple[ExperimentTruth, ...]


@dataclass(frozen=True)
class World:
    """The options and what follows from them. Flags: the experiments first, then the rollouts."""

    options: Options

    @cached_property
    def env_id(self) -> str:
        """The one environment of the stream."""
        return guid(key(self.options.seed, Stream.ENVIRONMENT), 0)

    @property
    def start_ms(self) -> int:
        """First millisecond of the window, since 1970."""
        return round(_midnight(self.options).timestamp()) * 1000

    @property
    def window_ms(self) -> int:
        """Length of the window."""
        return self.options.days * 86_400_000

    @property
    def experiments(self) -> int:
        """How many flags, from the first, are experiments."""
        return max(1, self.options.flags // 3)

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """All flags."""
        found: list[Flag] = []
        for number in range(self.options.flags):
            if number < self.experiments:
                found.append(self._experiment(number))
            else:
                found.append(self._rollout(number, number - self.experiments))
        return tuple(found)

    def _experiment(self, number: int) -> Flag:
        design = DESIGNS[number % len(DESIGNS)]
        size = len(design.rates)
        return Flag(
            key=_repeated(EXPERIMENT_KEYS, number),
            variation_ids=self._variation_ids(number, size),
            shares=(BUCKETS * (size - 1) // size,) * STAGES,
            design=design,
            metric_event=_repeated(tuple(one.metric_event for one in DESIGNS), number),
        )

    def _rollout(self, number: int, place: int) -> Flag:
        percents = ROLLOUTS[place % len(ROLLOUTS)]
        return Flag(
            key=_repeated(ROLLOUT_KEYS, place),
            variation_ids=self._variation_ids(number, ROLLOUT_SIZES[place % len(ROLLOUT_SIZES)]),
            shares=tuple(BUCKETS * percent // 100 for percent in percents),
        )

    def _variation_ids(self, flag: int, size: int) -> tuple[str, ...]:
        stream_key = key(self.options.seed, Stream.VARIATION_ID)
        return tuple(guid(stream_key, flag * 16 + place) for place in range(size))


def truth(options: Options) -> Truth:
    """The known effects of the stream's experiments, to measure an analysis against.

    The estimand is defined in the package's docstring: per exposed user, at or after the first
    exposure.
    """
    world = World(options)
    start = _midnight(options)
    return Truth(
        env_id=world.env_id,
        start=start,
        end=start + timedelta(days=options.days),
        experiments=tuple(
            ExperimentTruth(
                env_id=world.env_id,
                flag_key=flag.key,
                metric_event=flag.metric_event,
                kind=flag.design.kind,
                baseline_variation_id=flag.variation_ids[0],
                variations=tuple(
                    VariationTruth(variation_id, rate / RATE_SCALE, quarters / VALUE_SCALE)
                    for variation_id, rate, quarters in zip(
                        flag.variation_ids, flag.design.rates, flag.design.quarters, strict=True
                    )
                ),
            )
            for flag in world.flags
            if flag.design is not None
        ),
    )


def _midnight(options: Options) -> datetime:
    return datetime.combine(options.start, time(), UTC)


def _repeated(names: tuple[str, ...], number: int) -> str:
    """The names in turn; from the second round on with the round's number."""
    turn, place = divmod(number, len(names))
    return names[place] if turn == 0 else f"{names[place]}-{turn + 1}"
