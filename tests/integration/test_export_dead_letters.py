"""Messages that a destination will not have: kept, counted, listed and sent again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from flagmart import destinations
from flagmart.destinations import segment
from support.export_project import KEY, ExportProject
from support.hostility import acknowledged_ids
from support.segment_server import Answer, SegmentServer, running, split

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flagmart.destinations.endpoint import Endpoint
    from flagmart.destinations.settings import Settings

NAME = "segment_tracks"


@pytest.fixture
def server() -> Iterator[SegmentServer]:
    with running(KEY) as state:
        yield state


@pytest.fixture
def project(
    tmp_path: Path, server: SegmentServer, monkeypatch: pytest.MonkeyPatch
) -> ExportProject:
    def refused(status: int, body: str, messages: int) -> dict[int, str] | None:
        return (
            {int(place): why for place, why in json.loads(body).items()} if status == 422 else None
        )

    def endpoint(settings: Settings) -> Endpoint:
        return replace(
            segment.endpoint(settings), max_messages=100, refused=refused, splits=(400, 413)
        )

    monkeypatch.setitem(destinations.HTTP_SINKS, "segment", endpoint)
    made = ExportProject(tmp_path)
    made.env["SEGMENT_HOST"] = server.url
    return made


def refuses(reasons: dict[int, str]) -> Answer:
    return Answer(422, body=json.dumps(reasons))


def counts(project: ExportProject) -> tuple[int, int, int]:
    """Delivered, dead, unsent; their account must hold."""
    status = project.status(NAME)
    (account,) = [a for a in status["accounts"] if a["name"].startswith("exported = delivered")]
    assert account["holds"], account
    (place,) = status["places"]
    return place["rows"], place["dead"], place["unsent"]


def test_refused_rows_are_dead_and_the_others_of_their_batch_delivered(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=300)
    server.answers = [refuses({0: "no name", 1: "no name", 99: f"odd {KEY}"})]
    (report,) = project.export(NAME, code=3)
    assert (report["outcome"], report["rows"], report["dead"]) == ("partly", 297, 3)
    assert report["remarks"][-1].startswith("3 dead letters: `flagmart replay segment_tracks")
    letters = project.dead_letters(NAME)
    assert report["dead_letters"] == letters
    assert [letter["reason"] for letter in letters] == ["no name", "no name", "odd ***"]
    (batch,) = [request.body for request in server.requests if request.body not in server.taken]
    sent = split(batch)
    assert [(letter["id"], letter["payload"].encode()) for letter in letters] == [
        sent[place] for place in (0, 1, 99)
    ]
    for letter in letters:
        assert (letter["delivery"], letter["destination"]) == (NAME, "segment")
        assert (letter["where"], letter["status"]) == (f"{server.url}/v1/batch", 422)
        assert "no name" in letter["answer"]
        assert KEY not in json.dumps(letter)
    assert counts(project) == (297, 3, 0)
    assert not set(acknowledged_ids(project)) & {letter["id"] for letter in letters}
    # a plain run costs nothing and sends nothing, and later ones bring what is new
    before = len(server.requests)
    project.export(NAME, "--detailed-exitcode", code=4)
    assert len(server.requests) == before
    project.add(rows=5, run="2026-03-06 00:00:00", prefix="b")
    (report,) = project.export(NAME)
    assert (report["rows"], report["already"], report["dead"]) == (5, 297, 0)
    assert counts(project) == (302, 3, 0)


def test_status_prints_them(project: ExportProject, server: SegmentServer) -> None:
    project.build(rows=300)
    server.answers = [refuses({5: "no"})]
    assert project.call("export", NAME).returncode == 3
    done = project.call("status", NAME)
    assert "300 = 299 delivered + 1 dead + 0 unsent" in done.stdout
    assert " DEAD " in done.stdout


def test_a_replay_sends_the_mended_message_and_no_other(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=300)
    server.answers = [refuses({0: "bad", 1: "bad"})]
    project.export(NAME, code=3)
    first, second = (letter["id"] for letter in project.dead_letters(NAME))
    event = first.split(":")[2]
    project.sql(f"update events set variation = 'mended' where event_id = '{event}'")
    taken = len(server.taken)
    server.answers = [refuses({1: "still bad"})]
    (report,) = project.replay(NAME, code=3)
    assert (report["outcome"], report["rows"], report["dead"]) == ("partly", 1, 1)
    assert len(server.taken) == taken
    messages = dict(split(server.requests[-1].body))
    assert set(messages) == {first, second}
    assert b'"Variation":"mended"' in messages[first]
    (letter,) = project.dead_letters(NAME)
    assert (letter["id"], letter["reason"]) == (second, "still bad")
    assert counts(project) == (299, 1, 0)
    # without a name: whatever has dead letters
    (report,) = project.replay()
    assert (report["outcome"], report["rows"]) == ("delivered", 1)
    assert set(dict(split(server.taken[-1]))) == {second}
    assert counts(project) == (300, 0, 0)
    assert project.replay() == []
    assert project.export(NAME)[0]["outcome"] == "nothing new"


def test_a_replay_that_fails_leaves_them_dead(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=300)
    server.answers = [refuses({0: "bad", 1: "bad"})]
    project.export(NAME, code=3)
    server.always = Answer(401, body="who?")
    (report,) = project.replay(NAME, code=1)
    assert "answered 401: who?; 0 messages acknowledged, 2 stay dead" in report["remarks"][0]
    assert counts(project) == (298, 2, 0)
    server.always = None
    assert project.replay(NAME)[0]["rows"] == 2


def test_one_whose_row_is_gone_is_forgotten_with_a_word_and_new_when_it_comes_back(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=300)
    server.answers = [refuses({0: "bad", 7: "bad"})]
    project.export(NAME, code=3)
    gone, _ = project.dead_letters(NAME)
    event = gone["id"].split(":")[2]
    project.sql(
        "create table kept as from events",
        f"delete from events where event_id = '{event}'",
    )
    assert counts(project) == (298, 2, 0)  # and their account holds
    done = project.call("replay", NAME)
    assert done.returncode == 0
    assert "1 dead letter forgotten: main.segment_tracks holds no such message" in done.stderr
    assert counts(project) == (299, 0, 0)
    project.sql(f"insert into events from kept where event_id = '{event}'")
    assert counts(project) == (299, 0, 1)
    assert project.export(NAME)[0]["rows"] == 1
    assert counts(project) == (300, 0, 0)


def test_all_of_them_may_be_gone(project: ExportProject, server: SegmentServer) -> None:
    project.build(rows=300)
    server.always = refuses(dict.fromkeys(range(100), "no"))
    (report,) = project.export(NAME, code=3)
    assert (report["rows"], report["dead"]) == (0, 300)
    assert counts(project) == (0, 300, 0)
    project.sql("delete from events")
    assert project.replay(NAME)[0]["outcome"] == "delivered"
    assert project.dead_letters(NAME) == []


@pytest.mark.parametrize("status", [400, 413])
def test_a_batch_too_much_is_halved_down_to_the_one_message(
    project: ExportProject, server: SegmentServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    project.build(rows=300)
    bad = "featbit:env:a-00000042:evaluation"
    answer = server.answer

    def answers(request: object) -> Answer:
        body = request.body  # type: ignore[attr-defined]
        if bad.encode() in body:
            server.requests.append(request)  # type: ignore[arg-type]
            return Answer(status, body="too much")
        return answer(request)  # type: ignore[arg-type]

    monkeypatch.setattr(server, "answer", answers)
    (report,) = project.export(NAME, code=3)
    assert (report["rows"], report["dead"]) == (299, 1)
    (letter,) = project.dead_letters(NAME)
    assert (letter["id"], letter["status"], letter["answer"]) == (bad, status, "too much")
    assert set(server.ids().values()) == {1}
    # each part is half of the one before it
    sizes = [len(split(r.body)) for r in server.requests if bad.encode() in r.body]
    assert sizes[0] == 100
    assert all(after in (before // 2, before - before // 2) for before, after in pairwise(sizes))
    assert sizes[-1] == 1


def test_what_a_request_was_signed_with_is_seen_nowhere(
    project: ExportProject, server: SegmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = "bm90IGEgc2VjcmV0IGF0IGFsbA"
    plain = destinations.HTTP_SINKS["segment"]
    token = f"SharedAccessSignature sr=https%3A%2F%2Fx&sig={signature}%3D&se=1700000000"
    monkeypatch.setitem(
        destinations.HTTP_SINKS,
        "segment",
        lambda settings: replace(plain(settings), sign=lambda: {"X-Token": token}),
    )
    project.build(rows=300)
    shown = project.call("export", NAME, "--dry-run")
    assert '"X-Token": "***"' in shown.stdout
    server.answers = [
        refuses({0: f"not signed by {signature}"}),
        Answer(401, body=f"sig={signature}"),
    ]
    done = project.call("export", NAME)
    assert done.returncode == 1
    listed = project.call("replay", "--dry-run")
    assert "not signed by ***" in listed.stdout
    assert all(request.headers["X-Token"] == token for request in server.requests)
    for said in (shown, done, listed):
        assert signature not in said.stdout + said.stderr
    assert all(
        signature.encode() not in path.read_bytes()
        for path in project.data.rglob("*")
        if path.is_file()
    )


def test_an_answer_that_names_what_was_not_sent_stops_the_delivery(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=300)
    server.always = refuses({100: "what?"})
    (report,) = project.export(NAME, code=1)
    assert "answered 422 and refused message 100 of 100" in report["remarks"][0]
    assert counts(project) == (0, 0, 300)


def test_another_place_has_dead_letters_of_its_own(
    project: ExportProject, server: SegmentServer
) -> None:
    project.build(rows=300)
    server.answers = [refuses({0: "bad"})]
    project.export(NAME, code=3)
    project.env["SEGMENT_HOST"] = f"{server.url}/other"
    assert project.export(NAME)[0]["rows"] == 300
    assert project.replay(NAME)[0]["outcome"] == "nothing new"
    (letter,) = project.dead_letters()
    assert letter["where"] == f"{server.url}/v1/batch"


def test_names_that_have_none_are_refused(project: ExportProject) -> None:
    project.build()
    done = project.call("replay", "hackle_events")
    assert done.returncode == 2
    assert "hackle_events sends no messages" in done.stderr
