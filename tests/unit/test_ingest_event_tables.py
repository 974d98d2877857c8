"""A row of v6's tables becomes one canonical text, whatever store and format it came from."""

import json

import pytest

from flagmart.ingest.event import NESTED, NoEventError
from flagmart.ingest.event_tables import (
    EVENTS,
    EXPOSURES,
    METRICS,
    NO_NUMBER,
    NO_OBJECT,
    table_of,
)
from flagmart.ingest.sources import RefusedError
from flagmart.warehouse.repeats import same_json
from support.landed import ENV, SAMPLES

EXPOSURE = {
    "env_id": ENV,
    "flag_key": "f-1",
    "user_key": "u",
    "user_name": "Zoë",
    "variation_id": "v",
    "variation_value": "true",
}
METRIC = {
    "env_id": ENV,
    "user_key": "u",
    "event_name": "buy",
    "event_type": "PageView",
    "numeric_value": "1.5",
    "application_type": "web",
}


def without(row: dict[str, str], *names: str) -> dict[str, str]:
    return {name: text for name, text in row.items() if name not in names}


def number(text: str, **changes: str) -> str:
    """How the number of a metric event is written."""
    properties = METRICS.facts({**METRIC, "numeric_value": text, **changes})[3]
    return properties.partition('"numericValue":')[2].partition(',"user"')[0]


def test_an_exposure_in_todays_names_and_a_fixed_order() -> None:
    assert EXPOSURES.facts(EXPOSURE) == (
        ENV,
        "FlagValue",
        f"{ENV}-f-1",
        f'{{"flagId":"{ENV}-f-1","envId":"{ENV}","featureFlagKey":"f-1","sendToExperiment":true,'
        '"userKeyId":"u","userName":"Zo\\u00eb","variationId":"v","variationValue":"true"}',
    )


def test_a_metric_event_in_todays_names_and_a_fixed_order() -> None:
    assert METRICS.facts({**METRIC, "user_name": "n"}) == (
        ENV,
        "PageView",
        "buy",
        '{"type":"PageView","eventName":"buy","numericValue":1.5,'
        f'"user":{{"keyId":"u","name":"n"}},"applicationType":"web","envId":"{ENV}"}}',
    )


@pytest.mark.parametrize("kind", ["", None])
def test_a_metric_event_without_a_type_is_a_custom_event(kind: str | None) -> None:
    row = without(METRIC, "event_type") | ({} if kind is None else {"event_type": kind})
    assert METRICS.facts(row)[1] == "CustomEvent"
    assert json.loads(METRICS.facts(row)[3])["type"] == "CustomEvent"
    _, event, _, properties = METRICS.facts({**METRIC, "event_type": "Custom"})
    assert event == "CustomEvent"
    assert json.loads(properties)["type"] == "Custom", "kept as spelled"


@pytest.mark.parametrize("name", ["user_name", "variation_value"])
def test_a_missing_column_and_an_empty_one_agree(name: str) -> None:
    missing = EXPOSURES.facts(without(EXPOSURE, name))
    assert missing == EXPOSURES.facts({**EXPOSURE, name: ""})
    assert missing == EXPOSURES.facts({**EXPOSURE, name: "", "properties": "{}"})


@pytest.mark.parametrize("name", ["env_id", "flag_key"])
def test_no_distinct_id_from_half_of_its_parts(name: str) -> None:
    _, event, distinct_id, properties = EXPOSURES.facts({**EXPOSURE, name: ""})
    assert (event, distinct_id) == ("FlagValue", "")
    assert "flagId" not in json.loads(properties)


def test_filled_columns_win_and_what_only_properties_have_stays() -> None:
    own = {
        "zone": {"b": 1, "a": [1.0, None, {"d": 2, "c": "é"}]},
        "featureFlagKey": "other",
        "userName": "own",
        "sendToExperiment": False,
        "flagId": "FF__1",
        "tag_0": "u",
    }
    row = {**without(EXPOSURE, "user_name"), "properties": json.dumps(own)}
    assert EXPOSURES.facts(row)[3] == (
        f'{{"flagId":"FF__1","envId":"{ENV}","featureFlagKey":"f-1","sendToExperiment":false,'
        '"userKeyId":"u","userName":"own","variationId":"v","variationValue":"true",'
        '"tag_0":"u","zone":{"a":[1,null,{"c":"\\u00e9","d":2}],"b":1}}'
    )


def test_a_users_other_fields_stay() -> None:
    own = {"user": {"name": "own", "keyId": "other", "KeyId": "u", "CustomizedProperties": []}}
    text = METRICS.facts({**METRIC, "properties": json.dumps(own)})[3]
    assert '"user":{"keyId":"u","name":"own","CustomizedProperties":[],"KeyId":"u"}' in text
    flat = METRICS.facts({**METRIC, "properties": '{"user":5}'})[3]
    assert '"user":{"keyId":"u"}' in flat


def test_the_order_and_spelling_of_properties_do_not_matter() -> None:
    texts = (
        '{"b":1E+20,"a":{"y":"\\u00e9\\/","x":0.10},"c":-0}',
        ' { "a" : {"x": 0.1, "y": "é/"}, "c": 0.0, "b": 100000000000000000000 } ',
    )
    first, second = (EXPOSURES.facts({**EXPOSURE, "properties": text})[3] for text in texts)
    assert first == second
    assert first.endswith(',"a":{"x":0.1,"y":"\\u00e9/"},"b":1e+20,"c":0}')


