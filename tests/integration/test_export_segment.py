from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from flagmart.delivery import sending
from flagmart.delivery.ledger import Ledger, Target
from flagmart.delivery.sending import UNDER_WAY
from flagmart.destinations import segment
from support.export_project import KEY, ExportProject
from support.segment_server import BATCH_SCHEMA, Answer, SegmentServer, running, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from flagmart.delivery.dead import DeadLetter

NAME = "segment_tracks"


@pytest.fixture
def server() -> Iterator[SegmentServer]:
    with running(KEY) as state:
        yield state


@pytest.fixture
def project(tmp_path: Path, server: SegmentServer) -> ExportProject:
    made = ExportProject(tmp_path)
    made.env["SEGMENT_HOST"] = server.url
    return made


def every_id(project: ExportProject) -> Counter[str]:
    return Counter(row for (row,) in project.rows("select message_id from segment_tracks"))


def payloads(project: ExportProject) -> dict[str, bytes]:
    return {
        message_id: payload.encode()
        for message_id, payload in project.rows("select message_id, payload from segment_tracks")
    }


def test_every_id_arrives_exactly_once(project: ExportProject, server: SegmentServer) -> None:
    project.build(rows=20_000)
    (report,) = project.export(NAME)
    assert (report["outcome"], report["rows"], report["already"]) == ("delivered", 20_000, 0)
    assert server.ids() == every_id(project)
    assert dict(server.messages()) == payloads(project)
    assert len(server.requests) == report["parts"] > 5
    for request in server.requests:
        assert request.path == "/v1/batch"
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["User-Agent"] == "flagmart"
        assert len(request.body) <= segment.MAX_BODY_BYTES
        document = json.loads(request.body)
        jsonschema.Draft202012Validator(BATCH_SCHEMA).validate(document)


def test_a_second_export_sends_nothing(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.export(NAME)
    (report,) = project.export(NAME)
    assert (report["outcome"], report["rows"], report["already"]) == ("nothing new", 0, 300)
    assert len(server.requests) == 1
    project.export(NAME, "--detailed-exitcode", code=4)


def test_new_late_and_uncovered_rows_go_once(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.sql(
        "alter view segment_tracks rename to all_tracks",
        "create view segment_tracks as select * from all_tracks where user_key <> 'user-5'",
    )
    hidden = 300 - project.export(NAME)[0]["rows"]
    assert hidden == 4
    # a run of its own with events older than those that went; more rows in a run that was whole
    project.add(rows=10, first_day="2026-01-01", run="2026-03-06 00:00:00", prefix="late")
    project.sql("create or replace view segment_tracks as select * from all_tracks")
    assert project.export(NAME)[0]["rows"] == 10 + hidden
    # rows that vanish and rows landed anew under another run are no reason to send anything
    project.sql("delete from events where user_key = 'user-7'")
    project.sql("update events set ingested_at = '2026-03-09'")
    assert project.export(NAME)[0]["outcome"] == "nothing new"
    assert set(server.ids().values()) == {1}
    assert sum(server.ids().values()) == 310


def test_pointed_elsewhere_everything_is_new(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.export(NAME)
    project.env["SEGMENT_HOST"] = f"{server.url}/other"
    done = project.call("export", NAME)
    assert f"{server.url}/other/v1/batch is a new place, so everything is sent" in done.stderr
    assert f"before, it went to {server.url}/v1/batch" in done.stderr
    assert sum(server.ids().values()) == 600
    assert server.requests[-1].path == "/other/v1/batch"
    project.add(rows=5, run="2026-03-06 00:00:00", prefix="b")
    assert "new place" not in project.call("export", NAME).stderr


def test_killed_in_the_middle_every_id_arrives_and_repeats_are_equal(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=40_000)
    server.delay = 0.05
    process = project.start("export", NAME)
    # so many are under way at once: the next but one comes only after one was recorded
    while process.poll() is None and len(server.taken) < UNDER_WAY + 2:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    first = len(server.messages())
    assert 0 < first < 40_000
    server.delay = 0.0

    (report,) = project.export(NAME)
    assert report["outcome"] == "delivered"
    assert 40_000 - first <= report["rows"] < 40_000
    assert set(server.ids()) == set(every_id(project))
    expected = payloads(project)
    assert all(body == expected[message_id] for message_id, body in server.messages())
    # only what was under way when it died may come twice
    repeats = sum(count - 1 for count in server.ids().values())
    assert repeats <= UNDER_WAY * max(len(split(body)) for body in server.taken)
    assert project.export(NAME)[0]["outcome"] == "nothing new"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, {"Retry-After": "1"}),
        Answer(429, {"Retry-After": "Sun, 01 Mar 2099 00:00:00 GMT"}),
        Answer(429, {"X-RateLimit-Reset": "1"}),
        Answer(408),
        Answer(500, body="oops"),
        Answer(503),
        Answer(503, {"Retry-After": "0"}),
        Answer(0, hang_up=True),
    ],
    ids=lambda answer: f"{answer.status}{''.join(answer.headers)}",
)
def test_what_may_pass_is_tried_again(
    project: ExportProject, server: SegmentServer, answer: Answer
) -> None:
    project.build(rows=5_000)
    server.answers = [answer] * 5
    (report,) = project.export(NAME)
    assert report["outcome"] == "delivered"
    assert server.ids() == every_id(project)
    assert len(server.requests) == len(server.taken) + 5


