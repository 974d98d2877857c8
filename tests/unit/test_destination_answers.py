"""What an answer is taken for: success, no success, or the refusal of some messages."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote

import pytest

from flagmart.destinations import HTTP_SINKS, amplitude, mixpanel
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from flagmart.destinations.endpoint import Endpoint

KEY = 'k"never/='
ADDRESSES = {
    "amplitude": "https://api2.amplitude.com/batch",
    "mixpanel": "https://api.mixpanel.com/import?strict=1",
    "posthog": "https://us.i.posthog.com/batch/",
    "segment": "https://api.segment.io/v1/batch",
    "statsig_log_event": "https://events.statsigapi.net/v1/log_event",
    "statsig_log_custom_exposure": "https://events.statsigapi.net/v1/log_custom_exposure",
}


def made(sink: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Endpoint:
    for name in ("A_KEY", "A_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"A_KEY": KEY} | variables).items():
        monkeypatch.setenv(name, value)
    values = {"destination": "x", "sink": sink, "key_env": "A_KEY", "host_env": "A_HOST"}
    return HTTP_SINKS[sink](Settings("e", values))


def body(endpoint: Endpoint, *messages: dict[str, Any]) -> Any:
    texts = [json.dumps(message).encode() for message in messages]
    return json.loads(endpoint.prefix + endpoint.separator.join(texts) + endpoint.suffix)


@pytest.mark.parametrize(("sink", "url"), ADDRESSES.items())
def test_addresses(monkeypatch: pytest.MonkeyPatch, sink: str, url: str) -> None:
    assert made(sink, monkeypatch).url == url
    path = "/" + url.split("/", 3)[3]
    other = made(sink, monkeypatch, A_HOST="http://127.0.0.1:81/gateway/")
    assert other.url == f"http://127.0.0.1:81/gateway{path}"
    monkeypatch.delenv("A_KEY")
    with pytest.raises(FlagmartError, match="A_KEY is not set; exposure e"):
        HTTP_SINKS[sink](Settings("e", {"key_env": "A_KEY"}))
    with pytest.raises(FlagmartError, match=r"meta\.flagmart\.keyenv is not a setting"):
        HTTP_SINKS[sink](Settings("e", {"keyenv": "A_KEY"}))


@pytest.mark.parametrize("sink", ADDRESSES)
def test_a_key_is_fit_for_a_header(monkeypatch: pytest.MonkeyPatch, sink: str) -> None:
    padded, plain = made(sink, monkeypatch, A_KEY=f" {KEY}\n"), made(sink, monkeypatch)
    assert (padded.headers, padded.prefix) == (plain.headers, plain.prefix)
    for wrong in ("two\nlines", " \n"):
        with pytest.raises(FlagmartError, match="A_KEY is no key") as caught:
            made(sink, monkeypatch, A_KEY=wrong)
        assert "two" not in str(caught.value)


@pytest.mark.parametrize("sink", ADDRESSES)
def test_an_answer_of_brackets_without_end_says_nothing(
    monkeypatch: pytest.MonkeyPatch, sink: str
) -> None:
    endpoint, brackets = made(sink, monkeypatch), "[" * 1_000_000
    assert endpoint.objection(brackets) is None
    assert endpoint.refused(400, brackets, 3) is endpoint.culprits(400, brackets, 3) is None


@pytest.mark.parametrize("sink", ADDRESSES)
def test_keys_are_masked(monkeypatch: pytest.MonkeyPatch, sink: str) -> None:
    endpoint = made(sink, monkeypatch)
    assert KEY not in repr(endpoint)
    assert json.dumps(KEY)[1:-1] not in endpoint.masked(endpoint.prefix.decode())
    for name, value in endpoint.headers.items():
        assert name == "Content-Type" or endpoint.masked(value) != value
    # a body that stood in an address
    assert KEY[:8] not in unquote(endpoint.masked(quote_plus(endpoint.prefix.decode())))


def test_where_the_key_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    basic = made("mixpanel", monkeypatch).headers["Authorization"].removeprefix("Basic ")
    assert b64decode(basic).decode() == f"{KEY}:"
    assert made("statsig_log_event", monkeypatch).headers["statsig-api-key"] == KEY
    assert body(made("amplitude", monkeypatch), {"a": 1}) == {"api_key": KEY, "events": [{"a": 1}]}
    assert body(made("posthog", monkeypatch), {"a": 1}) == {
        "api_key": KEY,
        "historical_migration": True,
        "batch": [{"a": 1}],
    }


def test_posthog_takes_events_that_are_no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    fresh = HTTP_SINKS["posthog"](Settings("e", {"key_env": "A_KEY", "historical": False}))
    assert body(fresh, {"a": 1}) == {"api_key": KEY, "batch": [{"a": 1}]}
    with pytest.raises(FlagmartError, match=r"meta\.flagmart\.historical is 'no'; it is true or"):
        HTTP_SINKS["posthog"](Settings("e", {"key_env": "A_KEY", "historical": "no"}))


@pytest.mark.parametrize(
    ("sink", "key"), [("statsig_log_event", "events"), ("statsig_log_custom_exposure", "exposures")]
)
def test_statsig_is_told_the_time_of_sending(
    monkeypatch: pytest.MonkeyPatch, sink: str, key: str
) -> None:
    endpoint = made(sink, monkeypatch)
    assert body(endpoint, {"a": 1}, {"a": 2}) == {key: [{"a": 1}, {"a": 2}]}
    assert endpoint.max_messages == 1_000
    assert endpoint.final == ()
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_123_456_789)
    assert endpoint.sign() == {"STATSIG-CLIENT-TIME": "1700000000123"}


@pytest.mark.parametrize(
    ("sink", "text"),
    [
        ("amplitude", '{"code": 200, "events_ingested": 2, "server_upload_time": 1}'),
        ("mixpanel", '{"code": 200, "num_records_imported": 2, "status": "OK"}'),
        ("posthog", '{"status": 1}'),
        ("posthog", '{"status": "Ok"}'),
        ("statsig_log_event", '{"success": true}'),
        *((sink, text) for sink in ADDRESSES for text in ("", "OK", "{}", "[]", '{"cut sho')),
    ],
)
def test_success(monkeypatch: pytest.MonkeyPatch, sink: str, text: str) -> None:
    assert made(sink, monkeypatch).objection(text) is None


@pytest.mark.parametrize(
    ("sink", "text"),
    [
        ("amplitude", '{"code": 400, "error": "x"}'),
        ("mixpanel", '{"code": 400, "status": "Bad Request"}'),
        ("mixpanel", '{"code": 200, "failed_records": [{"index": 0}]}'),
        ("mixpanel", '{"error": "x"}'),
        ("posthog", '{"status": 0}'),
        ("segment", '{"success": false}'),
        ("statsig_log_event", '{"success": false}'),
        ("statsig_log_custom_exposure", '{"success": "no"}'),
        *((sink, " \n<html>please log in</html>") for sink in ADDRESSES),
    ],
)
def test_a_200_that_is_no_success(monkeypatch: pytest.MonkeyPatch, sink: str, text: str) -> None:
    assert made(sink, monkeypatch).objection(text)


def failed(*places: object, taken: object = 1, **more: str) -> str:
    records = [{"index": place, "$insert_id": "a", **more} for place in places]
    return json.dumps({"code": 400, "num_records_imported": taken, "failed_records": records})


def test_mixpanel_names_those_it_refused() -> None:
    answer = failed(0, 2, field="properties.time", message="too old")
    assert mixpanel.refused(400, answer, 3) == {
        0: "properties.time: too old",
        2: "properties.time: too old",
    }
    assert mixpanel.refused(400, failed(0, taken=0), 1) == {0: ": "}


@pytest.mark.parametrize(
    ("status", "answer", "count"),
    [
        (500, failed(0), 2),
        (400, '{"code": 400, "error": "some data points failed validation"}', 2),
        (400, failed(taken=2), 2),
        (400, failed(2), 2),  # no place of the batch
        (400, failed(-1), 2),
        (400, failed("0"), 2),
        (400, failed(0, taken=0), 2),  # one is refused and none taken: what became of the other?
        (400, failed(0, taken=None), 2),
        (400, failed(0)[:-5], 2),
        (400, '{"failed_records": [7], "num_records_imported": 1}', 2),
    ],
)
def test_an_answer_of_mixpanels_that_does_not_add_up_is_not_believed(
    status: int, answer: str, count: int
) -> None:
    assert mixpanel.refused(status, answer, count) is None


def test_amplitude_names_those_that_spoilt_the_batch() -> None:
    answer = {
        "code": 400,
        "error": "Request missing required field",
        "events_with_invalid_fields": {"time": [3, 4]},
        "events_with_missing_fields": {"event_type": [4, 0]},
        "events_with_invalid_id_lengths": {"user_id": [1]},
    }
    assert amplitude.culprits(400, json.dumps(answer), 5) == {
        3: "time is not valid",
        4: "time is not valid",
        0: "event_type is missing",
        1: "user_id is too short",
    }


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (429, '{"events_with_invalid_fields": {"time": [0]}}'),
        (400, '{"code": 400, "error": "Invalid API key: x"}'),
        (400, '{"code": 400, "missing_field": "api_key", "events_with_missing_fields": {}}'),
        (400, '{"events_with_invalid_fields": {"time": [2]}}'),  # no place of the batch
        (400, '{"events_with_invalid_fields": {"time": ["0"]}}'),
        (400, '{"events_with_invalid_fields": {"time": 0}}'),
        (400, '{"events_with_invalid_fields": {"time": [0'),
    ],
)
def test_what_else_amplitude_answers_names_none(status: int, answer: str) -> None:
    assert amplitude.culprits(status, answer, 2) is None


@pytest.mark.parametrize("sink", ADDRESSES)
def test_only_those_two_judge_single_messages(monkeypatch: pytest.MonkeyPatch, sink: str) -> None:
    endpoint = made(sink, monkeypatch)
    answer = json.dumps({**json.loads(failed(0)), "events_with_invalid_fields": {"time": [0]}})
    assert (endpoint.refused(400, answer, 2) is not None) == (sink == "mixpanel")
    assert (endpoint.culprits(400, answer, 2) is not None) == (sink == "amplitude")
