"""FeatBit's MongoDB into the landing, from a real server: what lands, what fails, who is killed."""

import json
import math
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Int64, ObjectId, json_util
from bson.datetime_ms import DatetimeMS
from pymongo.collection import Collection

from flagmart.errors import FlagmartError
from flagmart.ingest import files, mongodb_store
from flagmart.ingest.mongodb_store import MongoStore, connected
from flagmart.ingest.stores import Bounds, StoreReport, ingest
from flagmart.settings import DataFolder
from support import network
from support.command import START as NOW
from support.event_stream import both_halves_are_staged_alike, stream, under_other_ids
from support.featbit_mongodb import load
from support.landed import ENV, ids, rejects, rows, runs
from support.living_store import came_of, killed_ingests
from support.mongodb_server import INDEX, Client, mongodb_server

FACTS = (
    *("event_id", "env_id", "event", "distinct_id", "properties"),
    *("occurred_at", "source_ingested_at"),
)
START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with mongodb_server(tmp_path_factory.mktemp("mongodb") / "files") as client:
        yield client


@dataclass
class Place:
    """A database of the test's own, and a data folder."""

    client: Client
    name: str
    data: Path

    @property
    def events(self) -> Collection[dict[str, Any]]:
        return self.client[self.name]["Events"]

    @property
    def address(self) -> str:
        assert self.client.address
        return "{}:{}".format(*self.client.address)

    @property
    def url(self) -> str:
        return f"mongodb://{self.address}/{self.name}"

    def ingest(self, *, sweep: bool = False, bounds: Bounds | None = None) -> StoreReport:
        with connected() as store:
            return ingest(store, DataFolder(self.data), bounds or Bounds(), sweep=sweep)

    def source_ids(self) -> list[str]:
        return sorted(
            document.get("id") or document["_id"] for document in self.events.find({}, {"id": 1})
        )

    def landed_ids(self) -> list[str]:
        return sorted(ids(self.data))

    def command(self, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        given = {"FLAGMART_DATA": str(self.data), "FLAGMART_MONGODB_URL": url or self.url}
        return subprocess.run(
            [sys.executable, "-m", "flagmart", "ingest", "mongodb", *arguments],
            env=os.environ | given,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def place(server: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    name = f"featbit_{uuid.uuid4().hex[:8]}"
    here = Place(server, name, tmp_path / "data")
    monkeypatch.setenv("FLAGMART_MONGODB_URL", here.url)
    monkeypatch.delenv("DBT_TARGET", raising=False)
    here.events.create_index(INDEX)
    yield here
    server.drop_database(name)


def document(moment: datetime, env: str = ENV, **changes: object) -> dict[str, Any]:
    """An evaluation as FeatBit writes it."""
    return {
        "_id": str(uuid.uuid4()),
        "distinct_id": f"{env}-f",
        "env_id": env,
        "event": "FlagValue",
        "properties": {
            "flagId": f"{env}-f",
            "featureFlagKey": "f",
            "sendToExperiment": True,
            "userKeyId": "ü\t<1>",
            "userName": None,
            "variationId": "v",
        },
        "timestamp": moment,
        **changes,
    }


def metric(number: object, **changes: object) -> dict[str, Any]:
    properties = {
        "type": "CustomEvent",
        "eventName": "buy",
        "numericValue": number,
        "user": {"keyId": "u", "name": "n"},
    }
    given = {"event": "CustomEvent", "distinct_id": "buy", "properties": properties}
    return document(START) | given | changes


def odd_documents() -> list[dict[str, Any]]:
    """Events whose texts a quick way might make differently, and both shapes of ids."""
    older = document(START)
    older["id"] = older.pop("_id")
    return [
        document(START),
        {**older, "_id": ObjectId()},
        metric(1.5),
        metric(Int64(2**60)),
        metric(1e20),
        metric("1E+20"),
        document(START, properties={"at": START, "of": ObjectId("0" * 24), "deep": [{"b": 1.0}]}),
        document(START, distinct_id=None),
        document(START, timestamp=DatetimeMS(-62_000_000_000_000)),
        {name: value for name, value in document(START).items() if name != "timestamp"},
    ]


def exported(place: Place, to: Path, collection: str = "Events") -> Path:
    """The collection as mongoexport writes it: relaxed extended JSON, a line each."""
    options = json_util.RELAXED_JSON_OPTIONS.with_options(
        datetime_representation=json_util.DatetimeRepresentation.ISO8601
    )
    raw = Collection(place.client[place.name], collection).with_options(
        mongodb_store._AS_SENT  # moments without a calendar, too
    )
    to.write_text("".join(json_util.dumps(one, json_options=options) + "\n" for one in raw.find()))
    return to


def facts(data: Path) -> dict[str, tuple[Any, ...]]:
    found = {}
    for row in rows(data):
        with suppress(ValueError):
            row["properties"] = json.loads(row["properties"])
        found[row["event_id"]] = tuple(row[name] for name in FACTS)
    return found


def test_what_lands_is_what_lands_from_mongoexport(place: Place, tmp_path: Path) -> None:
    place.events.insert_many(odd_documents())
    report = place.ingest()
    assert report.is_complete
    assert report.total("landed") == 10
    assert {row["source"] for row in rows(place.data)} == {"mongodb"}
    assert {row["source_ref"] for row in rows(place.data)} == {"Events"}
    other = tmp_path / "other"
    files.ingest([exported(place, tmp_path / "e.json")], DataFolder(other))
    assert facts(place.data) == facts(other)
    assert place.landed_ids() == place.source_ids()


def test_the_same_stream_gives_the_same_staging_rows_as_from_a_file(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", NOW.isoformat())
    path = stream(tmp_path, 2_000)
    with path.open() as lines:
        load(place.events, lines)
    assert place.ingest().total("landed") == 2_004
    files.ingest([under_other_ids(path)], DataFolder(place.data))
    both_halves_are_staged_alike(place.data)


def test_v6_lands_as_from_mongoexport(place: Place, tmp_path: Path) -> None:
    at = datetime(2026, 10, 2, 7, 51, 24, 326_000, tzinfo=UTC)
    known = {"envId": ENV, "userKey": "ü\t1", "createdAt": at + timedelta(seconds=2)}
    database = place.client[place.name]
    database["ExperimentExposureEvents"].insert_one(
        {"_id": str(uuid.uuid4()), "flagKey": "f", "variationId": "v", "exposedAt": at, **known}
    )
    database["ExperimentMetricEvents"].insert_many(
        [
            {
                "_id": str(uuid.uuid4()),
                **known,
                "eventName": "buy",
                "eventType": kind,
                "numericValue": number,
                "occurredAt": at,
            }
            for kind, number in (("Click", 0.1), ("PageView", 1e20))
        ]
    )
    assert place.ingest().total("landed") == 3
    names = ["ExperimentExposureEvents", "ExperimentMetricEvents"]
    paths = [exported(place, tmp_path / name, name) for name in names]
    other = tmp_path / "other"
    files.ingest(paths, DataFolder(other))
    assert facts(place.data) == facts(other)
    assert place.ingest(sweep=True).total("read") == 0


def test_late_events_are_found_within_the_look_back_and_the_others_by_a_sweep(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    place.events.insert_many([document(now) for _ in range(100)])
    place.ingest()
    late, later, oldest, future, none = (
        document(moment)
        for moment in (
            now - timedelta(hours=2),
            now - timedelta(days=3),
            datetime(1970, 1, 1, tzinfo=UTC),
            now + timedelta(days=400),
            now,
        )
    )
    del none["event"]  # the index is no way to it
    none["properties"] = {}
    place.events.insert_many([late, later, oldest, future, none])
    before = set(ids(place.data))
    report = place.ingest()
    assert set(ids(place.data)) - before == {late["_id"], future["_id"]}
    assert report.looked_at == 102
    monkeypatch.setenv("FLAGMART_LOOK_BACK_HOURS", "100")
    place.ingest()
    assert later["_id"] in ids(place.data)
    report = place.ingest(sweep=True)
    assert (report.total("landed"), report.total("unreadable")) == (1, 1)
    assert oldest["_id"] in ids(place.data)
    assert place.ingest(sweep=True).total("read") == 0


def test_the_reads_are_bounded_whatever_the_ids_and_clocks(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongodb_store, "CHUNK_ROWS", 30)
    monkeypatch.setattr(mongodb_store, "_BATCH", 7)
    documents = [
        document(START + timedelta(minutes=n), distinct_id=f"d{n % 3}") for n in range(200)
    ]
    documents += [document(START + timedelta(minutes=7)) for _ in range(50)]  # one instant
    for one in documents[:40]:
        one["id"], one["_id"] = one["_id"], ObjectId()
    place.events.insert_many(documents)
    state = {"Events": (START + timedelta(hours=25)).isoformat()}
    with connected() as store:
        for todo, expected in (
            (store.plan(Bounds(), {}), 250),
            (store.plan(Bounds(until=START + timedelta(hours=1)), {}), 110),
            (store.plan(Bounds(), state), 140),
        ):
            sizes = [store.ids(chunk).num_rows for chunk in todo.chunks]
            assert sum(sizes) == expected
            assert max(sizes) <= 51, "only one instant is larger"
            assert [chunk.rows for chunk in todo.chunks] == sizes
            assert len({i for c in todo.chunks for i in store.ids(c)["event_id"].to_pylist()}) == (
                expected
            )
    assert place.ingest().total("landed") == 250


def test_documents_that_come_and_go_after_the_plan_are_no_answer_that_was_cut_off(
    place: Place,
) -> None:
    place.events.insert_many([document(START) for _ in range(10)])
    with connected() as store:
        [chunk] = store.plan(Bounds(), {}).chunks
        assert chunk.rows == 10
        assert came_of(store, chunk) == (10, 10)
        place.events.delete_one({})
        assert came_of(store, chunk) == (9, 9)
        place.events.insert_many([document(START) for _ in range(3)])
        assert came_of(store, chunk) == (12, 12)


def test_a_server_without_statistics_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_store, "_STATISTICS", [{"$noSuchStage": {}}])
    place.events.insert_many([document(START) for _ in range(10)])
    with connected() as store:
        assert [chunk.rows for chunk in store.plan(Bounds(), {}).chunks] == [10]
    assert place.ingest().total("landed") == 10


def test_an_answer_that_was_cut_off_is_seen(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_store, "_BATCH", 7)
    place.events.insert_many([document(START) for _ in range(20)])
    whole = MongoStore._batches

    def cut(self: MongoStore, name: str, *asked: Any) -> Iterator[Any]:
        return islice(whole(self, name, *asked), 2)

    monkeypatch.setattr(MongoStore, "_batches", cut)
    with pytest.raises(FlagmartError, match=r"14 of 20 rows of Events came, then the stream ended"):
        place.ingest()
    assert not runs(place.data)


def test_without_the_index_what_is_new_is_found_all_the_same(place: Place) -> None:
    place.events.drop_index("event_1_env_id_1_distinct_id_1_timestamp_1")
    now = datetime.now(UTC)
    place.events.insert_many([document(now), document(now - timedelta(days=9))])
    place.ingest()
    recent = document(now)
    place.events.insert_one(recent)
    report = place.ingest()
    assert (report.looked_at, report.total("landed")) == (2, 1)
    assert recent["_id"] in ids(place.data)


HOSTILE = ('{"$gt": ""}', "$where", "'; drop", "a.b", "\\", "x\ty")


def test_only_what_is_within_the_bounds_is_read_and_an_environment_is_a_value(
    place: Place,
) -> None:
    here = [document(START + timedelta(hours=hour)) for hour in range(6)]
    place.events.insert_many(here)
    place.events.insert_many(
        [document(START + timedelta(hours=2), env, distinct_id="d") for env in HOSTILE]
    )
    bounds = Bounds.parsed([ENV], "2026-05-01T02:00", "2026-05-01T04:00Z")
    assert place.ingest(bounds=bounds).total("landed") == 2
    assert sorted(ids(place.data)) == sorted(one["_id"] for one in here[2:4])
    assert not (place.data / "checkpoints").exists()
    for env in HOSTILE:
        assert place.ingest(bounds=Bounds((env,))).total("landed") == 1
    assert place.events.count_documents({}) == 6 + len(HOSTILE)


def test_what_is_no_event_goes_to_the_rejects_once(place: Place) -> None:
    good = document(START)
    place.events.insert_many(
        [
            good,
            document(START, properties="{}", event=5),
            {"_id": str(uuid.uuid4()), "event": "FlagValue", "properties": {}, "env_id": [1]},
            document(START, timestamp=DatetimeMS(10**15)),
        ]
    )
    done = place.command("--output", "json")
    assert done.returncode == 3
    document_of_it = json.loads(done.stdout)
    assert (document_of_it["read"], document_of_it["unreadable"]) == (4, 3)
    reasons = {reason for _, reason in rejects(place.data)}
    assert "timestamp outside the years 0001 to 9999" in reasons
    assert ids(place.data) == [good["_id"]]
    assert place.command("--sweep", "--detailed-exitcode").returncode == 4
    assert len(rejects(place.data)) == 3


def test_bytes_that_are_no_text_are_refused_alone() -> None:
    raw = bson.encode(document(START))
    broken = raw.replace(b"<1>", b"\xff1>")
    assert broken != raw
    parts = list(map(mongodb_store._decoded, mongodb_store._split(raw + broken)))
    batch, refused = mongodb_store._landing_rows(mongodb_store._SOURCES[0], parts)
    assert batch.num_rows == 1
    assert [row.reason for row in refused] == ["not UTF-8"]


def test_a_number_that_is_none_stays_the_text_it_is_in_a_dump() -> None:
    """FerretDB takes none, MongoDB does."""
    (batch, refused) = mongodb_store._landing_rows(
        mongodb_store._SOURCES[0], [(bson.decode(bson.encode(metric(math.nan))), "")]
    )
    assert not refused
    (properties,) = batch.column("properties").to_pylist()
    assert json.loads(properties)["numericValue"] == "NaN"


def test_a_database_that_is_not_known_is_named(place: Place, server: Client) -> None:
    done = place.command(url=f"mongodb://{place.address}/nothing")
    assert done.returncode == 1
    assert "nothing has no collection Events, and none of FeatBit v6" in done.stderr
    place.events.insert_one({"_id": "1", "env_id": "e", "event": "FlagValue", "timestamp": START})
    with pytest.raises(FlagmartError, match="documents of Events have no field properties"):
        place.ingest()
    place.events.delete_many({})
    place.events.insert_one(document(START, _id=Binary(b"x" * 16, 4)))
    with pytest.raises(FlagmartError, match="Events has an _id of type"):
        place.ingest()


def test_the_command_says_what_it_would_do_and_did(place: Place) -> None:
    place.events.insert_many([document(START) for _ in range(4)])
    label = f"{place.address}/{place.name}"
    planned = place.command("--dry-run", "--output", "json")
    assert json.loads(planned.stdout)["estimated_rows"] == 4
    assert not place.data.exists()
    url = place.url.replace("mongodb://", "mongodb://") + "?readPreference=secondaryPreferred"
    done = place.command(url=url)
    assert done.returncode == 0
    assert f"{label}: 4 rows read, 4 landed" in done.stderr
    assert place.command("--detailed-exitcode").returncode == 4


def test_a_wrong_address_is_one_line_without_what_it_hides(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongodb_store, "_FOUND_WITHIN_MS", 200)

    def failed(url: str) -> str:
        monkeypatch.setenv("FLAGMART_MONGODB_URL", url)
        with pytest.raises(FlagmartError) as caught:
            place.ingest()
        assert "\n" not in str(caught.value)
        assert "hid" not in str(caught.value)
        return str(caught.value)

    assert "nobody answers there" in failed("mongodb://u:hidden@127.0.0.1:1/featbit")
    for url in ("mongodb://u:hid/den@x/d", "postgres://hidden", "mongodb://u:hid@den@x:y/d"):
        assert "FLAGMART_MONGODB_URL is no address" in failed(url)
    assert "no MongoDB is named; set FLAGMART_MONGODB_URL" in failed("")


def test_a_connection_lost_on_the_way_is_one_line_and_nothing_lands(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = {"text": "x" * 300}
    place.events.insert_many([document(START, properties=filler) for _ in range(3_000)])
    monkeypatch.setattr(mongodb_store, "_FOUND_WITHIN_MS", 1_000)
    with network.to(f"http://{place.address}") as way:
        monkeypatch.setenv(
            "FLAGMART_MONGODB_URL", way.url.replace("http", "mongodb") + f"/{place.name}"
        )
        for answers in (60_000, 600_000):
            way.answers = answers
            with pytest.raises(
                FlagmartError, match=r"connection was lost|nobody answers"
            ) as caught:
                place.ingest()
            assert "\n" not in str(caught.value)
            assert not runs(place.data)
            assert not (place.data / "checkpoints").exists()
        way.answers = None
        assert place.ingest().total("landed") == 3_000


def test_killed_again_and_again_it_loses_nothing(place: Place) -> None:
    chance = random.Random(5)

    def put(moments: Sequence[datetime]) -> None:
        documents = [document(moment) for moment in moments]
        if chance.random() < 0.3:
            documents[0]["id"], documents[0]["_id"] = documents[0]["_id"], ObjectId()
        place.events.insert_many(documents, ordered=False)

    for _ in killed_ingests("mongodb", place.data, put, chance, 8):
        pass
    place.ingest()
    place.ingest(sweep=True)
    assert place.landed_ids() == place.source_ids()
    assert place.ingest(sweep=True).total("read") == 0


def test_a_store_counts_its_events(place: Place) -> None:
    place.events.insert_many([document(START) for _ in range(3)])
    place.events.insert_many([metric(1), document(START - timedelta(milliseconds=1), env="other")])
    place.events.insert_one({**document(START), "timestamp": None})
    day = (START - datetime(1970, 1, 1, tzinfo=UTC)).days
    with connected() as store:
        found = {(g.env_id, g.day, g.event): g.rows for g in store.counts(Bounds())}
        (bounded,) = store.counts(Bounds(("other",), None, START))
    assert found == {
        (ENV, day, "FlagValue"): 3,
        (ENV, day, "CustomEvent"): 1,
        (ENV, None, "FlagValue"): 1,
        ("other", day - 1, "FlagValue"): 1,
    }
    assert bounded.rows == 1
