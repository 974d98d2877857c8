"""Versions of flags and users from FeatBit's own PostgreSQL and MongoDB, real servers both."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bson import Binary
from bson.binary import UuidRepresentation

from flagmart.settings import DataFolder
from flagmart.warehouse import manifest
from support.featbit_postgres import make_dimensions
from support.mongodb_server import Client, mongodb_server
from support.postgres_server import PostgresServer, postgres_server

PROD, DEV = (str(uuid.UUID(int=number)) for number in (1, 2))
CHANGED = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
VARIATIONS = [
    {"id": "v1", "name": "On", "value": "true"},
    {"id": "v2", "name": "Öff", "value": 'say "no"\n'},
]
PROPERTIES = [{"name": "plan", "value": "ü"}, {"name": "age", "value": "7"}]


class Store:
    """A store with tables of flags and users, and none of events."""

    kind: str
    url: str

    def put_flag(self, key: str, name: str, env: str = PROD) -> None:
        raise NotImplementedError

    def put_user(self, key: str, name: str | None, env: str | None = PROD) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        """Drop the table of users."""
        raise NotImplementedError


class Postgres(Store):
    kind = "postgres"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.url = server.url
        make_dimensions(server)

    def put_flag(self, key: str, name: str, env: str = PROD) -> None:
        variations = json.dumps(VARIATIONS).replace("'", "''")
        self.server.run(
            f"delete from feature_flags where key = '{key}' and env_id = '{env}'",
            f"""
            insert into feature_flags values (
                '{uuid.uuid5(uuid.UUID(env), key)}', '{env}', gen_random_uuid(), '{name}', null,
                '{key}', 'string', '{variations}', true, false, null, now(), '{CHANGED}'
            )
            """,
        )

    def put_user(self, key: str, name: str | None, env: str | None = PROD) -> None:
        owner = f"'{env}'" if env else "null"
        self.server.run(
            f"delete from end_users where key_id = '{key}' and env_id is not distinct from {owner}",
            f"""
            insert into end_users values (
                gen_random_uuid(), null, {owner}, '{key}', '{name or ""}',
                '{json.dumps(PROPERTIES)}', now(), '{CHANGED}'
            )
            """,
        )

    def forget(self) -> None:
        self.server.run("drop table end_users")


class MongoDB(Store):
    kind = "mongodb"

    def __init__(self, client: Client, name: str) -> None:
        self.database = client[name]
        assert client.address
        self.url = "mongodb://{}:{}/{}".format(*client.address, name)

    def put_flag(self, key: str, name: str, env: str = PROD) -> None:
        where = {"key": key, "envId": Binary.from_uuid(uuid.UUID(env))}
        self.database["FeatureFlags"].delete_many(where)
        self.database["FeatureFlags"].insert_one(
            {
                "_id": Binary.from_uuid(uuid.uuid5(uuid.UUID(env), key)),
                **where,
                "name": name,
                "variationType": "string",
                "variations": VARIATIONS,
                "isEnabled": True,
                "isArchived": False,
                "targetUsers": [],
                "updatedAt": CHANGED,
            }
        )

    def put_user(self, key: str, name: str | None, env: str | None = PROD) -> None:
        # what C# drivers wrote of old
        legacy = UuidRepresentation.CSHARP_LEGACY
        owner = Binary.from_uuid(uuid.UUID(env), legacy) if env else None
        where = {"keyId": key, "envId": owner}
        self.database["EndUsers"].delete_many(where)
        self.database["EndUsers"].insert_one(
            {
                "_id": Binary.from_uuid(uuid.uuid4(), legacy),
                **where,
                "name": name,
                "customizedProperties": PROPERTIES,
                "updatedAt": CHANGED,
            }
        )

    def forget(self) -> None:
        self.database.drop_collection("EndUsers")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


@pytest.fixture(scope="module")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with mongodb_server(tmp_path_factory.mktemp("mongodb") / "files") as client:
        yield client


@pytest.fixture(params=["postgres", "mongodb"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    name = f"versions_{uuid.uuid4().hex[:8]}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        yield Postgres(server.made(name))
        server.run(f"drop database {name} with (force)")
    else:
        client: Client = request.getfixturevalue("mongo")
        yield MongoDB(client, name)
        client.drop_database(name)


@dataclass
class Place:
    """A data folder that is filled from a store."""

    store: Store
    data: Path

    def start(self, what: str, *more: str) -> subprocess.Popen[str]:
        asked = ("ingest", what, "--source", self.store.kind, "--output", "json", *more)
        return subprocess.Popen(
            [sys.executable, "-m", "flagmart", *asked],
            env={
                **os.environ,
                "FLAGMART_DATA": str(self.data),
                f"FLAGMART_{self.store.kind.upper()}_URL": self.store.url,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ingest(self, what: str, *more: str, code: int = 0) -> tuple[list[int], str]:
        """Read, landed, unchanged and unreadable; and what was said."""
        process = self.start(what, *more)
        told, said = process.communicate()
        assert process.returncode == code, said
        if not told:
            return [], said
        counts = json.loads(told)
        return [counts[name] for name in ("read", "landed", "unchanged", "unreadable")], said

    def rows(self) -> list[dict[str, Any]]:
        folder = DataFolder(self.data).landing / "featbit_versions"
        return [
            row
            for file in manifest.read(folder).files
            for row in pq.read_table(folder / file.name).to_pylist()
        ]


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Place:
    return Place(store, tmp_path / "data")


def test_flags_and_users_land_as_versions(place: Place) -> None:
    store = place.store
    store.put_flag("f", "Flag")
    store.put_flag("f", "Flag", env=DEV)
    for key, env in (("u 1", PROD), ("u 1", DEV), ("everywhere", None)):
        store.put_user(key, "Zoë", env=env)
    assert place.ingest("flags")[0] == [2, 2, 0, 0]
    assert place.ingest("users")[0] == [3, 3, 0, 0]
    assert place.ingest("flags", "--detailed-exitcode", code=4)[0] == [2, 0, 2, 0]
    store.put_flag("f", "Renamed", env=DEV)
    store.put_user("u 1", None, env=PROD)
    assert place.ingest("flags")[0] == [2, 1, 1, 0]
    assert place.ingest("users")[0] == [3, 1, 2, 0]

    def flag(env: str, name: str) -> tuple[str, ...]:
        content = {
            "id": str(uuid.uuid5(uuid.UUID(env), "f")),
            "isArchived": False,
            "isEnabled": True,
            "name": name,
            "variationType": "string",
            "variations": json.dumps(VARIATIONS, ensure_ascii=False, separators=(",", ":")),
        }
        return "flag", env, "f", json.dumps(content, ensure_ascii=False, separators=(",", ":"))

    def user(env: str, key: str, name: str) -> tuple[str, ...]:
        attributes = r"{\"age\":\"7\",\"plan\":\"ü\"}"
        return "user", env, key, f'{{"attributes":"{attributes}","name":"{name}"}}'

    found = place.rows()
    facts = [
        tuple(row[name] for name in ("event", "env_id", "distinct_id", "properties"))
        for row in found
    ]
    assert sorted(facts) == sorted(
        [
            *(flag(PROD, "Flag"), flag(DEV, "Flag"), flag(DEV, "Renamed")),
            *(user(PROD, "u 1", "Zoë"), user(DEV, "u 1", "Zoë"), user("", "everywhere", "Zoë")),
            user(PROD, "u 1", ""),
        ]
    )
    assert {row["occurred_at"] for row in found} == {CHANGED.replace(tzinfo=None)}
    assert {row["source"] for row in found} == {store.kind}


def test_a_dry_run_reads_and_lands_nothing_and_envs_are_chosen(place: Place) -> None:
    for env in (PROD, DEV):
        place.store.put_user("u", "U", env=env)
        place.store.put_flag("f", "F", env=env)
    assert place.ingest("users", "--dry-run")[0] == [2, 2, 0, 0]
    assert not place.data.exists()
    assert place.ingest("users", "--env", DEV)[0] == [1, 1, 0, 0]
    assert place.ingest("flags", "--env", DEV, "--env", "x' or true --")[0] == [1, 1, 0, 0]
    assert {row["env_id"] for row in place.rows()} == {DEV}


def test_a_store_without_a_table_says_so_and_one_with_another_names_what_is_missing(
    place: Place,
) -> None:
    store = place.store
    store.put_flag("f", "F")
    store.put_user("u", "U")
    store.forget()
    counts, said = place.ingest("users")
    assert counts == [0, 0, 0, 0]
    names = {"postgres": "end_users", "mongodb": "EndUsers"}
    assert f"has no {names[store.kind]}, so no users are read" in said
    if isinstance(store, Postgres):
        store.server.run("alter table feature_flags rename variations to served")
        _, said = place.ingest("flags", code=1)
        assert "table feature_flags has no column variations" in said
    elif isinstance(store, MongoDB):
        store.database["FeatureFlags"].update_many({}, {"$unset": {"variations": ""}})
        _, said = place.ingest("flags", code=1)
        assert "documents of FeatureFlags have no field variations" in said


def test_killed_ingests_lose_and_double_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    """Users change between runs, most of them killed; the last version is what the store has."""
    database = postgres.made("killed_versions")
    store = Postgres(database)
    place = Place(store, tmp_path / "data")
    database.run(
        f"""
        insert into end_users
        select
            gen_random_uuid(), null, '{PROD}', 'u' || number, 'U',
            jsonb_build_array(jsonb_build_object('name', 'n', 'value', '0')), now(), now()
        from generate_series(1, 30000) as number
        """
    )
    killed = finished = 0
    # waits differ, so that kills fall where they may; one is never killed
    for change, wait in enumerate((0.6, None, 1.6, 2.4)):
        process = place.start("users")
        if wait is not None:
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        finished += process.returncode == 0
        database.run(
            "update end_users set customized_properties = jsonb_build_array(jsonb_build_object("
            f"'name', 'n', 'value', '{change + 1}')) where hashtext(key_id) % 3 = {change % 3}"
        )
    assert killed
    assert finished
    place.ingest("users")
    assert place.ingest("users")[0] == [30000, 0, 30000, 0]
    newest: dict[str, tuple[datetime, str]] = {}
    ids = set()
    for row in place.rows():
        ids.add(row["event_id"])
        assert newest.get(row["distinct_id"], (None, ""))[1] != row["properties"]
        newest[row["distinct_id"]] = (row["ingested_at"], row["properties"])
    assert len(ids) == len(place.rows())
    stored = database.rows("select key_id, customized_properties->0->>'value' from end_users")
    assert {
        key: f'{{"attributes":"{{\\"n\\":\\"{value}\\"}}","name":"U"}}' for key, value in stored
    } == {key: content for key, (_, content) in newest.items()}
