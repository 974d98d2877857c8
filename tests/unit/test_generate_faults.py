"""What `--dirty` puts into a stream: how much of it, and what each kind looks like."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from flagmart.generate import Options
from flagmart.generate import columns as c
from flagmart.generate.faults import KINDS, Dirt, Fault
from flagmart.generate.lines import Writer
from flagmart.generate.plan import Plan
from flagmart.generate.stream import chunks
from flagmart.generate.world import World

CLEAN = Options(events=20_000, users=300, flags=6, days=5, seed=9)
DIRTY = Options(events=20_000, users=300, flags=6, days=5, seed=9, dirty=0.2)
START_US = 1_767_225_600_000_000
HOUR_US = 3_600_000_000

Properties = dict[str, Any]


def lines(options: Options) -> list[str]:
    return [line for chunk in chunks(options) for line in bytes(chunk.text).decode().splitlines()]


def kinds(options: Options) -> list[Fault]:
    plan = Plan(World(options))
    choice = Dirt(plan, Writer(plan)).choose(c.counting(options.events))
    return [Fault(kind) for kind in choice.own.to_pylist()]


@pytest.fixture(scope="module")
def clean() -> list[str]:
    return lines(CLEAN)


@pytest.fixture(scope="module")
def dirty() -> list[str]:
    return lines(DIRTY)


@pytest.fixture(scope="module")
def chosen() -> list[Fault]:
    return kinds(DIRTY)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 1.0])
def test_rate_counts_lines_and_spreads_them_over_the_kinds(rate: float) -> None:
    options = Options(events=20_000, users=300, flags=6, dirty=rate)
    counted: Counter[Fault] = Counter()
    written = 0
    for chunk in chunks(options, 5_000):
        counted.update(chunk.faults)
        written += chunk.lines
    assert written == options.events == len(lines(options))
    total = sum(counted.values())
    assert total == pytest.approx(
        rate * options.events, abs=4 * (20_000 * rate * (1 - rate)) ** 0.5 + 3
    )
    assert Fault.NONE not in counted
    for kind in list(Fault)[1:]:
        each = total / KINDS
        assert counted[kind] == pytest.approx(each, abs=4 * each**0.5)


def test_only_lines_with_a_fault_differ_from_the_clean_stream(
    clean: list[str], dirty: list[str], chosen: list[Fault]
) -> None:
    for kind, before, after in zip(chosen, clean, dirty, strict=True):
        assert (before == after) == (kind is Fault.NONE)


def test_faults_are_spread_through_the_stream(chosen: list[Fault]) -> None:
    for first in range(0, len(chosen), 1_000):
        found = sum(kind is not Fault.NONE for kind in chosen[first : first + 1_000])
        assert found == pytest.approx(200, abs=60)


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_repeats_copy_and_conflicts_share_an_id_with_an_earlier_line(rate: float) -> None:
    options = Options(events=20_000, users=300, flags=6, days=5, seed=9, dirty=rate)
    text, found = lines(options), kinds(options)
    by_line: dict[str, int] = {}
    by_uuid: dict[str, int] = {}
    checked: Counter[Fault] = Counter()
    for number, (kind, line) in enumerate(zip(found, text, strict=True)):
        if kind is Fault.REPEAT:
            assert 0 < number - by_line[line] <= 1_100
            json.loads(line)
        elif kind is not Fault.BROKEN_LINE:
            uuid = json.loads(line)["uuid"]
            assert (uuid in by_uuid) == (kind is Fault.CONFLICT)
            if kind is Fault.CONFLICT:
                assert number - by_uuid[uuid] <= 1_100
                assert line not in by_line
            else:
                by_uuid[uuid] = number
                by_line[line] = number
        checked[kind] += 1
    assert checked[Fault.REPEAT] > 200
    assert checked[Fault.CONFLICT] > 200


def test_a_copy_never_stands_first() -> None:
    for seed in range(60):
        options = Options(events=3, seed=seed, dirty=1)
        first = kinds(options)[0]
        assert first not in (Fault.REPEAT, Fault.CONFLICT)
        if first is Fault.NONE:
            return
    pytest.fail("no seed drew a copy for the first line")


def _null_name(before: Properties, after: Properties) -> None:
    if "user" in after:
        assert after["user"] == {"keyId": before["user"]["keyId"], "name": None}
        assert after["tag_2"] is None
    else:
        assert after["userName"] is after["tag_3"] is None
    assert list(before) == list(after)


def _escaped_name(before: Properties, after: Properties) -> None:
    name = after["user"]["name"] if "user" in after else after["userName"]
    assert name == '\U0001f680 Zoë\u2028\t"q" \\ <b>\'+`\u00a0'
    assert after["tag_2" if "user" in after else "tag_3"] == name
    assert list(before) == list(after)


def _missing_user(before: Properties, after: Properties) -> None:
    if "user" in after:
        assert after["user"] == {"name": before["user"]["name"]}
    assert set(before) - set(after) == {"tag_0"} | ({"userKeyId"} & set(before))


def _missing_variation(before: Properties, after: Properties) -> None:
    if "user" in after:
        assert after == before | {"eventName": None}
    else:
        assert set(before) - set(after) == {"variationId", "tag_1"}


def _older_tags(before: Properties, after: Properties) -> None:
    if "user" in after:
        assert after == before | {"tag_1": before["numericValue"]}
    else:
        assert after["tag_2"] is before["sendToExperiment"]
        assert after == before | {"tag_2": before["sendToExperiment"]}


def _older_shape(before: Properties, after: Properties) -> None:
    if "user" in after:
        assert set(before) - set(after) == {"tag_2"}
        assert after["user"] == {
            "KeyId": before["user"]["keyId"],
            "Name": before["user"]["name"],
            "CustomizedProperties": [{"Name": "plan", "Value": "free"}],
        }
    else:
        assert after == {key: value for key, value in before.items() if key != "tag_3"}


def _refused(before: Properties, after: Properties) -> None:
    if "user" in after:
        assert after == before | {"eventName": "checkout|pay"}
    else:
        assert after == before | {"userKeyId": "u" * 600, "tag_0": "u" * 600}


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        (Fault.NULL_NAME, _null_name),
        (Fault.ESCAPED_NAME, _escaped_name),
        (Fault.MISSING_USER, _missing_user),
        (Fault.MISSING_VARIATION, _missing_variation),
        (Fault.OLDER_TAGS, _older_tags),
        (Fault.OLDER_SHAPE, _older_shape),
        (Fault.REFUSED, _refused),
    ],
)
def test_properties_with_a_fault(
    kind: Fault,
    holds: Callable[[Properties, Properties], None],
    clean: list[str],
    dirty: list[str],
    chosen: list[Fault],
) -> None:
    events = set()
    for found, before, after in zip(chosen, clean, dirty, strict=True):
        if found is kind:
            old, new = json.loads(before), json.loads(after)
            holds(json.loads(old["properties"]), json.loads(new["properties"]))
            events.add(new["event"] == "FlagValue")
            renamed = {Fault.MISSING_VARIATION: None, Fault.REFUSED: "checkout|pay"}
            is_evaluation = new["event"] == "FlagValue"
            kept = is_evaluation or kind not in renamed
            assert new["distinct_id"] == (old["distinct_id"] if kept else renamed[kind])
            assert (old["uuid"], old["timestamp"]) == (new["uuid"], new["timestamp"])
            assert all(part not in after for part in ("<", ">", "`", "'", "+"))
    assert events == {True, False}


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"),
    [
        (Fault.LATE, -5 * 24 * HOUR_US - 1, 4 * 24 * HOUR_US + 23 * HOUR_US),
        (Fault.FUTURE_CLOCK, 4_070_908_800_000_000 - START_US, 4_102_444_800_000_000 - START_US),
        (Fault.CLOCK_ZERO, -START_US, -START_US + 1),
        (Fault.CLOCK_SECONDS, 20 * 24 * HOUR_US - START_US, 21 * 24 * HOUR_US - START_US),
    ],
)
def test_clocks_that_are_wrong(
    kind: Fault,
    lowest: int,
    highest: int,
    clean: list[str],
    dirty: list[str],
    chosen: list[Fault],
) -> None:
    checked = 0
    for found, before, after in zip(chosen, clean, dirty, strict=True):
        if found is kind:
            old, new = json.loads(before), json.loads(after)
            moment = new.pop("timestamp")
            right = old.pop("timestamp")
            assert old == new
            assert lowest <= moment - START_US < highest
            assert moment % 1000 == 0
            if kind is Fault.LATE:
                assert HOUR_US - 10_000_000 <= right - moment <= 5 * 24 * HOUR_US
            checked += 1
    assert checked > 200


def test_broken_json(clean: list[str], dirty: list[str], chosen: list[Fault]) -> None:
    checked: Counter[Fault] = Counter()
    for found, before, after in zip(chosen, clean, dirty, strict=True):
        if found is Fault.BROKEN_LINE:
            assert 20 <= len(after) < 320
            assert before.startswith(after)
            with pytest.raises(ValueError, match=r"."):
                json.loads(after)
        elif found is Fault.BROKEN_PROPERTIES:
            old, new = json.loads(before), json.loads(after)
            assert old["properties"].startswith(new["properties"])
            with pytest.raises(ValueError, match=r"."):
                json.loads(new["properties"])
        else:
            continue
        checked[found] += 1
    assert min(checked.values()) > 200
