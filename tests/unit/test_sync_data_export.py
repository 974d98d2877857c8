"""What FeatBit.DataExport's options come to, without running anything."""

import base64
import dataclasses
import json
from pathlib import Path

import pytest

from flagmart.cli.sync import seconds_of
from flagmart.errors import UsageError
from flagmart.settings import DataFolder
from flagmart.sync.data_export import PIPELINES, Asked, Given, as_yaml, asked

ENV = "32f6be54-6796-44dd-bc82-f4824b0da13c"
KEY = "5G9KbeHdjsq19SqnRZGMkQRB5KnVX7dn"
HUB = "Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=s;SharedAccessKey=c2VjcmV0c2VjcmV0="
GIVEN = Given(
    env=ENV,
    timestamp="2023-12-12 07:41:51.288",
    conn="Host=127.0.0.1;Protocol=http;Port=8123;Database=featbit",
    segment=f"WriteKey={KEY};Host=https://api.segment.io",
    azevthub=HUB,
    azevthubplan="Basic",
    azevthubname="flagvaluecapture",
    pipeline="FlagValueToSegment",
)
DATA = DataFolder(Path("data"))


def job(**changes: object) -> Asked:
    return asked(dataclasses.replace(GIVEN, **changes), DATA)  # type: ignore[arg-type]


def test_each_pipeline_has_its_events_deliveries_and_folder() -> None:
    folders = set()
    for pipeline, (event, deliveries) in PIPELINES.items():
        found = job(pipeline=pipeline)
        assert ("Segment" in pipeline) == ("segment_tracks" in deliveries)
        assert found.deliveries == deliveries
        assert found.variables["flagmart_env_ids"] == [ENV]
        assert found.variables["flagmart_message_events"] == [event]
        assert found.variables["flagmart_messages_after"] == "2023-12-12 07:41:51.288000"
        folders.add(found.environment["FLAGMART_DATA"])
        folders.add(found.environment["DBT_TARGET_PATH"])
    assert len(folders) == 2 * len(PIPELINES)


def test_the_documented_strings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = job()
    assert found.source == "clickhouse"
    assert {k: v for k, v in found.environment.items() if "CLICKHOUSE" in k} == {
        "FLAGMART_FEATBIT_CLICKHOUSE_HOST": "127.0.0.1",
        "FLAGMART_FEATBIT_CLICKHOUSE_PORT": "8123",
        "FLAGMART_FEATBIT_CLICKHOUSE_DATABASE": "featbit",
        "FLAGMART_FEATBIT_CLICKHOUSE_SECURE": "false",
    }
    assert found.environment["SEGMENT_WRITE_KEY"] == KEY
    assert found.environment["SEGMENT_HOST"] == "https://api.segment.io"
    hub = job(pipeline="CustomEventToAzureEventHub")
    assert hub.environment["EVENT_HUBS_CONNECTION_STRING"] == HUB
    assert hub.environment["EVENT_HUBS_HUB"] == "flagvaluecapture"
    assert hub.variables["flagmart_event_hubs_tier"] == "basic"
    assert "SEGMENT_WRITE_KEY" not in hub.environment

    monkeypatch.setenv("DBT_TARGET", "clickhouse")
    assert job().environment["FLAGMART_CLICKHOUSE_DATABASE"] == (
        "flagmart_flagvaluetosegment_32f6be54_6796_44dd_bc82_f4824b0da13c"
    )


def test_further_parts_of_a_connection_string() -> None:
    found = job(conn="host=ch;PROTOCOL=https;Username=reader;Password=a=b;Compression=True;")
    assert found.environment["FLAGMART_FEATBIT_CLICKHOUSE_SECURE"] == "true"
    assert found.environment["FLAGMART_FEATBIT_CLICKHOUSE_USER"] == "reader"
    assert found.environment["DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD"] == "a=b"
    assert "-c: compression without effect" in found.remarks
    assert any(remark.startswith("-c has a password on the command") for remark in found.remarks)
    for address, source in (
        ("postgresql://u:p%40@db/featbit", "postgres"),
        ("postgres://db/featbit", "postgres"),
        ("mongodb+srv://db/featbit", "mongodb"),
    ):
        found = job(conn=address)
        assert found.source == source
        assert found.environment[f"FLAGMART_{source.upper()}_URL"] == address
        assert any("-c has" in remark for remark in found.remarks) == ("p%40" in address)


