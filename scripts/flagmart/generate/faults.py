r"""The faults real streams have, put in on purpose.

`dirty` is the probability of each line, by itself and by hash, to carry exactly one fault; the
kinds are equally likely. So `dirty` counts lines of the stream, and the share found lies close to
it, not on it. A kind says on a metric event what stands beside the slash:

repeat              an exact copy of one of the 1,000 or so lines before
conflict            the uuid of such a line with other content
late                the client's clock is 1 hour to 5 days before the arrival (so perhaps
                    before the window)
future_clock        the client's clock is in 2099: the window's first day becomes 2099-01-01
clock_zero          no client's clock: 1970-01-01T00:00:00Z
clock_seconds       seconds sent as milliseconds: a day in January 1970
null_name           userName, tag_3 / user.name, tag_2 are null
escaped_name        a name full of \u escapes: surrogates, a line separator, a tab, quotes, …
broken_properties   the text of properties ends in the middle of a key; the envelope is whole
broken_line         the line ends after 20 to 319 characters
missing_user        no user key: userKeyId, tag_0 / user.keyId, tag_0 are left out
missing_variation   variationId, tag_1 are left out / eventName, distinct_id null, as before v6
older_tags          before 1.2: tag_2 a JSON bool / tag_1 a JSON number
older_shape         before 12 November 2022: no tag_3 / no tag_2, and
                    user {"KeyId","Name","CustomizedProperties":[{"Name","Value"}]}
refused             FeatBit takes it, a destination would drop it: a user key of 600
                    characters / a metric named with a `|`

A copied or conflicting line is never taken from one that is a repeat, a conflict or broken_line
itself, but the line it is taken from may carry another fault, which a copy then shows as well; it
is counted once, as a repeat. Where there is no such line before, at the very start, the line
stays clean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import pyarrow as pa
import pyarrow.compute as pc

from flagmart.generate import columns as c
from flagmart.generate.columns import Column
from flagmart.generate.hashing import Stream
from flagmart.generate.lines import Writer
from flagmart.generate.plan import Plan
from flagmart.generate.text import inner, outer


class Fault(IntEnum):
    """The kinds; the module's docstring describes them. NONE is a clean line."""

    NONE = 0
    REPEAT = 1
    CONFLICT = 2
    LATE = 3
    FUTURE_CLOCK = 4
    CLOCK_ZERO = 5
    CLOCK_SECONDS = 6
    NULL_NAME = 7
    ESCAPED_NAME = 8
    BROKEN_PROPERTIES = 9
    BROKEN_LINE = 10
    MISSING_USER = 11
    MISSING_VARIATION = 12
    OLDER_TAGS = 13
    OLDER_SHAPE = 14
    REFUSED = 15


KINDS = len(Fault) - 1
REACH = 1_000
"""A copy's original is looked for from 1 to REACH lines before, then backwards."""

_HOUR_MS = 3_600_000
_LATE_MS = 5 * 24 * _HOUR_MS
_YEAR_2099_MS = 4_070_908_800_000
_ODD_NAME = '\U0001f680 Zoë\u2028\t"q" \\ <b>\'+`\u00a0'


def _field(name: str, text: str = r"[^\"]*") -> str:
    """A pattern for one member of properties that is a string, as it lies in the envelope."""
    return rf'\\"{name}\\":\\"{text}\\"'


def _literal(text: str) -> str:
    """A replacement in which a backslash is no back-reference."""
    return text.replace("\\", "\\\\")


_LONG_KEY = "u" * 600
_BARRED_NAME = "checkout|pay"

_NAME_MEMBERS = {
    # evaluation: userName, tag_3; metric event: user.name, tag_2
    False: ("userName", "tag_3"),
    True: ("name", "tag_2"),
}

