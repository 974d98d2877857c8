"""The stream `flagmart generate` writes: bytes, shape, rhythm, rollouts and truth."""

import gzip
import hashlib
import json
import math
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from flagmart.errors import FlagmartError
from flagmart.generate import Options, hashing, truth
from flagmart.generate.stream import chunks, write
from flagmart.generate.text import inner
from flagmart.generate.world import ROLLOUTS, Kind, World

START_US = 1_767_225_600_000_000
DAY_US = 86_400_000_000

ENVELOPE = ["uuid", "distinct_id", "env_id", "event", "properties", "timestamp"]
EVALUATION = [
    "route",
    "flagId",
    "envId",
    "accountId",
    "projectId",
    "featureFlagKey",
    "sendToExperiment",
    "userKeyId",
    "userName",
    "variationId",
    "tag_0",
    "tag_1",
    "tag_2",
    "tag_3",
]
METRIC = [
    "route",
    "type",
    "eventName",
    "numericValue",
    "user",
    "applicationType",
    "projectId",
    "envId",
    "accountId",
    "tag_0",
    "tag_1",
    "tag_2",
]


def raw(options: Options, size: int = 20_000) -> bytes:
    return b"".join(bytes(chunk.text) for chunk in chunks(options, size))


def parsed(options: Options) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Envelope and properties of each line."""
    envelopes = [json.loads(line) for line in raw(options).splitlines()]
    return [(one, json.loads(one["properties"])) for one in envelopes]


@pytest.fixture(scope="module")
def events() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return parsed(Options(events=30_003, users=500, flags=10, days=10, seed=7))


@pytest.mark.parametrize(
    ("dirty", "sha256"),
    [
        (0.0, "5d82c0b0ae71880815bb77b785164632cf0a9b525cc5023741c3d31b744c3015"),
        (0.5, "ddf454d72634d3d7102bbb6c1986c76cf7e40595257b2d8570a38fe0f4e4ae33"),
    ],
)
def test_the_bytes_of_a_stream_never_change(dirty: float, sha256: str) -> None:
    start = date(2026, 3, 28)
    options = Options(2_003, users=50, flags=7, days=3, start=start, seed=42, dirty=dirty)
    assert hashlib.sha256(raw(options)).hexdigest() == sha256


@pytest.mark.parametrize("dirty", [0.0, 0.3, 1.0])
def test_chunks_do_not_show(dirty: float) -> None:
    options = Options(events=3_001, users=100, flags=4, dirty=dirty)
    assert raw(options, 97) == raw(options, 3_001)


def test_the_seed_changes_every_uuid() -> None:
    one, other = (
        {envelope["uuid"] for envelope, _ in parsed(Options(events=500, seed=seed))}
        for seed in (1, 2)
    )
    assert len(one) == len(other) == 500
    assert not one & other


def test_hash_is_splitmix64() -> None:
    # the published sequence of SplitMix64 from state 1234567
    assert [hashing.hash64(1234567, index) for index in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_lines_have_the_shape_of_a_kafka_envelope(
    events: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    assert len(events) == 30_003
    uuids = set()
    for envelope, properties in events:
        assert list(envelope) == ENVELOPE
        assert type(envelope["timestamp"]) is int
        assert envelope["timestamp"] % 1000 == 0
        assert len(envelope["uuid"]) == 36
        assert envelope["uuid"][14] == "4"
        assert envelope["uuid"][19] in "89ab"
        uuids.add(envelope["uuid"])
        assert properties["envId"] == envelope["env_id"]
        assert properties["accountId"] == properties["projectId"] == ""
        if envelope["event"] == "FlagValue":
            _is_evaluation(envelope, properties)
        else:
            _is_metric(envelope, properties)
    assert len(uuids) == len(events)


def _is_evaluation(envelope: dict[str, Any], properties: dict[str, Any]) -> None:
    assert list(properties) == EVALUATION
    assert properties["route"] == "/Variation/GetMultiOptionVariation"
    assert properties["flagId"] == envelope["distinct_id"]
    assert properties["flagId"] == f"{envelope['env_id']}-{properties['featureFlagKey']}"
    assert type(properties["sendToExperiment"]) is bool
    assert properties["tag_0"] == properties["userKeyId"]
    assert properties["tag_1"] == properties["variationId"]
    assert properties["tag_2"] == str(properties["sendToExperiment"]).lower()
    assert properties["tag_3"] == properties["userName"]


def _is_metric(envelope: dict[str, Any], properties: dict[str, Any]) -> None:
    assert list(properties) == METRIC
    assert properties["route"] == "index/metric"
    assert properties["type"] == envelope["event"]
    assert properties["eventName"] == envelope["distinct_id"]
    assert list(properties["user"]) == ["keyId", "name"]
    assert type(properties["numericValue"]) in (int, float)
    assert properties["tag_0"] == properties["user"]["keyId"]
    assert f'"numericValue":{properties["tag_1"]},"user"' in envelope["properties"]
    assert properties["tag_2"] == properties["user"]["name"]


def test_properties_are_escaped_as_system_text_json_escapes() -> None:
    assert inner("a\"b\\c\n<>&'+`\x7f é🦊") == (
        "a\\u0022b\\\\c\\n\\u003C\\u003E\\u0026\\u0027\\u002B\\u0060\\u007F \\u00E9\\uD83E\\uDD8A"
    )
    text = raw(Options(events=2_000)).decode("ascii")
    assert "\\\\uD83E\\\\uDD8A Fox " in text
    assert "O\\\\u0027Neil " in text
    for envelope in map(json.loads, text.splitlines()):
        assert not set(envelope["properties"]) & set("<>&'+`")


def test_four_fifths_are_evaluations_and_most_metrics_custom_events(
    events: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    kinds = Counter(envelope["event"] for envelope, _ in events)
    assert set(kinds) == {"FlagValue", "CustomEvent", "PageView", "Click"}
    assert len(events) - kinds["FlagValue"] == 6_000
    assert kinds["CustomEvent"] > 4_000
    assert min(kinds["PageView"], kinds["Click"]) > 300


def test_a_third_of_the_flags_are_experiments(
    events: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    sent: dict[str, set[bool]] = defaultdict(set)
    for envelope, properties in events:
        if envelope["event"] == "FlagValue":
            sent[properties["featureFlagKey"]].add(properties["sendToExperiment"])
    assert len(sent) == 10
    assert sorted(map(sorted, sent.values())) == [[False]] * 7 + [[True]] * 3
    assert any("-" in key for key in sent)
    assert any("." in key for key in sent)


def test_time_has_a_daily_rhythm_inside_the_window(
    events: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    times = [envelope["timestamp"] for envelope, _ in events]
    assert min(times) >= START_US
    assert max(times) < START_US + 10 * DAY_US
    # arrival order: a clock is behind its neighbours by 5 s at most
    highest = 0
    for moment in times:
        highest = max(highest, moment)
        assert moment > highest - 5_000_000
    hours = Counter((moment - START_US) % DAY_US // (DAY_US // 24) for moment in times)
    assert hours[14] > 8 * hours[3]
    days = Counter((moment - START_US) // DAY_US for moment in times)
    assert len(days) == 10
    assert max(days.values()) - min(days.values()) < 20


def test_users_are_unequal(events: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    seen = Counter(properties["tag_0"] for _, properties in events)
    assert len(seen) == 500
    top = sum(count for _, count in seen.most_common(50)) / len(events)
    assert top == pytest.approx(math.sqrt(0.1), abs=0.03)


def test_rollouts_move_and_assignments_stick(
    events: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    world = World(Options(events=30_003, users=500, flags=10, days=10, seed=7))
    served: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for envelope, properties in events:
        if envelope["event"] != "FlagValue":
            continue
        stage = (envelope["timestamp"] - START_US) * 5 // (10 * DAY_US)
        users = served[properties["featureFlagKey"], stage]
        before = users.setdefault(properties["userKeyId"], properties["variationId"])
        assert before == properties["variationId"]
    for place, flag in enumerate(world.flags[world.experiments :]):
        for stage, percent in enumerate(ROLLOUTS[place % len(ROLLOUTS)]):
            users = served[flag.key, stage]
            treated = sum(one != flag.variation_ids[0] for one in users.values()) / len(users)
            assert treated == pytest.approx(percent / 100, abs=0.1 if 0 < percent < 100 else 0)
    rising = world.flags[world.experiments]
    for stage in range(1, 4):
        before_users, users = served[rising.key, stage], served[rising.key, stage + 1]
        for user in before_users.keys() & users.keys():
            if before_users[user] != rising.variation_ids[0]:
                assert users[user] == before_users[user]


@pytest.mark.parametrize(
    ("events", "flags", "days"), [(200_000, 9, 30), (60_004, 1, 2), (1_000, 2, 30)]
)
def test_truth_is_what_an_analysis_finds(events: int, flags: int, days: int) -> None:
    options = Options(events=events, users=20_000, flags=flags, days=days, seed=3)
    known = truth(options)
    assert len(known.experiments) == max(1, flags // 3)
    exposed: dict[tuple[str, str], tuple[int, str]] = {}
    exposures: Counter[tuple[str, str]] = Counter()
    values: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    of_event = {one.metric_event: one.flag_key for one in known.experiments}
    for line in raw(options).splitlines():
        if b'sendToExperiment\\":false' in line:
            continue
        envelope = json.loads(line)
        properties = json.loads(envelope["properties"])
        moment = envelope["timestamp"]
        if envelope["event"] == "FlagValue":
            unit = properties["featureFlagKey"], properties["userKeyId"]
            first = exposed.get(unit, (moment, properties["variationId"]))
            assert first[1] == properties["variationId"]
            exposed[unit] = min(first, (moment, properties["variationId"]))
            exposures[unit] += 1
        elif flag := of_event.get(properties["eventName"]):
            values[flag, properties["user"]["keyId"]].append((moment, properties["numericValue"]))

    # who converts has a metric event after each exposure (with one flag, after the blocks' own)
    for unit, of_user in values.items():
        assert min(moment for moment, _ in of_user) >= exposed[unit][0]
        assert len(of_user) == exposures[unit] or flags == 1

    compared = 0
    for experiment in known.experiments:
        for variation in experiment.variations:
            units = [
                unit
                for unit, (_, served) in exposed.items()
                if unit[0] == experiment.flag_key and served == variation.variation_id
            ]
            rate = sum(unit in values for unit in units) / len(units)
            p = variation.conversion_rate
            assert rate == pytest.approx(p, abs=3.5 * math.sqrt(p * (1 - p) / len(units)))
            found = [value for unit in units for _, value in values.get(unit, ())]
            spread = 0.0 if experiment.kind is Kind.CONVERSION else 6.6
            mean = sum(found) / len(found)
            assert mean == pytest.approx(
                variation.mean_value, abs=3.5 * spread / math.sqrt(len(found))
            )
            compared += len(units)
        shares = Counter(
            one for (key, _), (_, one) in exposed.items() if key == experiment.flag_key
        )
        assert len(shares) == len(experiment.variations)
        assert max(shares.values()) < 1.2 * min(shares.values()) or sum(shares.values()) < 1_000
    assert compared == len(exposed)


def test_truth_names_window_baseline_and_environment() -> None:
    options = Options(flags=12, days=2, start=date(2026, 5, 1))
    known = truth(options)
    assert known.start == datetime(2026, 5, 1, tzinfo=UTC)
    assert known.end == datetime(2026, 5, 3, tzinfo=UTC)
    assert [one.kind for one in known.experiments] == ["conversion", "value"] * 2
    assert [len(one.variations) for one in known.experiments] == [2, 2, 3, 2]
    for one in known.experiments:
        assert one.env_id == known.env_id
        assert one.baseline_variation_id == one.variations[0].variation_id
    effects = [
        [v.conversion_rate * v.mean_value for v in one.variations] for one in known.experiments
    ]
    assert effects == [[0.2, 0.26], [10.0, 11.5], [0.3, 0.3, 0.24], [10.0, 10.0]]


@pytest.mark.parametrize("events", [0, 1, 4, 5, 9, 11])
@pytest.mark.parametrize("flags", [1, 2])
def test_the_shortest_streams(events: int, flags: int) -> None:
    lines = parsed(Options(events=events, users=1, flags=flags, days=400))
    assert len(lines) == events
    assert sum(envelope["event"] != "FlagValue" for envelope, _ in lines) == events // 5


@pytest.mark.parametrize("seed", range(6))
def test_the_last_window_of_follow_ups_may_be_short(seed: int) -> None:
    # 480 blocks a day and windows of 8 blocks, the last one begun only
    options = Options(events=2_420, users=5, flags=1, days=1, seed=seed)
    assert raw(options).count(b'"event":"FlagValue"') == 2_420 * 4 // 5


def test_gzip_holds_the_same_lines_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    options = Options(events=1_000)
    first = write(options, str(tmp_path / "one.jsonl.gz"), digest=True)
    write(options, str(tmp_path / "two.jsonl.gz"))
    packed = (tmp_path / "one.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "two.jsonl.gz").read_bytes()
    assert packed[4:8] == bytes(4)  # no time of writing
    assert gzip.decompress(packed) == raw(options)
    assert first.bytes == len(packed)
    assert first.sha256 == hashlib.sha256(packed).hexdigest()


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "events.jsonl"
    out.write_text("before")

    def stop(_: int) -> None:
        assert [one.name for one in tmp_path.iterdir() if one != out]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(Options(events=50_000), str(out), advance=stop)
    assert [one.name for one in tmp_path.iterdir()] == ["events.jsonl"]
    assert out.read_text() == "before"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "events.jsonl"
    with pytest.raises(FlagmartError, match=r"cannot write .*missing/events\.jsonl: No such file"):
        write(Options(events=1), str(missing))
    with pytest.raises(FlagmartError, match="Is a directory"):
        write(Options(events=1), str(tmp_path))