def test_a_secret_is_better_said_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENT", f" {GIVEN.segment}\n")
    monkeypatch.setenv("HUB", HUB)
    monkeypatch.setenv("STORE", "Host=ch;Password=secret")
    for pipeline in PIPELINES:
        found = job(pipeline=pipeline, conn="env:STORE", segment="env:SEGMENT", azevthub="env:HUB")
        assert not any("on the command line" in remark for remark in found.remarks)
        shown = job(pipeline=pipeline)
        (remark,) = (remark for remark in shown.remarks if "on the command line" in remark)
        assert remark.endswith("env:NAME")
        for secret in (KEY, "c2VjcmV0"):
            assert secret not in " ".join(shown.remarks) + as_yaml(shown.variables)
    assert found.environment["DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD"] == "secret"
    with pytest.raises(UsageError, match="-g names the variable 'NONE', which is not set"):
        job(segment="env:NONE")


@pytest.mark.parametrize("text", [KEY, f"{KEY}:"])
def test_a_write_key_in_base64_as_the_documentation_shows_it(text: str) -> None:
    encoded = base64.b64encode(text.encode()).decode()
    found = job(segment=f"WriteKey={encoded};Host=https://api.segment.io")
    assert found.environment["SEGMENT_WRITE_KEY"] == KEY
    assert any("in base64" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    "key", [KEY, "NUc5S2JlS***FAKE******Fake***JMVW1SamRHWm4=", "short", "YQ=="]
)
def test_any_other_write_key_is_taken_as_it_is(key: str) -> None:
    found = job(segment=f"WriteKey={key}")
    assert found.environment["SEGMENT_WRITE_KEY"] == key
    assert "SEGMENT_HOST" not in found.environment


def test_what_means_something_else_is_said() -> None:
    assert len(job().remarks) == 2
    remarks = job(size=1000, queryinterval=100, eventtype="CustomEvent").remarks
    assert remarks[-2].startswith("-s, -i without effect")
    assert remarks[-1] == (
        "--eventtype CustomEvent without effect, as ever: --pipeline says FlagValue"
    )
    hub = job(pipeline="FlagValueToAzureEventHub", azevthubplan="Gold", eventtype="FlagValue")
    assert hub.remarks[-1] == "--azevthubplan Gold is none; taken as Basic"
    assert hub.variables["flagmart_event_hubs_tier"] == "basic"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pipeline": "Segment"}, "--pipeline 'Segment' is none; there are FlagValueToSegment, "),
        ({"env": "../elsewhere"}, "-e '../elsewhere' is no environment's id"),
        ({"env": ""}, "-e '' is no environment's id"),
        ({"timestamp": "yesterday"}, "-t 'yesterday' is no time; write it like 2023-12-12 07:41"),
        ({"conn": "127.0.0.1:8123"}, "-c is no list like Name=value"),
        ({"segment": ""}, "needs -g WriteKey="),
        ({"segment": "Host=https://api.segment.io"}, "-g has no WriteKey"),
        ({"pipeline": "CustomEventToAzureEventHub", "azevthub": ""}, "needs -a"),
        ({"pipeline": "CustomEventToAzureEventHub", "azevthubplan": ""}, "needs --azevthubplan"),
        ({"pipeline": "CustomEventToAzureEventHub", "azevthubname": ""}, "needs --azevthubname"),
    ],
)
def test_what_is_wrong_is_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        job(**changes)
    assert message in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-12-12", "2023-12-12 00:00:00.000000"),
        ("2023-12-12T07:41:51+02:00", "2023-12-12 05:41:51.000000"),
    ],
)
def test_a_time_is_utc(text: str, moment: str) -> None:
    assert job(timestamp=text).variables["flagmart_messages_after"] == moment


def test_vars_are_yaml_whatever_they_hold() -> None:
    assert json.loads(as_yaml(job().variables))["flagmart_further_deliveries"] == [
        "segment_identifies"
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("2", 2), ("0.1s", 0.1)]
)
def test_a_time_between_rounds(text: str, seconds: float) -> None:
    assert seconds_of("--every", text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1d", "s", "1 s 2"])
def test_no_time_between_rounds(text: str) -> None:
    with pytest.raises(UsageError, match="is no time; write it like 30s"):
        seconds_of("--every", text)