def test_a_migrated_row_is_equal_to_the_message_it_was_made_of() -> None:
    messages = (SAMPLES / "kafka_featbit-insights.jsonl").read_text().splitlines()
    for table, kind, message in zip((EXPOSURES, METRICS), ("exposure", "metric"), messages):  # noqa: B905
        name = f"clickhouse_v6_release_decision_{kind}_events.jsonl"
        row = json.loads((SAMPLES / name).read_text())
        texts = {name: str(row[name]) for name in table.texts if name in row}
        before = json.loads(message)
        *facts, properties = table.facts(texts)
        assert facts == [before[name] for name in ("env_id", "event", "distinct_id")]
        assert same_json(properties, before["properties"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("-0", "0"),
        ("1E20", "1e+20"),
        ("100000000000000000000", "1e+20"),
        ("1E-7", "1e-07"),
        ("0.10000000000000001", "0.1"),
        ("9007199254740992", "9007199254740992"),
        (".5", "0.5"),
        ("5.", "5"),
        ("4.9e-324", "5e-324"),
    ],
)
def test_a_number_is_written_in_one_way(text: str, expected: str) -> None:
    assert number(text) == expected
    assert float(number(text)) == float(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.0", "1"),
        ("-0.0", "0"),
        ("1E20", "1e+20"),
        ("100000000000000000000", "1e+20"),
        ("1E-7", "1e-07"),
        ("0.10", "0.1"),
        ("0.10000000000000001", "0.10000000000000001"),
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678", "123456789012345678"),
        ("10e399", "1E+400"),
    ],
)
def test_a_number_in_properties_is_written_in_one_way_and_exactly(text: str, expected: str) -> None:
    own = f'{{"numericValue":{text},"n":[{text}]}}'
    assert number("", properties=own) == expected
    assert METRICS.facts({**METRIC, "properties": own})[3].endswith(f',"n":[{expected}]}}')


@pytest.mark.parametrize("text", ["", "nan", "NaN", "inf", "-Infinity", "+inf"])
def test_a_number_json_has_no_form_for_is_left_out(text: str) -> None:
    assert "numericValue" not in json.loads(METRICS.facts({**METRIC, "numeric_value": text})[3])


@pytest.mark.parametrize("text", ["x", "true", "1_0", "1,5", "0x1", "1e400", "١", " 1", "--1"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(NoEventError) as error:
        METRICS.facts({**METRIC, "numeric_value": text})
    assert str(error.value) == NO_NUMBER


@pytest.mark.parametrize("table", [EXPOSURES, METRICS])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", NO_OBJECT),
        ("[]", NO_OBJECT),
        ('"{}"', NO_OBJECT),
        ('{"a":NaN}', NO_OBJECT),
        ('{"a":1e9999999999999999999}', NO_OBJECT),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", NESTED),
        ('{"a":' + "[" * 900 + "1e400" + "]" * 900 + "}", NESTED),
    ],
)
def test_properties_that_are_none(table: object, text: str, reason: str) -> None:
    facts, row = (EXPOSURES.facts, EXPOSURE) if table is EXPOSURES else (METRICS.facts, METRIC)
    with pytest.raises(NoEventError) as error:
        facts({**row, "properties": text})
    assert str(error.value) == reason


def test_long_numbers_keep_every_digit() -> None:
    text = "1" + "0" * 40 + "1." + "3" * 5_000
    properties = EXPOSURES.facts({**EXPOSURE, "properties": f'{{"n":{text},"m":{"9" * 5_000}}}'})[3]
    assert f'"n":{text}' in properties
    assert f'"m":{"9" * 5_000}' in properties


@pytest.mark.parametrize("text", ["", "null", "{}", ' {"userName":null} '])
def test_empty_properties(text: str) -> None:
    found = json.loads(EXPOSURES.facts({**EXPOSURE, "properties": text})[3])
    assert found == json.loads(EXPOSURES.facts(EXPOSURE)[3])


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    assert EXPOSURES.facts({**EXPOSURE, "properties": '{"a":"\\ud800"}'})[3].endswith(
        '"a":"\\ud800"}'
    )


@pytest.mark.parametrize(
    ("names", "table"),
    [
        ("uuid env_id event properties timestamp _timestamp _offset", EVENTS),
        ("id env_id flag_key user_key variation_id exposed_at", EXPOSURES),
        ("created_at properties exposed_at variation_id user_key flag_key env_id", EXPOSURES),
        ("id env_id user_key event_name numeric_value occurred_at properties", METRICS),
    ],
)
def test_a_table_is_told_by_its_columns(names: str, table: object) -> None:
    assert table_of(names.split(), "a table") is table


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            "id env_id flag_key variation_id exposed_at",
            "a table without user_key; export the exposure events table with all its columns",
        ),
        (
            "id env_id user_key event_name",
            "a table without numeric_value, occurred_at; "
            "export the metric events table with all its columns",
        ),
        (
            "uuid event properties",
            "a table without env_id, timestamp; export the events table with all its columns",
        ),
        (
            "id created_at",
            "a table without env_id, event, properties, timestamp; "
            "export the events table with all its columns",
        ),
    ],
)
def test_a_table_that_lacks_a_column_is_named(names: str, message: str) -> None:
    with pytest.raises(RefusedError) as error:
        table_of(names.split(), "a table")
    assert str(error.value) == message
