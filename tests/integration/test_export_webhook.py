"""A relation of any kind to an address of the user's own, as its delivery describes it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.export_project import META, ExportProject
from support.segment_server import Answer, SegmentServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "token-never-to-be-seen"
WEBHOOK = {
    "destination": "warehouse team",
    "sink": "webhook",
    "url_env": "ACME_URL",
    "headers": {"Authorization": "ACME_AUTH"},
    "envelope": "lines",
    "max_messages": 90,
}


@pytest.fixture
def server() -> Iterator[SegmentServer]:
    with running("") as state:
        state.key_header = ("Authorization", f"Bearer {TOKEN}")
        yield state


@pytest.fixture
def project(tmp_path: Path, server: SegmentServer) -> ExportProject:
    made = ExportProject(tmp_path).build()
    made.env |= {"ACME_URL": f"{server.url}/in/", "ACME_AUTH": f"Bearer {TOKEN}"}
    # of the three columns that a relation needs for it, and of no destination that we know
    made.sql(
        """
        create view purchases as
        select event_id, 'p-' || event_id as message_id,
            '{"who":' || to_json(user_key) || ',"what":' || to_json(variation) || '}' as payload,
            ingested_at
        from events
        """
    )
    made.dbt_build({**META, "purchases": WEBHOOK}, {"model.flagmart.purchases": "success"})
    return made


def test_any_relation_goes_to_any_address(project: ExportProject, server: SegmentServer) -> None:
    (report,) = project.export("purchases")
    assert (report["outcome"], report["rows"], report["parts"]) == ("delivered", 300, 4)
    assert {request.path for request in server.requests} == {"/in/"}
    assert {request.headers["Content-Type"] for request in server.requests} == {
        "application/x-ndjson"
    }
    sent = Counter(line for request in server.requests for line in request.body.split(b"\n")[:-1])
    rows = project.rows("select payload from purchases")
    assert sent == Counter(payload.encode() for (payload,) in rows)
    assert all(json.loads(line).keys() == {"who", "what"} for line in sent)
    assert project.export("purchases")[0]["outcome"] == "nothing new"


def test_its_headers_are_seen_nowhere(project: ExportProject, server: SegmentServer) -> None:
    server.always = Answer(400, body=f"bad token {TOKEN}")
    for arguments in (["--dry-run"], []):
        done = project.run("export", "purchases", *arguments)
        assert TOKEN not in done.stdout + done.stderr
    assert "bad token ***" in done.stderr
    server.always = None
    project.export("purchases")
    for path in project.data.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