def test_a_ledger_that_cannot_be_written_stops_the_delivery_and_loses_nothing(
    project: ExportProject, server: SegmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.build(rows=40_000)
    acknowledge = Ledger.acknowledge
    writes, recorded = 0, 0

    def fails(
        self: Ledger,
        target: Target,
        spool_id: int,
        spans: Iterable[tuple[int, int]],
        dead: Iterable[DeadLetter] = (),
        replayed: Iterable[str] = (),
    ) -> None:
        nonlocal writes, recorded
        writes += 1
        if writes > 2:
            raise sqlite3.OperationalError("database or disk is full")
        acknowledge(self, target, spool_id, spans, dead, replayed)
        recorded += sum(last - first + 1 for first, last in spans)

    with monkeypatch.context() as full:
        full.setattr(Ledger, "acknowledge", fails)
        # three writes know of nine requests at most, of some twenty
        full.setattr(sending, "UNDER_WAY", 3)
        (report,) = project.export(NAME, code=1)
    assert report["outcome"] == "failed"
    assert "database or disk is full" in report["remarks"][0]
    assert writes == 3
    # no request started once it was known
    assert sum(server.ids().values()) < 40_000
    assert project.export(NAME)[0]["rows"] == 40_000 - recorded
    assert set(server.ids()) == set(every_id(project))


def test_a_lost_answer_repeats_the_same_bytes(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=2_000)
    server.answers = [Answer(500, take_it=True)]
    project.export(NAME)
    assert server.taken[0] in server.taken[1:]
    assert set(server.ids()) == set(every_id(project))


def test_a_server_that_stays_down_stops_the_delivery_and_loses_nothing(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=2_000)
    server.always = Answer(503, body="maintenance")
    (report,) = project.export(NAME, code=1)
    assert (
        "answered 503: maintenance, 10 times over; 0 messages acknowledged, 2,000 stay unsent"
        in (report["remarks"][0])
    )
    server.always = None
    assert project.export(NAME)[0]["rows"] == 2_000
    assert server.ids() == every_id(project)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 501])
def test_what_will_not_pass_stops_at_once(
    project: ExportProject, server: SegmentServer, status: int
) -> None:
    project.build(rows=30_000)
    server.answers = [Answer(200), Answer(200)]
    server.always = Answer(status, {"Location": "/elsewhere"}, "no\n\x1b[31m" + "x" * 9_000)
    (report,) = project.export(NAME, code=1)
    assert report["outcome"] == "failed"
    taken = sum(server.ids().values())
    assert report["rows"] == taken > 0
    (remark,) = report["remarks"]
    assert f"answered {status}" in remark
    assert f"{taken:,} messages acknowledged, {30_000 - taken:,} stay unsent" in remark
    assert len(remark) < 1_000
    assert remark.isprintable()
    assert len(server.requests) <= 2 + 8
    assert {request.path for request in server.requests} == {"/v1/batch"}
    server.always = None
    assert project.export(NAME)[0]["rows"] == 30_000 - taken
    assert server.ids() == every_id(project)


def test_a_run_is_done_only_when_all_of_it_is_acknowledged(
    project: ExportProject, server: SegmentServer
) -> None:
    """Two ingest runs whose event ids lie among each other, stopped after more than half."""
    project.build(rows=30_000)
    project.sql("update events set ingested_at = '2026-03-06' where hash(event_id) % 2 = 0")
    server.answers = [Answer(200)] * 9
    server.always = Answer(400)
    project.export(NAME, code=1)
    assert sum(server.ids().values()) > 15_000
    server.always = None
    project.export(NAME)
    assert server.ids() == every_id(project)


