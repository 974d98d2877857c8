"""Exports from ClickHouse: to the last byte what DuckDB delivers, and only what is new."""

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client

from flagmart import settings, talk
from flagmart.delivery import export as exporting
from flagmart.delivery import files as delivering
from flagmart.delivery import places
from flagmart.delivery.deliveries import Built, Delivery, read_project
from flagmart.delivery.ledger import opened
from flagmart.delivery.report import Outcome, Report
from flagmart.destinations.settings import Settings
from flagmart.errors import FlagmartError
from flagmart.settings import DataFolder
from flagmart.warehouse import landed_runs, open_reader
from flagmart.warehouse.clickhouse import Reader
from flagmart.warehouse.clickhouse_client import connected
from flagmart.warehouse.protocol import PartitionFigures, Relation
from support.clickhouse.server import Address, running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment
from support.command import flagmart
from support.dbt_project import ROOT
from support.installation import SEGMENT_KEY, Installation
from support.segment_server import Answer
from support.segment_server import running as segment_running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running(tmp_path_factory.mktemp("clickhouse")) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: Address) -> Iterator[Client]:
    with client_of(address) as opened:
        yield opened


@dataclass
class Both:
    duck: Installation
    click: Installation
    sources: tuple[Path, Path]


@pytest.fixture(scope="module")
def both(address: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    everything = folder / "all.jsonl"
    options = "--events 6000 --users 90 --flags 4 --days 12 --start 2026-01-01 --seed 5 --dirty 0.3"
    flagmart("generate", *options.split(), "--out", str(everything), data=folder)
    lines = everything.read_bytes().splitlines(keepends=True)
    source, later = folder / "most.jsonl", folder / "later.jsonl"
    source.write_bytes(b"".join(lines[:-40]))
    later.write_bytes(b"".join(lines[-40:]))
    with segment_running(SEGMENT_KEY) as one, segment_running(SEGMENT_KEY) as other:
        yield Both(
            Installation(folder / "duck", None, one),
            Installation(folder / "click", environment(address, "exports"), other),
            (source, later),
        )


def test_both_engines_deliver_the_same_bytes(both: Both) -> None:
    for minutes, source in enumerate(both.sources):
        before, taken = both.click.files(), len(both.click.segment.taken)
        for place in (both.duck, both.click):
            place.ingest_and_build(source, minutes)
        ours, theirs = both.click.export(), both.duck.export()
        for name, report in ours.items():
            # no other day is over by the second run
            nothing_new = minutes and name == "statsig_signals"
            expected = Outcome.NOTHING_NEW if nothing_new else Outcome.DELIVERED
            assert report["outcome"] == expected, report
            assert {**report, "where": ""} == {**theirs[name], "where": ""}
        assert both.click.files() == both.duck.files()
        assert len(both.click.files()) > 20
        # eight requests are in flight at a time, so they arrive in any order
        assert sorted(both.click.segment.taken) == sorted(both.duck.segment.taken)
        assert len(both.click.segment.taken) > taken
        if minutes:
            now = both.click.files()
            changed = {Path(name).parent.name for name in now if before.get(name) != now[name]}
            assert 0 < len(changed) < 5, "only the days that the second run brought events of"
            assert 0 < ours["segment_tracks"]["rows"] <= 40
    assert set(both.click.segment.ids().values()) == {1}
    again = both.click.export()
    assert {report["outcome"] for report in again.values()} == {Outcome.NOTHING_NEW}

    status, duck = both.click.status(), both.duck.status()
    assert all(account["holds"] for account in status["accounts"])
    assert {place["unsent"] for place in status["places"]} == {0}
    for name in ("ingest", "events", "chart_points", "exports", "exclusions", "accounts"):
        assert status[name] == duck[name], name


def test_both_engines_plan_the_same_purge(both: Both) -> None:
    """Of deliveries as the models make them, of a stream with faults."""
    named = ("segment_tracks", "statsig_events", "hackle_events")
    plans = []
    for place in (both.duck, both.click):
        asked = [
            "purge-plan",
            *("--store", "postgres", "--table", "events"),
            *(part for name in named for part in ("--delivered-to", name)),
        ]
        text = flagmart(*asked, data=place.data, env=place.environment)
        counts = json.loads(
            flagmart(*asked, "--output", "json", data=place.data, env=place.environment)
        )
        for one in counts["deliveries"]:
            one.pop("where")
            known = sum(value for value in one.values() if isinstance(value, int))
            assert known == counts["landed"] - counts["odd_ids"]
            assert one["delivered"] >= counts["planned"] == text.count("-") // 4 > 1_000
            assert one["rejected"] > 0
        plans.append((text, counts))
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("mart", "day", "files"),
    [
        ("fct_evaluation_counts", "bucket_on", range(10, 40)),
        ("fct_event_quality", None, [1]),
        # maps, decimals, days
        ("hackle_events", "partition_on", range(10, 40)),
    ],
)
def test_any_relation_is_delivered_as_it_is_by_both_engines(
    both: Both,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mart: str,
    day: str | None,
    files: Collection[int],
) -> None:
    found = []
    for name, place in (("duck", both.duck), ("click", both.click)):
        values = {"destination": "lake", "sink": "files", "layout": "plain", "path": mart}
        own = Settings(mart, {**values, **({"partition_by": day} if day else {})})
        data = DataFolder(tmp_path / name)
        data.ensure(data.root)
        with monkeypatch.context() as env, opened(data.ledger) as book:
            for variable, value in place.environment.items():
                env.setenv(variable, value)
            relation = read_project(ROOT).relations[mart]
            delivery = Delivery(mart, own, relation, "", frozenset(), "", "")

            @contextmanager
            def built(place: Installation = place) -> Iterator[Built]:
                with open_reader(DataFolder(place.data), 0, talk.say) as reader:
                    yield Built(reader, "f")

            where = places.place(delivery, data)
            target = book.target(mart, "lake", where.points_to(data))

            for outcome in (Outcome.DELIVERED, Outcome.NOTHING_NEW):
                report = delivering.deliver(
                    delivery, where, target, book, data.spool, built, allow_shrink=False
                )
                assert report.outcome is outcome
        root = tmp_path / name / mart
        found.append(
            {
                path.relative_to(root).as_posix(): path.read_bytes()
                for path in root.rglob("*.parquet")
            }
        )
    assert found[0] == found[1]
    assert len(found[0]) in files
    assert sum(pq.ParquetFile(BytesIO(body)).metadata.num_rows for body in found[0].values()) > 0