_REWRITES: Mapping[tuple[Fault, bool], tuple[tuple[str, str], ...]] = {
    (kind, metric): tuple(rules)
    for kind, metric, rules in (
        *(
            (kind, metric, [(_field(name), _literal(outer(f'"{name}":{text}'))) for name in names])
            for metric, names in _NAME_MEMBERS.items()
            for kind, text in (
                (Fault.NULL_NAME, "null"),
                (Fault.ESCAPED_NAME, f'"{inner(_ODD_NAME)}"'),
            )
        ),
        *(
            (
                Fault.BROKEN_PROPERTIES,
                metric,
                [(r'\\"tag_1\\":.*","timestamp"', r'\\"ta","timestamp"')],
            )
            for metric in (False, True)
        ),
        (Fault.MISSING_USER, False, [(_field("userKeyId") + ",", ""), (_field("tag_0") + ",", "")]),
        (Fault.MISSING_USER, True, [(_field("keyId") + ",", ""), (_field("tag_0") + ",", "")]),
        (
            Fault.MISSING_VARIATION,
            False,
            [(_field("variationId") + ",", ""), (_field("tag_1") + ",", "")],
        ),
        (
            Fault.MISSING_VARIATION,
            True,
            [
                (_field("eventName"), _literal(outer('"eventName":null'))),
                (r'"distinct_id":"[^"]*"', '"distinct_id":null'),
            ],
        ),
        (Fault.OLDER_TAGS, False, [(_field("tag_2", "(true|false)"), r'\\"tag_2\\":\1')]),
        (Fault.OLDER_TAGS, True, [(_field("tag_1", r"([-0-9.]+)"), r'\\"tag_1\\":\1')]),
        (Fault.OLDER_SHAPE, False, [("," + _field("tag_3"), "")]),
        (
            Fault.OLDER_SHAPE,
            True,
            [
                ("," + _field("tag_2"), ""),
                (
                    r'\{\\"keyId\\":\\"([^"]*)\\",\\"name\\":\\"([^"]*)\\"\}',
                    r'{\\"KeyId\\":\\"\1\\",\\"Name\\":\\"\2\\",\\"CustomizedProperties\\":'
                    r'[{\\"Name\\":\\"plan\\",\\"Value\\":\\"free\\"}]}',
                ),
            ],
        ),
        (
            Fault.REFUSED,
            False,
            [
                (_field(name), _literal(outer(f'"{name}":"{_LONG_KEY}"')))
                for name in ("userKeyId", "tag_0")
            ],
        ),
        (
            Fault.REFUSED,
            True,
            [
                (_field("eventName"), _literal(outer(f'"eventName":"{_BARRED_NAME}"'))),
                (r'"distinct_id":"[^"]*"', f'"distinct_id":"{_BARRED_NAME}"'),
            ],
        ),
    )
}


@dataclass(frozen=True)
class Choice:
    """What becomes of a run of lines.

    Attributes:
        own: the fault of each line, for the count.
        shown: the fault its text has; another than `own` for a repeat.
        content: the line whose content it has.
        named: the line whose uuid it bears.
    """

    own: Column
    shown: Column
    content: Column
    named: Column