def test_the_key_is_seen_nowhere(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.env["FLAGMART_DEBUG"] = "1"
    token = server.key_header[1].removeprefix("Basic ")
    server.always = Answer(400, body=f"bad key {KEY} {token}")
    for arguments in (["--dry-run"], [], ["--output", "json"]):
        done = project.run("export", NAME, *arguments)
        for secret in (KEY, token):
            assert secret not in done.stdout + done.stderr
    assert "bad key *** ***" in done.stderr
    server.always = None
    project.export(NAME)
    kept = [path for path in project.data.rglob("*") if path.is_file()]
    assert len(kept) > 3
    for path in kept:
        assert not any(s.encode() in path.read_bytes() for s in (KEY, token)), path


def test_a_wrong_key_stops_with_nothing_lost(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.env["SEGMENT_WRITE_KEY"] = "another-key"
    (report,) = project.export(NAME, code=1)
    assert (
        "answered 401: invalid write key; 0 messages acknowledged, 300 stay unsent"
        in report["remarks"][0]
    )
    del project.env["SEGMENT_WRITE_KEY"]
    assert project.export(NAME)[0]["rows"] == 300
    assert server.ids() == every_id(project)


def test_a_dry_run_sends_nothing_and_writes_nothing(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build()
    before = sorted(project.data.rglob("*"))
    (report,) = project.export(NAME, "--dry-run")
    assert (report["outcome"], report["rows"]) == ("would deliver", 300)
    detail: dict[str, Any] = report["detail"]
    assert (detail["method"], detail["url"]) == ("POST", f"{server.url}/v1/batch")
    assert detail["headers"]["Authorization"] == "Basic ***"
    jsonschema.validate(json.loads(detail["body_of_first_message"]), BATCH_SCHEMA)
    assert server.requests == []
    assert sorted(project.data.rglob("*")) == before
    project.export(NAME)
    assert project.export(NAME, "--dry-run")[0]["outcome"] == "nothing new"


def test_a_message_too_large_is_a_dead_letter_and_the_rest_go(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build()
    project.sql("update events set variation = repeat('x', 40000) where event_id = 'a-00000042'")
    (report,) = project.export(NAME, code=3)
    assert (report["outcome"], report["rows"], report["dead"]) == ("partly", 299, 1)
    assert (
        "message featbit:env:a-00000042:evaluation was refused: it has 40,"
        in (report["remarks"][0])
    )
    (report,) = project.export(NAME)
    assert (report["outcome"], report["already"]) == ("nothing new", 299)
    project.sql("update events set variation = 'on' where event_id = 'a-00000042'")
    assert project.export(NAME)[0]["outcome"] == "nothing new"
    (report,) = project.replay()
    assert (report["outcome"], report["rows"], report["already"]) == ("delivered", 1, 299)
    assert server.ids() == every_id(project)


def test_a_repeated_message_id_is_refused(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.export(NAME)
    project.sql(
        "insert into events select * replace ('2026-03-08' as ingested_at) from events limit 1"
    )
    (report,) = project.export(NAME, code=1)
    assert (
        "holds a message_id more than once (first: featbit:env:a-00000000:evaluation)"
        in (report["remarks"][0])
    )
    assert len(server.requests) == 1


def test_a_lost_ledger_is_noticed(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.export(NAME)
    for path in project.data.glob("ledger.sqlite*"):
        path.unlink()
    (report,) = project.export(NAME, code=1)
    assert "the ledger knows nothing of it" in report["remarks"][0]
    assert len(server.requests) == 1


def test_a_data_folder_may_have_any_name(tmp_path: Path, server: SegmentServer) -> None:
    made = ExportProject(tmp_path / "a [b]* 'c'")
    made.env["SEGMENT_HOST"] = server.url
    made.build()
    made.export(NAME)
    made.add(rows=5, run="2026-03-06 00:00:00", prefix="b")
    assert made.export(NAME)[0]["rows"] == 5


def test_a_relative_data_folder(
    project: ExportProject, server: SegmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.build()
    project.export(NAME)
    project.add(rows=5, run="2026-03-06 00:00:00", prefix="b")
    monkeypatch.chdir(project.root)
    project.env["FLAGMART_DATA"] = "data"
    assert project.export(NAME)[0]["rows"] == 5


def test_ids_that_fell_short_are_noticed(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.export(NAME)
    (ids,) = (project.data / "acknowledged" / NAME).glob("*.parquet")
    pq.write_table(pq.read_table(ids).slice(0, 299), ids)
    project.add(rows=5, run="2026-03-06 00:00:00", prefix="b")
    (report,) = project.export(NAME, code=1)
    assert "holds 299 of 300 acknowledged message ids" in report["remarks"][0]
    assert len(server.requests) == 1


def test_lost_ids_are_noticed(project: ExportProject, server: SegmentServer) -> None:
    project.build()
    project.export(NAME)
    (ids,) = (project.data / "acknowledged" / NAME).glob("*.parquet")
    ids.unlink()
    project.add(rows=5, run="2026-03-06 00:00:00", prefix="b")
    (report,) = project.export(NAME, code=1)
    assert f"{ids.name} is missing: it holds 300 acknowledged message ids" in report["remarks"][0]
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", ["<html>please log in</html>", '{"success": false}'])
def test_an_answer_of_success_that_is_none_stops_the_delivery(
    project: ExportProject, server: SegmentServer, body: str
) -> None:
    project.build()
    server.always = Answer(200, body=body)
    (report,) = project.export(NAME, code=1)
    assert report["rows"] == 0
    assert body in report["remarks"][0]
    server.always = None
    assert project.export(NAME)[0]["rows"] == 300
