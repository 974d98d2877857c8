"""Every delivery that is built on request: its bodies against what is published of the destination,
its payloads byte for byte on both engines, its events accounted for."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest
from cloudevents.core.bindings import http

from support import hostile_server
from support.certificates import ELSEWHERE, server_for
from support.clickhouse.server import running as running_clickhouse
from support.clickhouse_target import client as clickhouse_client
from support.clickhouse_target import environment as clickhouse_environment
from support.command import FLAGMART, START, environment, flagmart
from support.dbt_project import ROOT, build, query, run_dbt
from support.hostile_server import HostileServer
from support.relations import different, on_clickhouse, on_duckdb
from support.request_schemas import SCHEMAS
from support.secrets import Leaks, indiscreet, keys
from support.segment_server import Request, running
from support.versions import write_exports

ALL = ("--vars", "{flagmart_further_deliveries: all}")
EXPORTS = (*ALL, "--select", "+path:models/exports")
CONNECTION = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey="
KEY = "key-never-to-be-seen"
VARIABLES = {
    "event_hub_events": ("EVENT_HUBS_HOST", "/hub/messages?timeout=60&api-version=2014-01"),
    "statsig_log_events": ("STATSIG_EVENTS_HOST", "/v1/log_event"),
    "mixpanel_events": ("MIXPANEL_HOST", "/import?strict=1"),
    "amplitude_events": ("AMPLITUDE_HOST", "/batch"),
    "posthog_events": ("POSTHOG_HOST", "/batch/"),
    "cloudevents": ("CLOUDEVENTS_URL", ""),
    "segment_identifies": ("SEGMENT_HOST", "/v1/batch"),
    "statsig_exposures": ("STATSIG_EVENTS_HOST", "/v1/log_custom_exposure"),
}
"""By delivery: the variable with its host, and the path it posts to."""


KEYS = (
    *("STATSIG_SERVER_KEY", "MIXPANEL_TOKEN", "AMPLITUDE_API_KEY", "POSTHOG_API_KEY"),
    *("CLOUDEVENTS_AUTHORIZATION", "SEGMENT_WRITE_KEY"),
)
HUB = "EVENT_HUBS_CONNECTION_STRING"
SECRETS = keys(*KEYS, HUB)
DEBUGGING = {
    "FLAGMART_DEBUG": "1",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONFAULTHANDLER": "1",
    "FLAGMART_LONGEST_WAIT": "0.01",
}
"""Whatever makes Python and us talk; and no long waits."""


def secret_environment() -> dict[str, str]:
    """Every variable with a key, as a shell would have them."""
    return {
        **SECRETS,
        HUB: CONNECTION + SECRETS[HUB],
        "CLOUDEVENTS_AUTHORIZATION": f"Bearer {SECRETS['CLOUDEVENTS_AUTHORIZATION']}",
        "EVENT_HUBS_HUB": "hub",
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ingest runs of a dirty stream, built after each, with all of dbt's tests at the end."""
    data = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as shell:
        for name, value in secret_environment().items():
            shell.setenv(name, value)  # dbt keeps logs of what it does
        for number, part in enumerate(stream(data)):
            at = START + timedelta(minutes=number)
            flagmart("ingest", "files", str(part), data=data, at=at)
            _, users = write_exports(part.read_bytes().splitlines(), number, data)
            flagmart("ingest", "users", str(users), data=data, at=at)
            build(*EXPORTS, data=data)
        ran = run_dbt("test", *ALL, "--select", "path:models/exports", data=data)
    assert ran.returncode == 0, ran.stdout
    return data


def stream(folder: Path) -> list[Path]:
    """3,000 lines with names and keys of all kinds, in two files."""
    source = folder / "events.jsonl"
    options = (
        "--events 3000 --users 150 --flags 4 --days 30 --start 2026-01-01 --seed 5 --dirty 0.2"
    )
    flagmart("generate", *options.split(), "--out", str(source), data=folder)
    lines = source.read_bytes().splitlines()
    parts = [folder / "0.jsonl", folder / "1.jsonl"]
    for path, some in zip(parts, (lines[:1800], lines[1800:]), strict=True):
        path.write_bytes(b"\n".join(some) + b"\n")
    return parts