def test_what_is_acknowledged_is_left_out_of_a_run_that_changed(both: Both) -> None:
    sent = len(both.click.segment.ids())
    with closing(sqlite3.connect(both.click.data / "ledger.sqlite")) as book, book:
        book.execute("update runs set rows = rows + 1")  # as if other rows had been there
    for arguments in (["segment_tracks", "--dry-run"], ["segment_tracks"]):
        report = both.click.export(*arguments)["segment_tracks"]
        figures = (report["outcome"], report["rows"], report["already"])
        assert figures == (Outcome.NOTHING_NEW, 0, sent)


def test_what_failed_goes_with_the_next_run(both: Both) -> None:
    with segment_running(SEGMENT_KEY) as elsewhere:
        elsewhere.answers = [Answer(200), Answer(200), Answer(200), Answer(400)]
        click = replace(both.click, segment=elsewhere)
        failed = click.export("segment_tracks", code=1)["segment_tracks"]
        assert 0 < failed["rows"] < len(both.duck.segment.ids())
        unsent = {place["where"]: place["unsent"] for place in click.status()["places"]}
        rest = click.export("segment_tracks")["segment_tracks"]
        assert rest["rows"] == unsent[f"{elsewhere.url}/v1/batch"]
        assert rest["already"] == failed["rows"]
        assert elsewhere.ids() == both.duck.segment.ids()


