"""Batches of one partition key: cut, halved, refused, sent again, taken up where they stopped."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from support.export_project import META, ExportProject
from support.segment_server import Answer, Request, SegmentServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "event_hub_events"
ROWS = 300
RUNS = ("2026-03-05 00:00:00", "2026-03-06 00:00:00")
DELIVERY = {
    "destination": "hub",
    "sink": "event_hubs",
    "connection_env": "CONNECTION",
    "hub_env": "HUB",
    "host_env": "HOST",
}


@pytest.fixture
def server() -> Iterator[SegmentServer]:
    with running("") as state:
        state.key_header = ("User-Agent", "flagmart")
        yield state


@pytest.fixture
def project(tmp_path: Path, server: SegmentServer) -> ExportProject:
    """Two ingest runs over four buckets."""
    made = ExportProject(tmp_path).build(rows=ROWS)
    made.add(rows=ROWS, run=RUNS[1], prefix="b")
    made.sql(
        f"""
        create view {NAME} as
        select event_id, event_id as message_id, user_key,
            (right(user_key, 1)::int % 4)::varchar as partition_key,
            '{{"Body":"' || user_key || '","UserProperties":{{"Id":"' || event_id || '"}}}}'
                as payload,
            ingested_at
        from events
        """
    )
    made.env |= {
        "CONNECTION": "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;"
        "SharedAccessKey=never-to-be-seen",
        "HUB": "hub",
        "HOST": server.url,
    }
    made.dbt_build({**META, NAME: DELIVERY}, {f"model.flagmart.{NAME}": "success"})
    return made


def ids(request: Request) -> list[str]:
    return [element["UserProperties"]["Id"] for element in json.loads(request.body)]


def key(request: Request) -> str:
    properties = json.loads(request.headers["BrokerProperties"])
    assert list(properties) == ["PartitionKey"]
    return str(properties["PartitionKey"])


def keys(project: ExportProject) -> dict[str, str]:
    return dict(project.rows(f"select message_id, partition_key from {NAME}"))


def test_a_batch_holds_all_of_a_run_that_has_its_key(
    project: ExportProject, server: SegmentServer
) -> None:
    (report,) = project.export(NAME)
    assert (report["rows"], len(server.requests)) == (2 * ROWS, 8)
    wanted = keys(project)
    orders: defaultdict[str, list[list[str]]] = defaultdict(list)
    for request in server.requests:
        assert {wanted[name] for name in ids(request)} == {key(request)}
        assert ids(request) == sorted(ids(request))
        orders[key(request)].append(ids(request))
    assert set(orders) == set("0123")
    for one, other in orders.values():
        assert {one[0][0], other[0][0]} == {"a", "b"}
    assert project.status(NAME)["places"][0]["unsent"] == 0


def test_halves_keep_the_key_and_a_message_that_is_too_much_is_dead(
    project: ExportProject, server: SegmentServer
) -> None:
    server.answers = [Answer(413)] * 3
    (report,) = project.export(NAME)
    assert report["outcome"] == "delivered"
    wanted = keys(project)
    assert all({wanted[name] for name in ids(r)} == {key(r)} for r in server.requests)
    assert len(server.requests) > 8
    assert Counter(name for r in server.requests for name in ids(r)).keys() == wanted.keys()

    server.always = Answer(413)
    project.add(rows=1, run="2026-03-07 00:00:00", prefix="c")
    (report,) = project.export(NAME, code=3)
    (letter,) = project.dead_letters(NAME)
    server.always = None
    (report,) = project.replay(NAME)
    assert report["rows"] == 1
    assert ids(server.requests[-1]) == [letter["id"]]
    assert key(server.requests[-1]) == keys(project)[letter["id"]]


def test_what_was_cut_off_goes_on_where_it_was(
    project: ExportProject, server: SegmentServer
) -> None:
    (report,) = project.export(NAME, "--max-rows", "130")
    assert report["rows"] == 130
    server.answers = [Answer(200), Answer(401), Answer(401)]
    project.export(NAME, code=1)
    (report,) = project.export(NAME)
    wanted = keys(project)
    taken = Counter(
        element["UserProperties"]["Id"] for body in server.taken for element in json.loads(body)
    )
    assert taken == Counter(list(wanted))
    assert all({wanted[name] for name in ids(r)} == {key(r)} for r in server.requests)

    server.requests.clear()
    (report,) = project.export(NAME, "--resend", RUNS[1])
    assert report["rows"] == ROWS
    assert sorted(name for r in server.requests for name in ids(r)) == sorted(
        name for name in wanted if name.startswith("b")
    )
    assert all({wanted[name] for name in ids(r)} == {key(r)} for r in server.requests)


def test_a_rehearsal_shows_the_key(project: ExportProject, server: SegmentServer) -> None:
    (report,) = project.export(NAME, "--dry-run")
    assert json.loads(report["detail"]["headers"]["BrokerProperties"]) == {"PartitionKey": "0"}
    assert not server.requests


def test_a_row_without_a_key_is_no_batch(project: ExportProject, server: SegmentServer) -> None:
    project.sql("update events set user_key = null where event_id = 'a-00000007'")
    project.sql(
        f"create or replace view {NAME} as select event_id, event_id as message_id, "
        "user_key as partition_key, '{}' as payload, ingested_at from events"
    )
    done = project.run("export", NAME)
    assert done.returncode == 1
    assert f"main.{NAME} has rows without a key to batch it by; mend the model" in done.stderr
    assert not server.requests
