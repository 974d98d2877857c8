from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote_plus

import pytest
from azure.eventhub import EventHubSharedKeyCredential

from flagmart.destinations import HTTP_SINKS, event_hubs
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from flagmart.destinations.endpoint import Endpoint

KEY = "k3y+/never="
NAMESPACE = (
    f"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey={KEY}"
)
SETTINGS = {
    "destination": "x",
    "sink": "event_hubs",
    "connection_env": "HUB_CONNECTION",
    "hub_env": "HUB_NAME",
    "host_env": "HUB_HOST",
}


def made(monkeypatch: pytest.MonkeyPatch, text: str, hub: str = "", **values: str) -> Endpoint:
    monkeypatch.setenv("HUB_CONNECTION", text)
    monkeypatch.setenv("HUB_NAME", hub)
    monkeypatch.delenv("HUB_HOST", raising=False)
    return HTTP_SINKS["event_hubs"](Settings("hub", {**SETTINGS, **values}))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104, written out: the token is compared with the algorithm and not with itself."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()


def test_the_token_is_what_microsofts_own_function_gives() -> None:
    # the answer of azure-eventhub 5.15.1's generate_sas_token to the same four values
    token = event_hubs.shared_access_signature(
        "https://ns.servicebus.windows.net/eh", "send", "k+/=", 1_700_000_000
    )
    assert token == (
        "SharedAccessSignature sr=https%3A%2F%2Fns.servicebus.windows.net%2Feh"
        "&sig=ISp5oUx3UF3aFQPkf1dMjN3dru2hecHPJHg4ln9vKF4%3D&se=1700000000&skn=send"
    )


@pytest.mark.parametrize("uri", ["https://ns.servicebus.windows.net/eh", "https://a.b/ä hub/+%2F"])
@pytest.mark.parametrize("name", ["send", "Root.Manage_Shared-Access1"])
@pytest.mark.parametrize("key", ["k", KEY, "k+/=", "ü" * 40, "x" * 200])
def test_microsofts_own_package_gives_the_same_token(uri: str, name: str, key: str) -> None:
    theirs = EventHubSharedKeyCredential(name, key).get_token(uri)
    assert event_hubs.shared_access_signature(uri, name, key, theirs.expires_on) == theirs.token


@pytest.mark.parametrize("key", ["k", KEY, "ü" * 40, "x" * 200])
def test_the_token_follows_the_published_algorithm(key: str) -> None:
    uri = "https://ns.servicebus.windows.net/a hub"
    token = event_hubs.shared_access_signature(uri, "send", key, 1_800_000_000)
    said = dict(parse_qsl(token.removeprefix("SharedAccessSignature ")))
    signed = hmac_sha256(key.encode(), f"{quote_plus(uri)}\n1800000000".encode())
    assert said == {
        "sr": uri,
        "sig": base64.b64encode(signed).decode(),
        "se": "1800000000",
        "skn": "send",
    }


def test_a_token_is_renewed_before_it_expires() -> None:
    known = event_hubs.connection(NAMESPACE, "X")
    clock = [1_000_000.0]
    sign = event_hubs.signer("https://ns.servicebus.windows.net/eh", known, lambda: clock[0])
    first = sign()
    clock[0] += event_hubs.TOKEN_SECONDS - event_hubs.RENEW_SECONDS - 1
    assert sign() == first
    clock[0] += 2
    second = sign()
    assert second != first
    assert f"&se={1_000_000 + 2 * event_hubs.TOKEN_SECONDS - 599}&" in second["Authorization"]


def test_a_signature_of_the_users_own_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "SharedAccessSignature sr=x&sig=abc%3D&se=1&skn=send"
    text = f"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessSignature={token}"
    endpoint = made(monkeypatch, text, "eh")
    assert endpoint.sign() == {"Authorization": token}
    assert token not in endpoint.masked(f"no: {token}")