def test_dead_letters_bounds_and_resends_are_those_of_duckdb(both: Both) -> None:
    *_, run = landed_runs(DataFolder(both.duck.data))
    moment = run.ingested_at.removesuffix("Z")
    for place, said in ((both.duck, run.run_id), (both.click, moment)):
        with segment_running(SEGMENT_KEY) as elsewhere:
            here = replace(place, segment=elsewhere)
            elsewhere.answers = [Answer(413)]
            one = here.export("segment_tracks", "--max-rows", "1", code=3)["segment_tracks"]
            assert (one["rows"], one["dead"]) == (0, 1)
            some = here.export("segment_tracks", "--until", moment)["segment_tracks"]
            last = here.export("segment_tracks")["segment_tracks"]
            assert some["rows"] > 0 < last["rows"]
            (account,) = [
                (found["rows"], found["dead"], found["unsent"])
                for found in here.status()["places"]
                if found["where"] == f"{elsewhere.url}/v1/batch"
            ]
            assert account == (some["rows"] + last["rows"], 1, 0)
            assert here.replay()["segment_tracks"]["rows"] == 1
            assert elsewhere.ids() == both.duck.segment.ids()
            again = here.export("segment_tracks", "--resend", said)["segment_tracks"]
            assert again["rows"] == last["rows"]
            assert elsewhere.ids().total() == len(both.duck.segment.ids()) + last["rows"]


def test_a_build_under_an_export_stops_it(
    both: Both, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in both.click.environment.items():
        monkeypatch.setenv(name, value)
    partitions = Reader.partitions

    def note(state: str) -> None:
        client.command(
            "alter table exports_builds.builds update state = {state:String} where 1 "
            "settings mutations_sync = 2",
            {"state": state},
        )

    def as_a_build_begins(
        reader: Reader, relation: Relation, *columns: str | None
    ) -> list[PartitionFigures]:
        note("running")
        return partitions(reader, relation, *columns)

    def export() -> Report:
        options = exporting.Options(project_dir=ROOT)
        [report] = exporting.export(["statsig_events"], options, DataFolder(both.click.data))
        return report

    monkeypatch.setattr(Reader, "partitions", as_a_build_begins)
    report = export()
    assert report.outcome is Outcome.FAILED
    assert report.remarks == (
        "dbt ran while this was reading; run the export again when it is done",
    )
    monkeypatch.setattr(Reader, "partitions", partitions)
    assert "did not finish" in export().remarks[0]
    note("finished")
    assert export().outcome is Outcome.NOTHING_NEW


def test_fewer_rows_than_counted_are_an_error(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in both.click.environment.items():
        monkeypatch.setenv(name, value)
    with connected(settings.clickhouse()) as opened:
        assert sum(b.num_rows for b in opened.stream("select * from numbers(5)", expected=5)) == 5
        assert list(opened.stream("select * from numbers(0)", expected=0)) == []
        for select in ("select * from numbers(4)", "select * from numbers(0)"):
            with pytest.raises(FlagmartError, match=r"gave [04] of 5 rows: it broke off"):
                list(opened.stream(select, expected=5))
        broken = "select throwIf(number = 1999999) from numbers(2000000)"
        with pytest.raises(FlagmartError, match=r"ClickHouse at 127\.0\.0\.1"):
            list(opened.stream(broken, expected=2_000_000))


def test_artifacts_of_another_engine_are_refused(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in both.click.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DBT_TARGET_PATH", str(both.duck.data / "target"))
    message = "was made for duckdb and DBT_TARGET says clickhouse; run `dbt build` with"
    with pytest.raises(FlagmartError, match=message):
        exporting.export([], exporting.Options(project_dir=ROOT), DataFolder(both.click.data))
