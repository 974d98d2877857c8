"""How much of what is unsent one export sends, and how fast; and what is sent once more."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from flagmart.warehouse import duckdb, sorting
from support.export_project import KEY, META, ExportProject
from support.segment_server import Answer, SegmentServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "segment_tracks"


@pytest.fixture
def server() -> Iterator[SegmentServer]:
    with running(KEY) as state:
        yield state


@pytest.fixture
def project(tmp_path: Path, server: SegmentServer) -> ExportProject:
    """Three runs of ingest with 100 events each, on 5, 6 and 7 March."""
    made = ExportProject(tmp_path).build(rows=100)
    made.add(rows=100, run="2026-03-06 00:00:00", prefix="b")
    made.add(rows=100, run="2026-03-07 00:00:00", prefix="c")
    made.env["SEGMENT_HOST"] = server.url
    return made


def every_id(project: ExportProject) -> Counter[str]:
    return Counter(row for (row,) in project.rows("select message_id from segment_tracks"))


def test_no_more_than_max_rows_in_the_order_they_landed(
    project: ExportProject, server: SegmentServer
) -> None:
    (report,) = project.export(NAME, "--max-rows", "150")
    assert (report["outcome"], report["rows"], report["already"]) == ("delivered", 150, 0)
    assert report["remarks"] == ["150 messages more wait for the next run"]
    ordered = project.rows(
        "select message_id from segment_tracks order by ingested_at, event_id limit 150"
    )
    assert [name for name, _ in server.messages()] == [name for (name,) in ordered]
    assert project.status(NAME)["places"][0]["unsent"] == 150
    # a whole number of runs, which is the edge
    (report,) = project.export(NAME, "--max-rows", "50", "--dry-run")
    assert (report["rows"], report["already"]) == (50, 150)
    assert project.export(NAME, "--max-rows", "50")[0]["already"] == 150
    assert project.export(NAME, "--max-rows", "5000")[0]["rows"] == 100
    assert server.ids() == every_id(project)
    project.export(NAME, "--max-rows", "1", "--detailed-exitcode", code=4)


@pytest.mark.parametrize(
    ("bounds", "prefixes"),
    [
        (["--since", "2026-03-06"], "bc"),
        (["--until", "2026-03-06"], "a"),
        (["--since", "2026-03-06", "--until", "2026-03-07T00:00:00Z"], "b"),
        (["--since", "2026-03-07T01:00:00+01:00"], "c"),
        (["--since", "2026-03-07T00:00:00.000001"], ""),
    ],
)
def test_what_lies_outside_stays_unsent_and_goes_later_once(
    project: ExportProject, server: SegmentServer, bounds: list[str], prefixes: str
) -> None:
    (report,) = project.export(NAME, *bounds)
    assert report["rows"] == 100 * len(prefixes)
    assert {name.split(":")[2][0] for name in server.ids()} == set(prefixes)
    assert project.export(NAME, *bounds)[0]["outcome"] == "nothing new"
    assert project.status(NAME)["places"][0]["unsent"] == 300 - report["rows"]
    (report,) = project.export(NAME)
    assert report["rows"] == 300 - report["already"] == 300 - 100 * len(prefixes)
    assert server.ids() == every_id(project)


def test_bounds_are_for_messages(project: ExportProject) -> None:
    for arguments in (
        ["--max-rows", "5"],
        ["hackle_events", "--since", "2026-03-01"],
        [NAME, "--since", "yesterday"],
        ["--resend", "2026-03-06"],
        [NAME, "--resend", "no-such-run"],
    ):
        done = project.call("export", *arguments)
        assert done.returncode == 2, done.stderr


def test_a_resend_sends_what_was_acknowledged_of_a_run_and_nothing_else(
    project: ExportProject, server: SegmentServer
) -> None:
    project.export(NAME, "--max-rows", "150")
    before = server.ids()
    (report,) = project.export(NAME, "--resend", "2026-03-06T00:00:00")
    assert (report["outcome"], report["rows"]) == ("delivered", 50)
    again = server.ids() - before
    assert sum(again.values()) == 50
    assert {name.split(":")[2][0] for name in again} == {"b"}
    bodies = Counter(server.messages())
    assert len(bodies) == 150  # in the same bytes
    # it changes nothing of what is unsent, nor of what was delivered
    (place,) = project.status(NAME)["places"]
    assert (place["rows"], place["unsent"]) == (150, 150)
    assert project.export(NAME)[0]["rows"] == 150
    (report,) = project.export(NAME, "--resend", "2026-04-01", code=1)
    assert "has no row with ingested_at 2026-04-01" in report["remarks"][0]


def test_a_resend_that_fails_takes_nothing_back(
    project: ExportProject, server: SegmentServer
) -> None:
    project.export(NAME)
    server.always = Answer(404)
    (report,) = project.export(NAME, "--resend", "2026-03-06", code=1)
    assert "0 of 100 were sent again" in report["remarks"][0]
    server.always = Answer(413)
    (report,) = project.export(NAME, "--resend", "2026-03-06", code=3)
    assert "100 messages refused, acknowledged as they were before" in report["remarks"][-1]
    (place,) = project.status(NAME)["places"]
    assert (place["rows"], place["dead"], place["unsent"]) == (300, 0, 0)


def test_requests_keep_to_their_rate(project: ExportProject, server: SegmentServer) -> None:
    project.add(rows=20_000, run="2026-03-08 00:00:00", prefix="d")
    project.dbt_build({**META, NAME: {**META[NAME], "requests_per_second": 20}})
    server.answers = [Answer(500)] * 3
    (report,) = project.export(NAME)
    assert report["rows"] == 20_300
    times = sorted(request.at for request in server.requests)
    assert len(times) > 10
    # the last of n requests starts n - 1 gaps after the first; the network may bring them together
    assert times[-1] - times[0] >= (len(times) - 1) / 20 - 0.2


def test_messages_longer_than_memory_go_out_in_order(
    project: ExportProject, server: SegmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb, "MESSAGE_MEMORY", "60MB")
    monkeypatch.setattr(sorting, "PART_BYTES", 8_000_000)
    project.add(rows=30_000, run="2026-03-01 00:00:00", prefix="d")
    project.sql("update events set variation = repeat('x', 2500)")
    (report,) = project.export(NAME, "--max-rows", "20")
    assert report["rows"] == 20
    landed = project.rows("select message_id from segment_tracks order by ingested_at, event_id")
    assert sorted(server.ids()) == [name for (name,) in landed[:20]]
    assert not list((project.data / "spool").rglob("*.*"))


def test_one_request_at_a_time_where_order_tells(
    project: ExportProject, server: SegmentServer
) -> None:
    project.add(rows=20_000, run="2026-03-08 00:00:00", prefix="d")
    project.dbt_build({**META, NAME: {**META[NAME], "in_order": True}})
    server.delay = 0.01
    server.answers = [Answer(413), Answer(200), Answer(503), Answer(200, hang_up=True)]
    (report,) = project.export(NAME)
    assert report["rows"] == 20_300
    came = [name for name, _ in server.messages()]
    landed = project.rows("select message_id from segment_tracks order by ingested_at, event_id")
    # what was taken and whose answer was lost comes again at once
    assert list(dict.fromkeys(came)) == [name for (name,) in landed]
    assert len(server.requests) > 12

    project.dbt_build({NAME: {**META[NAME], "in_order": "yes"}})
    (report,) = project.export(NAME, code=1)
    assert "exposure segment_tracks: meta.flagmart.in_order is 'yes'" in report["remarks"][0]


def test_a_run_that_is_none_is_named_before_a_key_is_missed(project: ExportProject) -> None:
    project.env["SEGMENT_WRITE_KEY"] = ""
    done = project.call("export", NAME, "--resend", "nosuch")
    assert done.returncode == 2
    assert "--resend 'nosuch' is no moment" in done.stderr


@pytest.mark.parametrize("rate", [0, -1, "fast", True])
def test_a_rate_that_is_none_is_refused(project: ExportProject, rate: object) -> None:
    project.dbt_build({NAME: {**META[NAME], "requests_per_second": rate}})
    (report,) = project.export(NAME, code=1)
    assert "exposure segment_tracks: meta.flagmart.requests_per_second is" in report["remarks"][0]
