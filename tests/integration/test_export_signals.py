"""Finished days of Statsig: by files, by calls, and never beside data that is not there."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from flagmart.delivery import signals
from flagmart.delivery.store import Folder
from support.s3_server import BUCKET
from support.s3_server import running as s3_running
from support.segment_server import Answer, running
from support.signal_kills import kill_before_days_are_finished
from support.statsig_project import BY_FILE, DATASETS, StatsigProject, march

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.segment_server import SegmentServer

KEY = "statsig-key-never-to-be-seen"


@pytest.fixture
def project(tmp_path: Path) -> StatsigProject:
    return StatsigProject(tmp_path).made()


def test_a_day_is_finished_once_both_datasets_are_there(project: StatsigProject) -> None:
    (report,) = project.export("statsig_signals", code=3)
    assert report["remarks"] == [
        "2026-03-01 and what follows wait: statsig_events has not delivered it; export that first"
    ]
    project.export("statsig_events")
    (report,) = project.export("statsig_signals", code=3)
    assert "statsig_metrics has not delivered it" in report["remarks"][0]
    assert project.finished() == []
    # named first, done last
    reports = project.export("statsig_signals", "statsig_metrics")
    assert [(r["delivery"], r["parts"]) for r in reports] == [
        ("statsig_metrics", 3),
        ("statsig_signals", 4),
    ]
    # the 4th has no row in either: nothing to deliver is delivered
    assert project.finished() == march(1, 2, 3, 4)
    schema = pq.ParquetFile(
        project.data / "exports/statsig/signals/2026-03-01/part-00000.parquet"
    ).schema
    assert str(schema.column(0).logical_type) == "String"
    assert project.export("statsig_signals", "--detailed-exitcode", code=4)[0]["already"] == 4


def test_a_rehearsal_names_the_days_and_writes_nothing(project: StatsigProject) -> None:
    project.export(*DATASETS)
    (report,) = project.export("statsig_signals", "--dry-run")
    assert (report["outcome"], report["detail"]) == (
        "would deliver",
        {"finished": march(1, 2, 3, 4)},
    )
    assert project.finished() == []
    project.export("statsig_signals")
    assert project.export("statsig_signals", "--dry-run")[0]["outcome"] == "nothing new"


def test_what_is_not_delivered_holds_up_all_that_follows(project: StatsigProject) -> None:
    """Late rows, a file that is gone, a day cut short, rows that were lost, other code."""
    project.export(*DATASETS)
    metrics = project.data / "exports/statsig/metrics/2026-03-03/part-00000.parquet"
    kept = metrics.read_bytes()
    metrics.unlink()
    (report,) = project.export("statsig_signals", code=3)
    assert (report["parts"], project.finished()) == (2, march(1, 2))
    assert report["remarks"][0].startswith("2026-03-03 and what follows wait: statsig_metrics")
    metrics.write_bytes(kept)

    book = sqlite3.connect(project.data / "ledger.sqlite")
    for digest in (None, "back"):
        book.execute(
            "update partitions set digest = ? where partition_on = '2026-03-03'", (digest,)
        )
        book.commit()
        if digest is None:
            (report,) = project.export("statsig_signals", code=3)
            assert "statsig_events has it in part only" in report["remarks"][0]
    book.close()

    project.built(checksum="2")
    (report,) = project.export("statsig_signals", code=3)
    assert "statsig_events may have changed" in report["remarks"][0]
    project.export(*DATASETS)
    project.add(rows=5, first_day="2026-03-03", prefix="late")
    (report,) = project.export("statsig_signals", code=3)
    assert "statsig_events may have changed" in report["remarks"][0]
    project.sql("delete from events where occurred_at > '2026-03-03' and event_id < 'a-00000200'")
    (report,) = project.export("statsig_signals", code=3)
    assert "statsig_events lost rows of it; export that with --allow-shrink" in report["remarks"][0]
    assert project.finished() == march(1, 2)
    assert project.export(*DATASETS, "--allow-shrink", "statsig_signals")[2]["parts"] == 2
    assert project.finished() == march(1, 2, 3, 4)


def test_finished_days_only_grow(project: StatsigProject) -> None:
    """A day before the first one, rows that come late, a first day that is gone: none is said."""
    project.export()
    files = {
        path: path.stat().st_mtime_ns
        for path in (project.data / "exports/statsig/signals").rglob("*.parquet")
    }
    project.add(rows=9, first_day="2026-02-20", prefix="old", run="2026-03-05 00:00:01")
    project.add(rows=9, first_day="2026-03-02", prefix="late", run="2026-03-05 00:00:01")
    assert project.export()[-1]["outcome"] == "nothing new"
    assert files == {path: path.stat().st_mtime_ns for path in files}
    project.sql("delete from events where occurred_at < '2026-03-02'")
    project.export("statsig_signals")
    assert project.finished() == march(1, 2, 3, 4)
    # one that was taken away comes back, and another day is over
    shutil.rmtree(project.data / "exports/statsig/signals/2026-03-02")
    project.add(rows=9, first_day="2026-03-05", prefix="next", run="2026-03-06 00:00:00")
    project.export(*DATASETS, "--allow-shrink")
    assert project.export("statsig_signals")[0]["parts"] == 2
    assert project.finished() == march(1, 2, 3, 4, 5)


def test_clocks_of_1970_hold_up_nothing() -> None:
    days = [date(1970, 1, 1) + timedelta(days=n) for n in range(20_600)]
    last = days[-1]

    def missing(day: date) -> str | None:
        return "nothing" if day < last - timedelta(days=27) else None

    what = signals.due(days, None, missing)
    assert (what.days[0], what.days[-1], len(what.days)) == (last - timedelta(days=27), last, 28)
    assert what.waiting is None
    # after the first, however long ago it was
    assert len(signals.due(days, last - timedelta(days=90), lambda day: None).days) == 90


@pytest.mark.parametrize("steps", range(4))
def test_killed_between_two_days_the_next_run_goes_on(
    project: StatsigProject, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    project.export(*DATASETS)
    real, done = Folder.put, 0

    def put(self: Folder, local: Path, name: str) -> None:
        nonlocal done
        if done == steps:
            raise OSError(5, "the machine went away")
        done += 1
        real(self, local, name)

    with monkeypatch.context() as dying:
        dying.setattr(Folder, "put", put)
        project.export("statsig_signals", code=1)
    assert project.finished() == march(*range(1, steps + 1))
    assert project.export("statsig_signals")[0]["parts"] == 4 - steps
    assert project.finished() == march(1, 2, 3, 4)


def test_datasets_lie_beside_the_days(project: StatsigProject, tmp_path: Path) -> None:
    signal = BY_FILE["statsig_signals"]
    project.built({"statsig_signals": {**signal, "path": "exports/elsewhere"}})
    (report,) = project.export("statsig_signals", code=1)
    assert "give them the same meta.flagmart.path" in report["remarks"][0]
    project.built({"statsig_signals": {**signal, "destination": "other"}})
    (report,) = project.export("statsig_signals", code=1)
    assert "brings metrics to the destination other" in report["remarks"][0]
    project.built({"statsig_signals": {**signal, "days": "all"}})
    assert "days is not a setting" in project.export("statsig_signals", code=1)[0]["remarks"][0]
    # elsewhere for once: what lies there counts
    project.built()
    project.export(*DATASETS)
    there = ["--to", str(tmp_path / "there")]
    assert project.export("statsig_signals", *there, code=3)[0]["parts"] == 0
    for name in DATASETS:
        project.export(name, *there)
    assert project.export("statsig_signals", *there)[0]["parts"] == 4
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "events",
        "metrics",
        "signals",
    ]


# by calls


@pytest.fixture
def server() -> Iterator[SegmentServer]:
    """Takes what carries the key."""
    with running("") as statsig:
        statsig.key_header = ("statsig-api-key", KEY)
        yield statsig


def by_call(project: StatsigProject, server: SegmentServer, sink: str) -> None:
    project.env.update(STATSIG_API_KEY=KEY, STATSIG_HOST=server.url)
    project.built(
        {
            "statsig_signals": {
                "destination": "statsig",
                "sink": sink,
                "key_env": "STATSIG_API_KEY",
                "host_env": "STATSIG_HOST",
            }
        }
    )


def at(project: StatsigProject, hours: float) -> None:
    moment = datetime(2026, 3, 5, 12, tzinfo=UTC) + timedelta(hours=hours)
    project.env["FLAGMART_NOW"] = moment.isoformat()


def bodies(server: SegmentServer) -> list[Any]:
    return [json.loads(body) for body in server.taken]


def test_one_call_speaks_of_all_days_before_its_moment(
    project: StatsigProject, server: SegmentServer
) -> None:
    by_call(project, server, "mark_data_ready")
    at(project, 0)
    project.export("statsig_signals", code=3)
    assert server.requests == []
    (report,) = project.export(*DATASETS, "statsig_signals")[2:]
    assert (report["unit"], report["parts"], report["remarks"]) == ("calls", 2, [])
    end = int(datetime(2026, 3, 5, 8, tzinfo=UTC).timestamp())
    assert bodies(server) == [
        {"timestamp": end, "type": "events"},
        {"timestamp": end, "type": "metrics"},
    ]
    assert {request.path for request in server.requests} == {"/v1/mark_data_ready"}
    # late rows are no new day, and the next day waits for its hour
    project.add(rows=9, first_day="2026-03-02", prefix="late", run="2026-03-06 00:00:00")
    project.add(rows=9, first_day="2026-03-05", prefix="next", run="2026-03-06 00:00:00")
    project.export(*DATASETS)
    for hours, calls in ((-1, 2), (1.99, 2), (2, 4)):
        at(project, hours)
        (report,) = project.export("statsig_signals", code=0 if calls == 4 else 3)
        assert len(server.requests) == calls
    assert bodies(server)[3] == {"timestamp": end + 86_400, "type": "metrics"}
    at(project, 9)
    assert project.export("statsig_signals")[0]["outcome"] == "nothing new"
    assert len(server.requests) == 4


def test_a_call_for_each_day_in_order_two_hours_apart(
    project: StatsigProject, server: SegmentServer
) -> None:
    by_call(project, server, "mark_data_ready_dwh")
    project.export(*DATASETS)
    for number in range(4):
        at(project, 2 * number)
        project.export("statsig_signals", code=0 if number == 3 else 3)
    assert [(said["type"], said["datestamps"]) for said in bodies(server)] == [
        (dataset, day) for day in march(1, 2, 3, 4) for dataset in ("events", "metrics")
    ]
    assert {request.path for request in server.requests} == {"/v1/mark_data_ready_dwh"}
    assert {tuple(said) for said in bodies(server)} == {("datestamps", "type")}


def test_a_rehearsal_shows_calls_without_the_key(
    project: StatsigProject, server: SegmentServer
) -> None:
    by_call(project, server, "mark_data_ready_dwh")
    project.export(*DATASETS)
    (report,) = project.export("statsig_signals", "--dry-run", code=3)
    assert report["detail"]["headers"]["statsig-api-key"] == "***"
    assert report["detail"]["bodies"] == [
        '{"datestamps": "2026-03-01", "type": "events"}',
        '{"datestamps": "2026-03-01", "type": "metrics"}',
    ]
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "requests", "counts"),
    [
        (Answer(429, {"Retry-After": "1"}, body=f"slow down, {KEY}"), 2, True),
        (Answer(500, body="oh no"), 8, True),
        (Answer(0, hang_up=True), 8, True),
        (Answer(403, body=f"not with {KEY}"), 2, False),
        (Answer(302, {"Location": "/elsewhere"}), 2, False),
        (Answer(200, body='{"success": false}'), 2, False),
        (Answer(200, body='{"error": "invalid timestamp"}'), 2, False),
        (Answer(200, body="<html>log in</html>"), 2, False),
    ],
)
def test_a_call_that_was_not_taken_goes_again(
    project: StatsigProject, server: SegmentServer, answer: Answer, requests: int, counts: bool
) -> None:
    """In two hours where Statsig may have counted it, with the next run where it has not."""
    by_call(project, server, "mark_data_ready")
    at(project, 0)
    project.export(*DATASETS)
    server.always = answer
    done = project.call("export", "statsig_signals")
    assert done.returncode == 1
    assert len(server.requests) == requests
    assert KEY not in done.stdout + done.stderr
    for path in project.data.rglob("ledger*"):
        assert KEY.encode() not in path.read_bytes()
    server.always, server.taken = None, []
    assert project.export("statsig_signals", code=3 if counts else 0)[0]["parts"] == (
        0 if counts else 2
    )
    at(project, 2)
    project.export("statsig_signals")
    assert len(server.taken) == 2


def test_a_server_that_cannot_be_reached_counted_nothing(
    project: StatsigProject, server: SegmentServer
) -> None:
    by_call(project, server, "mark_data_ready")
    at(project, 0)
    project.export(*DATASETS)
    project.env["STATSIG_HOST"] = "http://127.0.0.1:1"
    (report,) = project.export("statsig_signals", code=1)
    assert "the next run calls again" in report["remarks"][0]


def test_without_its_key_no_call_goes_out(project: StatsigProject, server: SegmentServer) -> None:
    by_call(project, server, "mark_data_ready")
    del project.env["STATSIG_API_KEY"]
    (report,) = project.export("statsig_signals", code=1)
    assert "the environment variable STATSIG_API_KEY is not set" in report["remarks"][0]
    assert server.requests == []


def test_killed_while_it_calls_the_two_hours_hold(
    project: StatsigProject, server: SegmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether that call was counted."""
    by_call(project, server, "mark_data_ready")
    at(project, 0)
    project.export(*DATASETS)

    def dies(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("flagmart.delivery.sending.post", dies)
        assert project.call("export", "statsig_signals").returncode == 130
    at(project, 1)
    (report,) = project.export("statsig_signals", code=3)
    assert (report["parts"], report["remarks"]) == (
        1,
        [
            "events: Statsig takes one call in two hours; run the export again from "
            "2026-03-05T14:00+00:00"
        ],
    )
    at(project, 2)
    project.export("statsig_signals")
    assert [said["type"] for said in bodies(server)] == ["metrics", "events"]


def test_killed_at_random_moments_no_day_is_finished_before_its_data_are_there(
    tmp_path: Path,
) -> None:
    kill_before_days_are_finished(tmp_path, kills=5, chance=random.Random(7))


def test_a_bucket_gets_the_same_files(tmp_path: Path) -> None:
    with s3_running() as store:
        project = StatsigProject(tmp_path, env=store.env).made()
        there = ["--to", f"s3://{BUCKET}/statsig"]
        for name in (*DATASETS, "statsig_signals"):
            project.export(name, *there)
        project.export()
        folder = project.data / "exports/statsig/signals"
        assert store.contents("statsig/signals") == {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*.parquet")
        }
