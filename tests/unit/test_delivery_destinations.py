from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from flagmart import destinations
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Callable

SEGMENT = {"destination": "x", "sink": "segment", "key_env": "A_KEY", "host_env": "A_HOST"}


def segment(**values: str) -> Settings:
    return Settings("tracks", {**SEGMENT, **values})


def test_segment_basic_auth_keeps_the_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "abc")
    monkeypatch.delenv("A_HOST", raising=False)
    endpoint = destinations.HTTP_SINKS["segment"](segment())
    assert endpoint.url == "https://api.segment.io/v1/batch"
    assert b64decode(endpoint.headers["Authorization"].removeprefix("Basic ")) == b"abc:"
    assert "abc" not in repr(endpoint)
    assert endpoint.headers["Authorization"] not in repr(endpoint)


def test_segment_takes_the_key_where_its_like_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", 'a"c')
    header = destinations.HTTP_SINKS["segment"](segment(auth="header"))
    assert header.headers == {"X-Write-Key": 'a"c', "Content-Type": "application/json"}
    assert header.prefix == b'{"batch":['
    body = destinations.HTTP_SINKS["segment"](segment(auth="body"))
    assert body.headers == {"Content-Type": "application/json"}
    assert json.loads(body.prefix + body.suffix) == {"writeKey": 'a"c', "batch": []}
    for endpoint in (header, body):
        assert 'a"c' not in endpoint.masked(str([*endpoint.headers.values()]))
    with pytest.raises(FlagmartError, match="there are basic, header, body"):
        destinations.HTTP_SINKS["segment"](segment(auth="bearer"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("https://events.eu1.segmentapis.com", "https://events.eu1.segmentapis.com/v1/batch"),
        ("http://127.0.0.1:8080/gateway/", "http://127.0.0.1:8080/gateway/v1/batch"),
    ],
)
def test_segment_host_keeps_its_prefix(
    monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    monkeypatch.setenv("A_KEY", "abc")
    monkeypatch.setenv("A_HOST", host)
    assert destinations.HTTP_SINKS["segment"](segment()).url == url


@pytest.mark.parametrize(
    "host",
    [
        "localhost:80",
        "ftp://x",
        "https://",
        "https://u:p4ss@x",
        "https://x/?token=p4ss",
        "https://x:a",
    ],
)
def test_a_host_that_is_no_address_is_refused_unrepeated(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("A_KEY", "abc")
    monkeypatch.setenv("A_HOST", host)
    with pytest.raises(FlagmartError, match="A_HOST") as caught:
        destinations.HTTP_SINKS["segment"](segment())
    assert "p4ss" not in str(caught.value)


def test_a_missing_key_names_variable_and_exposure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(FlagmartError, match="A_KEY is not set; exposure tracks"):
        destinations.HTTP_SINKS["segment"](segment())


def test_a_misspelt_setting_is_named() -> None:
    with pytest.raises(FlagmartError, match=r"exposure tracks: meta\.flagmart\.hostenv"):
        destinations.HTTP_SINKS["segment"](segment(hostenv="X"))


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(FlagmartError, match=r"exposure e: meta\.flagmart\.dataset is missing"):
        destinations.LAYOUTS["statsig"](Settings("e", {}))


@pytest.mark.parametrize(
    "echo",
    [
        lambda key, token: key,
        lambda key, token: token,
        lambda key, token: token.rstrip("="),
        lambda key, token: json.dumps({"key": key}),
        lambda key, token: json.dumps({"key": key}, ensure_ascii=False),
        lambda key, token: json.dumps({"key": key, "token": token}).replace("/", r"\/"),
        lambda key, token: quote(key) + quote(token),
        lambda key, token: quote(key, safe="") + quote(token, safe=""),
        lambda key, token: quote_plus(key).lower() + quote_plus(token),
    ],
)
def test_a_secret_is_masked_in_every_form_it_may_come_back_in(
    monkeypatch: pytest.MonkeyPatch, echo: Callable[[str, str], str]
) -> None:
    key = 'k"e\\y/ü +%aa??>>~1'
    monkeypatch.setenv("A_KEY", key)
    endpoint = destinations.HTTP_SINKS["segment"](segment())
    token = endpoint.headers["Authorization"].removeprefix("Basic ")
    assert token.endswith("=")
    assert "/" in token
    shown = endpoint.masked(f"<{echo(key, token)}>")
    assert re.fullmatch(r'<(\*\*\*=*|[{}":, ]|key|token)+>', shown), shown
    assert "***" in shown


def test_a_layout_knows_the_names_it_makes() -> None:
    statsig = destinations.LAYOUTS["statsig"](Settings("e", {"dataset": "events"}))
    hackle = destinations.LAYOUTS["hackle"](Settings("e", {}))
    assert statsig.makes("part-00000.parquet")
    assert statsig.makes("part-123456.parquet")
    assert hackle.makes("000000000007.parquet")
    assert hackle.makes("_SUCCESS")
    for name in ("notes.txt", "part-0.parquet", "part-00000.parquet.bak", "_SUCCESS", "0.parquet"):
        assert not statsig.makes(name)
    for name in ("7.parquet", "000000000007.csv", ".000000000007.parquet.partial"):
        assert not hackle.makes(name)


def test_names_of_folders_and_files() -> None:
    statsig = destinations.LAYOUTS["statsig"](Settings("e", {"dataset": "ev{0}nts"}))
    hackle = destinations.LAYOUTS["hackle"](Settings("e", {}))
    assert statsig.folder_of(date(2026, 3, 1)) == "ev{0}nts/2026-03-01"
    assert statsig.file_of(0) == "part-00000.parquet"
    assert hackle.folder_of(date(2026, 3, 1)) == "dt=2026-03-01"
    assert hackle.file_of(1) == "000000000001.parquet"


def test_a_dataset_of_metrics_has_seven_columns_of_which_numbers_may_be_null() -> None:
    metrics = destinations.LAYOUTS["statsig"](Settings("e", {"dataset": "metrics"})).schema()
    assert [(field.name, str(field.type)) for field in metrics] == [
        *((name, "string") for name in ("unit_id", "id_type", "date", "metric_name")),
        *((name, "double") for name in ("metric_value", "numerator", "denominator")),
    ]
    assert [field.name for field in metrics if field.nullable] == [
        "metric_value",
        "numerator",
        "denominator",
    ]


def test_identifiers_are_a_map_or_json_and_nothing_else() -> None:
    hackle = destinations.LAYOUTS["hackle"]
    assert str(hackle(Settings("e", {})).schema().field("identifiers").type).startswith("map<")
    text = hackle(Settings("e", {"identifiers": "json"})).schema().field("identifiers")
    assert (str(text.type), text.nullable) == ("string", False)
    with pytest.raises(FlagmartError, match=r"identifiers is 'text'; it may be map or json"):
        hackle(Settings("e", {"identifiers": "text"}))