def test_every_delivery_that_can_be_asked_for_is_tested() -> None:
    assert SCHEMAS.keys() == VARIABLES.keys()


def test_bodies_are_what_each_destination_documents(built: Path) -> None:
    with running("") as server:
        server.key_header = ("User-Agent", "flagmart")
        hosts = {variable: f"{server.url}/{variable}" for variable, _ in VARIABLES.values()}
        keys = {"EVENT_HUBS_CONNECTION_STRING": CONNECTION + KEY, "EVENT_HUBS_HUB": "hub"}
        keys |= dict.fromkeys(KEYS, KEY)
        export = ("export", *VARIABLES, "--output", "json")
        rehearsed = flagmart(*export, "--dry-run", data=built, env=hosts | keys)
        assert not server.requests
        told = flagmart(*export, data=built, env=hosts | keys)
        assert KEY not in rehearsed + told
        kept = [path for path in built.rglob("*") if path.is_file()]
        assert not [path for path in kept if KEY.encode() in path.read_bytes()]
        reports: dict[str, Any] = {report["delivery"]: report for report in json.loads(told)}
    assert reports.keys() == VARIABLES.keys()
    called = {place: name for name, place in VARIABLES.items()}
    buckets = dict(query(built, "select payload, partition_key from event_hub_events"))
    bodies: dict[str, list[Any]] = {name: [] for name in VARIABLES}
    for request in server.requests:
        variable, slash, path = request.path[1:].partition("/")
        name = called[variable, slash + path]
        zipped = request.headers.get("Content-Encoding") == "gzip"
        body = json.loads(gzip.decompress(request.body) if zipped else request.body)
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate(body)
        bodies[name].append(body)
        if name == "cloudevents":
            read_by_the_sdk(request, body)
        if name == "event_hub_events":
            key = json.loads(request.headers["BrokerProperties"])["PartitionKey"]
            assert {buckets[text] for text in texts_of(request.body)} == {key}
    for name, report in reports.items():
        assert report["outcome"] == "delivered", report
        payloads = [json.loads(row[0]) for row in query(built, f"select payload from {name}")]
        sent = Counter(json.dumps(one) for body in bodies[name] for one in messages(body))
        assert sent == Counter(map(json.dumps, payloads))
        assert report["rows"] == len(payloads) > 0


def read_by_the_sdk(request: Request, body: list[dict[str, Any]]) -> None:
    """It knows single events; a batch is defined as an array of these."""
    assert request.headers["Content-Type"] == "application/cloudevents-batch+json"
    single = {"Content-Type": "application/cloudevents+json"}
    for text, element in zip(texts_of(request.body), body, strict=True):
        event = http.from_structured_event(http.HTTPMessage(single, text.encode()))
        assert (event.get_specversion(), event.get_id()) == ("1.0", element["id"])
        assert (event.get_source(), event.get_type()) == (element["source"], element["type"])
        assert (event.get_subject(), event.get_data()) == (element["subject"], element["data"])
        moment = event.get_time()
        assert moment is not None
        assert moment == datetime.fromisoformat(element["time"])


