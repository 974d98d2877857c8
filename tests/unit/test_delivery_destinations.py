from __future__ import annotations

from base64 import b64decode
from datetime import date

import pytest

from flagmart import destinations
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError

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


def test_names_of_folders_and_files() -> None:
    statsig = destinations.LAYOUTS["statsig"](Settings("e", {"dataset": "ev{0}nts"}))
    hackle = destinations.LAYOUTS["hackle"](Settings("e", {}))
    assert statsig.folder_of(date(2026, 3, 1)) == "ev{0}nts/2026-03-01"
    assert statsig.file_of(0) == "part-00000.parquet"
    assert hackle.folder_of(date(2026, 3, 1)) == "dt=2026-03-01"
    assert hackle.file_of(1) == "000000000001.parquet"
