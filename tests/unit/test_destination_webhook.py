from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from flagmart.destinations import HTTP_SINKS
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from flagmart.destinations.endpoint import Endpoint

URL = "https://hooks.example.com/in/flags/"


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_URL", URL)
    monkeypatch.setenv("HOOK_AUTH", "Bearer t0p-secret")


def webhook(**values: object) -> Endpoint:
    known = {"destination": "x", "sink": "webhook", "url_env": "HOOK_URL"}
    return HTTP_SINKS["webhook"](Settings("purchases", {**known, **values}))


@pytest.mark.parametrize(
    ("values", "body", "content_type"),
    [
        ({}, b'[{"a":1},{"a":2}]', "application/json"),
        ({"envelope": "object"}, b'{"events":[{"a":1},{"a":2}]}', "application/json"),
        ({"envelope": "object", "key": 'r"s'}, b'{"r\\"s":[{"a":1},{"a":2}]}', "application/json"),
        ({"envelope": "lines"}, b'{"a":1}\n{"a":2}\n', "application/x-ndjson"),
        ({"content_type": "text/x"}, b'[{"a":1},{"a":2}]', "text/x"),
    ],
)
def test_envelopes(values: dict[str, str], body: bytes, content_type: str) -> None:
    made = webhook(**values)
    assert made.prefix + made.separator.join([b'{"a":1}', b'{"a":2}']) + made.suffix == body
    assert made.headers["Content-Type"] == content_type


def test_address_limits_method_and_compression() -> None:
    plain = webhook()
    assert (plain.url, plain.method, plain.gzip) == (URL, "POST", False)
    assert plain.max_message_bytes == plain.max_body_bytes == 1_000_000
    limits = {"max_messages": 7, "max_body_bytes": 900, "max_message_bytes": 80}
    other = webhook(method="PUT", compression="gzip", **limits)
    assert (other.method, other.gzip) == ("PUT", True)
    assert (other.max_messages, other.max_body_bytes, other.max_message_bytes) == (7, 900, 80)


def test_headers_come_from_the_environment_and_are_masked() -> None:
    made = webhook(headers={"Authorization": "HOOK_AUTH"})
    assert made.headers["Authorization"] == "Bearer t0p-secret"
    assert "t0p-secret" not in repr(made)
    assert made.masked("no: Bearer t0p-secret, T0P-SECRET") == "no: ***, ***"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"url_env": "HOOK_NONE"}, "HOOK_NONE is not set; exposure purchases names it in"),
        ({"headers": {"X-Key": "HOOK_NONE"}}, "HOOK_NONE is not set; exposure purchases names it"),
        ({"headers": {"X Key": "HOOK_AUTH"}}, "headers names 'X Key', which is no header"),
        ({"headers": {"content-length": "HOOK_AUTH"}}, "names 'content-length', which is no"),
        ({"headers": {"X-Key": "HOOK_LINES"}}, "HOOK_LINES is no key and no header's value"),
        ({"headers": {"X-Key": "HOOK_BLANK"}}, "HOOK_BLANK is no key and no header's value"),
        ({"headers": ["X-Key"]}, "meta.flagmart.headers is ['X-Key']; it is a mapping"),
        ({"headers": {"X-Key": 5}}, "meta.flagmart.headers is {'X-Key': 5}; it is a mapping"),
        ({"max_messages": 0}, "meta.flagmart.max_messages is 0; it is a whole number above zero"),
        ({"max_messages": True}, "meta.flagmart.max_messages is True; it is a whole number"),
        ({"max_body_bytes": "9"}, "meta.flagmart.max_body_bytes is '9'; it is a whole number"),
        ({"envelope": "xml"}, "there are array, object, lines"),
        ({"method": "GET"}, "there are POST, PUT"),
        ({"key": "rows"}, "meta.flagmart.key is for envelope: object"),
        ({"url": "https://x"}, "meta.flagmart.url is not a setting of this sink"),
    ],
)
def test_what_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, object], told: str
) -> None:
    monkeypatch.setenv("HOOK_LINES", "s3cret\r\nX-Evil: 1")
    monkeypatch.setenv("HOOK_BLANK", " ")
    with pytest.raises(FlagmartError, match=re.escape(told)) as caught:
        webhook(**values)
    assert "s3cret" not in str(caught.value)


def test_an_address_with_a_key_in_it_is_refused_unrepeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_URL", "https://hooks.example.com/?token=s3cret")
    with pytest.raises(FlagmartError, match="HOOK_URL holds more than an address") as caught:
        webhook()
    assert "s3cret" not in str(caught.value)


def test_a_page_is_no_acknowledgement() -> None:
    objection = webhook().objection
    assert "is the host right?" in str(objection("\n<html>please log in</html>"))
    for body in ("", "ok", "{}", '{"accepted": 3}', "[1,2"):
        assert objection(body) is None