def free_port() -> int:
    """Of 127.0.0.1; nobody listens there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def texts_of(body: bytes) -> list[str]:
    """The elements of an array as they stand in it."""
    decoder, text, at = json.JSONDecoder(), body.decode(), 1
    found = []
    while at < len(text):
        end = decoder.raw_decode(text, at)[1]
        found.append(text[at:end])
        at = end + 1
    return found


def messages(body: Any) -> list[Any]:
    """The messages of a body, which is their array or an object with one."""
    if isinstance(body, list):
        return body
    (found,) = [value for value in body.values() if isinstance(value, list)]
    return list(found)


def test_no_key_is_seen_anywhere(built: Path, tmp_path: Path) -> None:
    """Of any destination, however it answers and whatever breaks."""
    data = tmp_path / "data"
    left = ("ledger*", "acknowledged", "spool")
    shutil.copytree(built, data, ignore=shutil.ignore_patterns(*left))
    leaks = Leaks(SECRETS)
    names = (*VARIABLES, "segment_tracks")
    wrong: list[str] = []

    def shell(url: str) -> dict[str, str]:
        hosts = {variable: f"{url}/{variable}" for variable, _ in VARIABLES.values()}
        return environment(data) | secret_environment() | hosts | DEBUGGING

    def told(*arguments: str, url: str, **more: str) -> str:
        ran = subprocess.run(
            [FLAGMART, *arguments],
            cwd=ROOT,
            env=shell(url) | more,
            capture_output=True,
            text=True,
            check=False,
        )
        leaks.note(server.requests)
        wrong.extend(leaks.of(ran.stdout + ran.stderr, arguments))
        return ran.stdout + ran.stderr

    few = ("export", *names, "--max-rows", "3", "--output", "json")
    tls, authority = server_for(ELSEWHERE, tmp_path / "certificates")
    another = hostile_server.running(HostileServer(seed=1, share=0.0), tls)
    with running("") as server, another as elsewhere:
        server.key_header = ("User-Agent", "flagmart")
        assert "POST" in told("export", *names, "--dry-run", url=server.url)
        for way in ("key", "server", "elsewhere", "row", "size"):
            server.judge = partial(indiscreet, way=way)
            seen = len(server.requests)
            assert "***" in told(*few, url=server.url), way
            # none follows a redirect
            assert len({r.path for r in server.requests[seen:]}) == len(VARIABLES)
        assert "***" in told("replay", "--dry-run", url=server.url)
        # a key in a header, one in the body, and one that signs
        three = ("export", "statsig_log_events", "posthog_events", "event_hub_events")
        assert "no trusted connection" in told(
            *three, url=elsewhere.url, SSL_CERT_FILE=str(authority)
        )
        assert "Connect" in told(*three, url=f"http://127.0.0.1:{free_port()}")
        # in the midst of it, and as it falls
        server.judge, server.delay = None, 60.0
        at_work = subprocess.Popen(
            [FLAGMART, *few],
            cwd=ROOT,
            env=shell(server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seen = len(server.requests)
        while at_work.poll() is None and len(server.requests) == seen:
            time.sleep(0.01)
        wrong += leaks.of(Path(f"/proc/{at_work.pid}/cmdline").read_text(), "ps")
        assert list((data / "spool").rglob("*.arrow"))
        wrong += leaks.below(data)
        at_work.send_signal(signal.SIGABRT)
        fallen = at_work.communicate()[0]
        assert "in export" in fallen
        wrong += leaks.of(fallen, "the traceback of a fall")
        server.delay = 0.0
        assert "delivered" in told("replay", url=server.url)
        assert "delivered" in told("export", *names, "--output", "json", url=server.url)
        manifest = data / "target" / "manifest.json"
        document = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**document, "exposures": [1]}))
        assert "Traceback" in told(*few, url=server.url)
    assert len(leaks.signed) > 4
    assert wrong + leaks.below(data) == []


def test_an_event_in_an_event_hub_is_json_itself(built: Path) -> None:
    tracks = dict(query(built, "select event_id, payload from segment_tracks"))
    for event_id, payload in query(built, "select event_id, payload from event_hub_events"):
        element = json.loads(payload)
        assert element["UserProperties"] == {"Id": event_id}
        track = json.loads(tracks[event_id])
        properties = track["properties"]
        moment = properties.pop("FeatBitTimestamp")
        assert json.loads(element["Body"]) == {
            **properties,
            "Timestamp": moment,
            "UserId": track["userId"],
        }


def test_users_are_spread_over_buckets_and_stay_in_theirs(built: Path) -> None:
    found = query(built, "select distinct user_key, partition_key from event_hub_events")
    assert len({user for user, _ in found}) == len(found)
    assert len({bucket for _, bucket in found}) > 25
    assert all(0 <= int(bucket) < 32 for _, bucket in found)


def test_a_user_is_identified_when_new_and_when_a_trait_changes(built: Path) -> None:
    """In order of landing, over two builds, as if all had been seen at once."""
    names: dict[tuple[str, str], str] = {}
    attributes: dict[tuple[str, str], str] = {}
    expected = []
    for event_id, *user, name, told, _ in query(
        built,
        """select event_id, env_id, user_key, coalesce(user_name, ''), null, ingested_at
        from int_exports__events
        union all
        select version_id, env_id, user_key, coalesce(user_name, ''), attributes, ingested_at
        from stg_featbit__user_versions
        where env_id in (select env_id from int_exports__environments where is_exported)
        order by 6, 1""",
    ):
        key = (user[0], user[1])
        changes = name and name != names.get(key, "")
        if told is not None:
            changes = changes or told != attributes.get(key, "{}")
            attributes[key] = told
        if key not in names or changes:
            traits = {"name": name} if name else {}
            expected.append((event_id, user[1], traits | json.loads(told or "{}")))
        names[key] = name or names.get(key, "")
    found = [
        (event_id, user_key, json.loads(payload)["traits"])
        for event_id, user_key, payload in query(
            built,
            """select event_id, user_key, payload from segment_identifies
            order by ingested_at, event_id""",
        )
    ]
    assert found == expected
    brought = Counter(
        kind for (kind,) in query(built, "select brought_by from int_segment__user_traits")
    )
    assert min(brought["event"], brought["version"]) > 20
    renamed = Counter(user_key for _, user_key, _ in found)
    assert len(renamed) < len(found)


def test_users_known_are_the_same_after_a_kill_and_a_full_refresh(built: Path) -> None:
    ours = on_duckdb(built, ["int_segment__user_traits", "segment_identifies"])
    chosen = (*ALL, "--select", "int_segment__user_traits+")
    # as a kill leaves it: of the last run only some rows are there, and no note says it is whole
    with duckdb.connect(str(built / "flagmart.duckdb")) as connection:
        (gone,) = connection.execute(
            """delete from int_segment__user_traits
            where ingested_at = (select max(ingested_at) from int_segment__user_traits)
            and hash(event_id) % 2 = 0"""
        ).fetchone() or (0,)
        connection.execute(
            """update flagmart_builds.finished_runs
            set ingested_at = (select min(ingested_at) from int_segment__user_traits)
            where node_id like '%int_segment__user_traits%'"""
        )
    assert gone > 0
    build(*chosen, data=built)
    assert different(on_duckdb(built, list(ours)), ours) == {}
    build(*chosen, "--full-refresh", data=built)
    assert different(on_duckdb(built, list(ours)), ours) == {}


def test_both_engines_give_the_same_bytes(
    built: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("clickhouse")
    with running_clickhouse(folder / "engine") as address, clickhouse_client(address) as client:
        target = clickhouse_environment(address, "further")
        for number in range(2):
            at = START + timedelta(minutes=number)
            source = built / f"{number}.jsonl"
            flagmart("ingest", "files", str(source), data=folder, at=at, env=target)
            users = built / f"users-{number}.jsonl"
            flagmart("ingest", "users", str(users), data=folder, at=at, env=target)
            build(*EXPORTS, data=folder, env=target)
        ran = run_dbt("test", *ALL, "--select", "path:models/exports", data=folder, env=target)
        assert ran.returncode == 0, ran.stdout
        relations = [*VARIABLES, "fct_export_exclusions"]
        found = on_clickhouse(built, client, "further", relations)
    assert different(on_duckdb(built, relations), found) == {}
