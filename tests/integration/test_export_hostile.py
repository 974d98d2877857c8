"""Deliveries to a server that fails, hangs, lies and breaks off, on real sockets."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from flagmart.delivery.sending import IN_FLIGHT
from support import hostile_server
from support.certificates import ELSEWHERE, HERE, server_for
from support.export_project import KEY, ExportProject
from support.hostile_server import HostileServer
from support.hostility import deliver_through, made_hostile
from support.toxiproxy import Toxic, between

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509


def test_a_hostile_server_loses_doubles_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_hostile(monkeypatch)
    with hostile_server.running(HostileServer(seed=11, share=0.3)) as server:
        deliver_through(ExportProject(tmp_path), server, 20_000)


SLOW = Toxic("latency", {"latency": 15, "jitter": 10})


@pytest.mark.parametrize(
    "toxics",
    [
        # within a request, and within an answer
        (
            SLOW,
            Toxic("limit_data", {"bytes": 6_000}, towards_server=True),
            Toxic("limit_data", {"bytes": 140}, share=0.3),
            Toxic("slow_close", {"delay": 100}, share=0.5),
        ),
        # by itself, as Toxiproxy carries no connection any more after both
        (SLOW, Toxic("reset_peer", {"timeout": 80}, share=0.5)),
    ],
    ids=["cut", "reset"],
)
def test_a_bad_network_loses_doubles_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toxics: tuple[Toxic, ...]
) -> None:
    made_hostile(monkeypatch)
    state = HostileServer(seed=3, share=0.0, faults=())
    with hostile_server.running(state) as server, between(server.url, *toxics) as way:
        deliver_through(ExportProject(tmp_path), server, 5_000, way)
    assert server.connections > IN_FLIGHT
    # the answer was lost on the way
    assert sum(server.kept.values()) > len(server.kept)


@pytest.mark.parametrize(("name", "delivers"), [(ELSEWHERE, False), (HERE, True)])
def test_a_server_of_another_name_is_told_nothing(
    tmp_path: Path, name: x509.GeneralName, delivers: bool
) -> None:
    tls, authority = server_for(name, tmp_path / "certificates")
    state = HostileServer(seed=1, share=0.0)
    with hostile_server.running(state, tls) as server:
        project = ExportProject(tmp_path).build(rows=30)
        project.env |= {"SEGMENT_HOST": server.url, "SSL_CERT_FILE": str(authority)}
        done = project.run("export", "segment_tracks")
    if delivers:
        assert done.returncode == 0, done.stderr
        assert sum(server.acknowledged.values()) == 30
        return
    assert done.returncode == 1
    assert "no trusted connection" in done.stderr
    assert "0 messages acknowledged, 30 stay unsent" in done.stderr
    assert KEY not in done.stderr
    assert server.requests == 0


def test_an_authority_nobody_trusts_is_told_nothing(tmp_path: Path) -> None:
    tls, _ = server_for(HERE, tmp_path / "certificates")
    with hostile_server.running(HostileServer(seed=1, share=0.0), tls) as server:
        project = ExportProject(tmp_path).build(rows=30)
        project.env["SEGMENT_HOST"] = server.url
        assert project.run("export", "segment_tracks").returncode == 1
    assert server.requests == 0


def test_a_proxy_is_gone_through_where_the_environment_names_one(tmp_path: Path) -> None:
    """A request to a proxy names the whole address."""
    with hostile_server.running(HostileServer(seed=1, share=0.0)) as proxy:
        project = ExportProject(tmp_path).build(rows=30)
        project.env |= {"SEGMENT_HOST": "http://segment.invalid", "HTTP_PROXY": proxy.url}
        done = project.run("export", "segment_tracks")
        assert done.returncode == 0, done.stderr
        assert sum(proxy.acknowledged.values()) == 30
        project.env |= {"SEGMENT_HOST": f"{proxy.url}/direct", "NO_PROXY": "127.0.0.1"}
        assert project.run("export", "segment_tracks").returncode == 0
        assert proxy.targets == ["http://segment.invalid/v1/batch", "/direct/v1/batch"]


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_https_goes_through_a_proxy_that_learns_no_key(tmp_path: Path) -> None:
    with hostile_server.running(HostileServer(seed=1, share=0.0)) as proxy:
        project = ExportProject(tmp_path).build(rows=30)
        project.env |= {
            "SEGMENT_HOST": "https://segment.invalid",
            "HTTPS_PROXY": proxy.url.replace("//", "//me:proxy-password@"),
        }
        done = project.run("export", "segment_tracks")
    assert done.returncode == 1
    assert proxy.tunnels[0].startswith("CONNECT segment.invalid:443 ")
    assert "proxy-password" not in done.stderr
    for head in proxy.tunnels:
        assert f"Proxy-Authorization: Basic {encoded('me:proxy-password')}" in head
        assert encoded(f"{KEY}:") not in head