@pytest.mark.parametrize(
    "text",
    [
        NAMESPACE,
        f"{NAMESPACE};EntityPath=eh;",
        f" endpoint=sb://ns.servicebus.windows.net:5671;SHAREDACCESSKEY={KEY};"
        "SharedAccessKeyName=send;entitypath=eh\n",
    ],
)
def test_connection_strings(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    endpoint = made(monkeypatch, text, "" if "ntity" in text else "eh")
    assert (
        endpoint.url
        == "https://ns.servicebus.windows.net/eh/messages?timeout=60&api-version=2014-01"
    )
    assert endpoint.headers == {"Content-Type": "application/vnd.microsoft.servicebus.json"}
    token = endpoint.sign()["Authorization"]
    assert re.match(
        r"SharedAccessSignature sr=https%3A%2F%2Fns\.servicebus\.windows\.net%2Feh&sig=", token
    )
    assert KEY not in repr(endpoint)


def test_a_token_is_masked_wherever_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = made(monkeypatch, NAMESPACE, "eh")
    token = endpoint.sign()["Authorization"]
    signature = dict(parse_qsl(token.removeprefix("SharedAccessSignature ")))["sig"]
    for echo in (token, quote_plus(token), f'{{"token":"{token}"}}', f"key {KEY}", NAMESPACE):
        shown = endpoint.masked(echo)
        assert not any(text in shown for text in (signature, quote_plus(signature), KEY))


@pytest.mark.parametrize(
    ("tier", "limit"),
    [("basic", 256_000), ("standard", 1_000_000), ("premium", 1_000_000), ("dedicated", 1_000_000)],
)
def test_the_tier_sets_the_limit(monkeypatch: pytest.MonkeyPatch, tier: str, limit: int) -> None:
    endpoint = made(monkeypatch, NAMESPACE, "eh", tier=tier)
    assert endpoint.max_body_bytes == endpoint.max_message_bytes == limit


def test_another_host_is_sent_to_and_not_signed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_CONNECTION", NAMESPACE)
    monkeypatch.setenv("HUB_NAME", "eh")
    monkeypatch.setenv("HUB_HOST", "http://127.0.0.1:81/azure/")
    endpoint = HTTP_SINKS["event_hubs"](Settings("hub", SETTINGS))
    assert endpoint.url.startswith("http://127.0.0.1:81/azure/eh/messages?")
    assert "sr=https%3A%2F%2Fns.servicebus" in endpoint.sign()["Authorization"]


@pytest.mark.parametrize(
    ("text", "hub", "told"),
    [
        ("nonsense-s3cret", "eh", "HUB_CONNECTION is no connection string"),
        (f"{NAMESPACE};SharedAccessKey=s3cret", "eh", "HUB_CONNECTION is no connection string"),
        ("SharedAccessKeyName=a;SharedAccessKey=s3cret", "eh", "has no Endpoint=sb://"),
        ("Endpoint=https://ns/;SharedAccessKeyName=a;SharedAccessKey=s3cret", "eh", "no Endpoint"),
        ("Endpoint=sb://ns/;SharedAccessKey=s3cret", "eh", "has neither SharedAccessKeyName and"),
        ("Endpoint=sb://ns/;SharedAccessKeyName=a", "eh", "has neither SharedAccessKeyName and"),
        (f"{NAMESPACE};UseDevelopmentEmulator=true", "eh", "takes nothing over HTTP"),
        (NAMESPACE, "", "HUB_CONNECTION names no hub"),
        (NAMESPACE, "a/b", "HUB_CONNECTION names no hub"),
        (f"{NAMESPACE};EntityPath=one", "two", "for the hub one and HUB_NAME says two"),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, text: str, hub: str, told: str
) -> None:
    with pytest.raises(FlagmartError, match=re.escape(told)) as caught:
        made(monkeypatch, text, hub)
    assert "s3cret" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_page_is_no_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    objection = made(monkeypatch, NAMESPACE, "eh").objection
    assert objection("") is None
    assert "is the host right?" in str(objection("<html>"))
