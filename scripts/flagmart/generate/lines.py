"""The text of lines: Kafka envelope JSON, column by column."""

import pyarrow as pa
import pyarrow.compute as pc

from flagmart.generate import columns as c
from flagmart.generate.columns import Column
from flagmart.generate.hashing import Stream
from flagmart.generate.plan import Plan
from flagmart.generate.text import APPLICATIONS, FIRST_NAMES, inner, outer

_START = '{"uuid":"'
_TIME = outer('"}') + '","timestamp":'
_END = "}\n"


class Writer:
    """Writes any lines; holds what text does not change, by flag, variation or event."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        env = plan.world.env_id
        flags = plan.world.flags
        pairs = [(flag, one) for flag in flags for one in flag.variation_ids]
        sent = {flag.key: "false" if flag.design is None else "true" for flag in flags}
        self._flag = pa.array(
            [
                f'","distinct_id":"{env}-{flag.key}","env_id":"{env}","event":"FlagValue","properties":"'
                + outer(
                    f'{{"route":"/Variation/GetMultiOptionVariation","flagId":"{env}-{flag.key}",'
                    f'"envId":"{env}","accountId":"","projectId":"","featureFlagKey":"{flag.key}",'
                    f'"sendToExperiment":{sent[flag.key]},"userKeyId":"user-'
                )
                for flag in flags
            ]
        )
        self._variation = pa.array(
            [outer(f'","variationId":"{one}","tag_0":"user-') for _, one in pairs]
        )
        self._variation_tags = pa.array(
            [
                outer(f'","tag_1":"{one}","tag_2":"{sent[flag.key]}","tag_3":"')
                for flag, one in pairs
            ]
        )
        self._event = pa.array(
            [
                f'","distinct_id":"{name}","env_id":"{env}","event":"{event}","properties":"'
                + outer(
                    f'{{"route":"index/metric","type":"{event}","eventName":"{name}","numericValue":'
                )
                for event, name in plan.metric_events
            ]
        )
        self._application = pa.array(
            [
                outer(
                    f'"}},"applicationType":"{name}","projectId":"","envId":"{env}",'
                    '"accountId":"","tag_0":"user-'
                )
                for name in APPLICATIONS
            ]
        )
        self._value = pa.array(plan.values)
        self._name = pa.array([outer(inner(name + " ")) for name in FIRST_NAMES])
        hexadecimal = [f"{number:04x}" for number in range(2**16)]
        self._hex = pa.array(hexadecimal)
        self._dash_hex = pa.array([f"-{digits}" for digits in hexadecimal])
        self._version = pa.array([f"-4{digits[1:]}" for digits in hexadecimal[: 2**12]])
        self._variant = pa.array([f"-{digits}" for digits in hexadecimal[2**15 : 2**15 + 2**14]])

    def write(self, line: Column, named: Column, wrong_ms: Column | None = None) -> Column:
        """The text of the lines, each with its line feed.

        Args:
            line: numbers of the lines whose content is wanted, in any order.
            named: numbers of the lines whose uuid they bear; `line` but for conflicting repeats.
            wrong_ms: what the client's clock says instead, ms since 1970; null where it is right.
        """
        is_metric = self._plan.is_metric(line)
        # two templates: write each kind of line by itself, then bring them back in order
        at_metric = pc.indices_nonzero(is_metric)
        at_evaluation = pc.indices_nonzero(pc.invert(is_metric))
        if wrong_ms is None:
            wrong_ms = pa.nulls(len(line), pa.uint64())
        written = pa.concat_arrays(
            [
                self._evaluations(
                    line.take(at_evaluation),
                    named.take(at_evaluation),
                    wrong_ms.take(at_evaluation),
                ),
                self._metrics(
                    line.take(at_metric), named.take(at_metric), wrong_ms.take(at_metric)
                ),
            ]
        )
        metrics_so_far = pc.cumulative_sum(is_metric.cast(pa.uint64()))
        place = c.counting(len(line))
        return written.take(
            pc.if_else(
                is_metric,
                c.add(pc.subtract(metrics_so_far, c.u64(1)), len(at_evaluation)),
                pc.subtract(place, metrics_so_far),
            )
        )

    def _evaluations(self, line: Column, named: Column, wrong_ms: Column) -> Column:
        said = self._plan.evaluations(line)
        user, name = said.user.cast(pa.string()), self._names(said.user)
        return pc.binary_join_element_wise(
            *self._uuid(named),
            self._flag.take(said.flag),
            user,
            outer('","userName":"'),
            name,
            user,
            self._variation.take(said.variation),
            user,
            self._variation_tags.take(said.variation),
            name,
            user,
            _TIME,
            _microseconds(said.client_ms, wrong_ms),
            _END,
            "",
        )

    def _metrics(self, line: Column, named: Column, wrong_ms: Column) -> Column:
        said = self._plan.metrics(line)
        user, name = said.user.cast(pa.string()), self._names(said.user)
        value = self._value.take(said.value)
        application = c.remainder(
            self._plan.chance(Stream.APPLICATION, said.user), len(APPLICATIONS)
        )
        return pc.binary_join_element_wise(
            *self._uuid(named),
            self._event.take(said.event),
            value,
            outer(',"user":{"keyId":"user-'),
            user,
            outer('","name":"'),
            name,
            user,
            self._application.take(application),
            user,
            outer('","tag_1":"'),
            value,
            outer('","tag_2":"'),
            name,
            user,
            _TIME,
            _microseconds(said.client_ms, wrong_ms),
            _END,
            "",
        )

    def _names(self, user: Column) -> Column:
        return self._name.take(c.remainder(self._plan.chance(Stream.NAME, user), len(FIRST_NAMES)))

    def _uuid(self, line: Column) -> list[Column | str]:
        """The line's start and its version 4 uuid, in pieces of 16 bits."""
        high = self._plan.chance(Stream.UUID_HIGH, line)
        low = self._plan.chance(Stream.UUID_LOW, line)

        def part(word: Column, shift: int, bits: int) -> Column:
            return c.low_bits(c.right(word, shift), 2**bits - 1)

        return [
            _START,
            self._hex.take(part(high, 48, 16)),
            self._hex.take(part(high, 32, 16)),
            self._dash_hex.take(part(high, 16, 16)),
            self._version.take(part(high, 0, 12)),
            self._variant.take(part(low, 48, 14)),
            self._dash_hex.take(part(low, 32, 16)),
            self._hex.take(part(low, 16, 16)),
            self._hex.take(part(low, 0, 16)),
        ]


def _microseconds(right_ms: Column, wrong_ms: Column) -> Column:
    return c.times(pc.coalesce(wrong_ms, right_ms), 1000).cast(pa.string())