class Dirt:
    """Chooses faults and writes lines with them."""

    def __init__(self, plan: Plan, writer: Writer) -> None:
        self._plan = plan
        self._writer = writer
        # 53 bits: what a float holds exactly, and 1.0 is every line
        self._under = int(plan.world.options.dirty * 2**53)

    def choose(self, line: Column) -> Choice:
        """Faults of the lines and where their content comes from."""
        kind = self._kind(line)
        at_copy = pc.indices_nonzero(_any_of(kind, Fault.REPEAT, Fault.CONFLICT))
        original = self._original(line.take(at_copy))
        found = pc.is_valid(original)
        own = _put(kind, at_copy, pc.if_else(found, kind.take(at_copy), c.u64(Fault.NONE)))
        original = pc.coalesce(original, line.take(at_copy))

        repeats = _any_of(own, Fault.REPEAT)
        source = _put(line, at_copy, original)
        content = pc.if_else(repeats, source, line)
        return Choice(own, pc.if_else(repeats, self._kind(content), own), content, source)

    def write(self, choice: Choice) -> Column:
        """The text of the lines, faults in."""
        text = self._writer.write(choice.content, choice.named, self._wrong_ms(choice))
        metric = self._plan.is_metric(choice.content)
        places: list[Column] = []
        rewritten: list[Column] = []
        for kind in set(pc.unique(choice.shown).to_pylist()) & _REWRITTEN:
            for is_metric in (False, True):
                of_kind = pc.and_(
                    _any_of(choice.shown, Fault(kind)),
                    pc.equal(metric, pa.scalar(is_metric)),
                )
                at = pc.indices_nonzero(of_kind)
                lines = text.take(at)
                if kind == Fault.BROKEN_LINE:
                    lines = self._cut(choice.content.take(at), lines)
                else:
                    for pattern, replacement in _REWRITES[Fault(kind), is_metric]:
                        lines = pc.replace_substring_regex(lines, pattern, replacement)
                places.append(at)
                rewritten.append(lines)
        if not places:
            return text
        return _put(text, pa.concat_arrays(places), pa.concat_arrays(rewritten))

    def _kind(self, line: Column) -> Column:
        """What hash says: a copy that will find no original is still called a copy."""
        faulty = pc.less(c.right(self._plan.chance(Stream.FAULTY, line), 11), c.u64(self._under))
        drawn = c.remainder(self._plan.chance(Stream.FAULT_KIND, line), KINDS)
        return pc.if_else(faulty, c.add(drawn, 1), c.u64(Fault.NONE))

    def _original(self, line: Column) -> Column:
        """The line each copies; null where there is none."""
        drawn = self._plan.chance(Stream.FAULT_DETAIL, line)
        back = c.add(c.remainder(drawn, REACH), 1)
        # one more than the original's number, so that 0 means: none
        after = pc.if_else(pc.less_equal(back, line), c.add(pc.subtract(line, back), 1), line)
        while True:
            here = pc.if_else(pc.equal(after, c.u64(0)), after, pc.subtract(after, c.u64(1)))
            unfit = pc.and_(
                pc.greater(after, c.u64(0)),
                _any_of(self._kind(here), Fault.REPEAT, Fault.CONFLICT, Fault.BROKEN_LINE),
            )
            if not pc.any(unfit).as_py():
                none = pa.scalar(None, pa.uint64())
                return pc.if_else(pc.equal(after, c.u64(0)), none, here)
            after = pc.if_else(unfit, pc.subtract(after, c.u64(1)), after)

    def _wrong_ms(self, choice: Choice) -> Column:
        """What a wrong clock says, ms since 1970; null where the clock is right."""
        line = choice.content
        right_ms = self._plan.clock.client_ms(line)
        drawn = self._plan.chance(Stream.FAULT_DETAIL, line)
        late = c.add(c.remainder(drawn, _LATE_MS - _HOUR_MS), _HOUR_MS)
        since_start = pc.subtract(right_ms, c.u64(self._plan.world.start_ms))
        wrong = pa.nulls(len(line), pa.uint64())
        for kind, ms in (
            (Fault.LATE, pc.subtract(self._plan.clock.arrived_ms(line), late)),
            (Fault.FUTURE_CLOCK, c.add(since_start, _YEAR_2099_MS)),
            (Fault.CLOCK_ZERO, c.u64(0)),
            (Fault.CLOCK_SECONDS, c.over(right_ms, 1000)),
        ):
            wrong = pc.if_else(_any_of(choice.shown, kind), ms, wrong)
        return wrong

    def _cut(self, line: Column, text: Column) -> Column:
        lengths = c.add(c.remainder(self._plan.chance(Stream.FAULT_DETAIL, line), 300), 20)
        cut = zip(text.to_pylist(), lengths.to_pylist(), strict=True)
        return pa.array([whole[:length] + "\n" for whole, length in cut], pa.string())


_REWRITTEN = {int(kind) for kind, _ in _REWRITES} | {int(Fault.BROKEN_LINE)}


def _any_of(kind: Column, *faults: Fault) -> Column:
    return pc.is_in(kind, value_set=c.numbers([int(fault) for fault in faults]))


def _put(column: Column, places: Column, values: Column) -> Column:
    """The column with `values` at `places` (distinct)."""
    order = pc.sort_indices(places)
    here = pc.is_in(c.counting(len(column)), value_set=places.cast(pa.uint64()))
    return pc.replace_with_mask(column, here, values.take(order))
