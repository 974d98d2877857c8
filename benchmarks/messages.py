"""HTTP export against what else sends messages, all to one server that answers at once.

Every figure is of N ready messages: rows of a table with the texts that the model renders, in
DuckDB's file. Rendering them is DuckDB's work, and the same for all.

Ours is the real command, `flagmart export segment_tracks`, a whole process: imports, dbt's
manifest, what is unsent, order, spool, ids, every answer in the ledger. Each rival is a whole
process, too, reads the same table in any order, keeps account of nothing, and gets its messages
the way that suits it best:

- Segment's own library for Python, with the settings that were fastest of those tried: one thread
  (with more they wait for Python's lock), its queue large enough that none is dropped, batches as
  large as the API takes, no gzip;
- dlt's custom destination, fed with rows, as its documentation does with a database, and fed with
  Arrow, which it passes on as parquet;
- one call for each event, as a loop around a session that keeps its connection. A few thousand are
  sent, and the seconds of all the others are worked out from them.

The bare client posts bodies that lie ready in memory, as many at a time as we do, and what is
compared with it is our sending alone: from a spool on the disk, each answer recorded in the ledger.

Memory is that of the whole command with the view as it is built, rendering included.

The rivals are no dependencies of this project; benchmarks/measure.py says how to get them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.request import urlopen

from base import land
from measure import (
    ABSENT,
    BIN,
    RIVALS,
    RIVALS_ENV,
    ROOT,
    Figures,
    Spent,
    extrapolated,
    memory,
    pairs,
    process_pairs,
    run,
    spent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "segment_tracks"
SINGLE_CALLS = 3_000
READ = """
import duckdb, json, sys
file, host, limit, work = sys.argv[1:]
connection = duckdb.connect(file, read_only=True, config={"threads": 2})
query = f"select message_id, payload from segment_tracks limit {limit}"
"""
SEGMENT = (
    READ
    + """
from datetime import datetime
from segment.analytics.client import Client

failed = []
queued = 50_000
client = Client(
    "key",
    host=host,
    max_queue_size=queued,
    upload_size=2_500,
    on_error=lambda *said: failed.append(said),
)
rows = connection.execute(query)
while chunk := rows.fetchmany(queued):
    for _, payload in chunk:
        message = json.loads(payload)
        client.track(
            message["userId"],
            message["event"],
            message["properties"],
            timestamp=datetime.fromisoformat(message["timestamp"]),
            message_id=message["messageId"],
        )
    client.flush()
client.shutdown()
sys.exit(str(failed[0]) if failed else 0)
"""
)
DLT = (
    READ
    + """
import dlt, requests
from threading import local

dlt.config["load.workers"] = 8
dlt.config["normalize.data_writer.file_max_items"] = 20_000
dlt.config["data_writer.file_max_items"] = 20_000
held = local()

def post(payloads):
    if not hasattr(held, "session"):
        held.session = requests.Session()
    body = ('{"batch":[' + ",".join(payloads) + "]}").encode()
    held.session.post(host + "/v1/batch", body, headers={"Content-Type": "application/json"}
    ).raise_for_status()
"""
)
DLT_ROWS = (
    DLT
    + """
@dlt.destination(batch_size=500, name="sink")
def sink(items, table):
    post([item["payload"] for item in items])

def messages():
    rows = connection.execute(query)
    while chunk := rows.fetchmany(10_000):
        yield [{"message_id": message_id, "payload": payload} for message_id, payload in chunk]
"""
)
DLT_ARROW = (
    DLT
    + """
@dlt.destination(batch_size=500, loader_file_format="parquet", name="sink")
def sink(items, table):
    post(items.column("payload").to_pylist())

def messages():
    yield from connection.sql(query).to_arrow_reader(100_000)
"""
)
DLT_RUN = """
pipeline = dlt.pipeline("bench", pipelines_dir=work, destination=sink)
pipeline.run(dlt.resource(messages, name="messages")).raise_on_failed_jobs()
"""
ONE_BY_ONE = (
    READ
    + """
import requests

session = requests.Session()
for _, payload in connection.execute(query).fetchall():
    session.post(host + "/v1/track", payload.encode(), headers={"Content-Type": "application/json"}
    ).raise_for_status()
"""
)
READY = f"""
import duckdb, sys
with duckdb.connect(sys.argv[1]) as engine:
    engine.execute("create table ready as from {NAME}")
    engine.execute("drop view {NAME}")
    engine.execute("alter table ready rename to {NAME}")
"""
"""A table of rendered messages in the place of the view; in a process of its own, since the system
counts the memory of who starts a process as that of the one started."""
SPOOL = """
import sys
from pathlib import Path
from flagmart.delivery import spool
from flagmart.warehouse.duckdb import reader
from flagmart.warehouse.protocol import Relation

data, relation = Path(sys.argv[1]), Relation("main", "segment_tracks")
with reader(data / "flagmart.duckdb", data / "spill", 0, print) as warehouse:
    moments = [run.ingested_at for run in warehouse.runs(relation)]
    messages = warehouse.unsent(relation, moments, [])
    spool.write(messages, data / "ids.parquet", data / "payloads.arrow", str(relation))
"""
POST = """
import asyncio, sys, time
from pathlib import Path
from flagmart.delivery import ledger, sending, spool
from flagmart.delivery.retry import Patience
from flagmart.destinations import segment
from flagmart.destinations.settings import Settings

data = Path(sys.argv[1])
named = {"key_env": "SEGMENT_WRITE_KEY", "host_env": "SEGMENT_HOST"}
to = segment.endpoint(Settings("segment_tracks", named))
batches = spool.batches(data / "payloads.arrow", to)
"""
SENDING = (
    POST
    + """
with ledger.opened(data / "sent.sqlite") as book:
    target = book.target("segment_tracks", "segment", to.url)
    opened = book.open_spool(target)

    def record(answers):
        spans = [span for answered in answers for span in answered.spans]
        book.acknowledge(target, opened.id, spans)

    began = time.perf_counter()
    sent = asyncio.run(sending.send(batches, to, Patience(), record, print))
    print(time.perf_counter() - began)
sys.exit(sent.failure)
"""
)
BARE = (
    POST
    + """
import aiohttp
bodies = [b"".join(batch.body(to)) for batch in batches]

async def post():
    waiting = iter(bodies)
    connector = aiohttp.TCPConnector(limit=sending.IN_FLIGHT)
    async with aiohttp.ClientSession(headers=to.headers, connector=connector) as session:

        async def work():
            for body in waiting:
                async with session.post(to.url, data=body) as answer:
                    await answer.read()
                    answer.raise_for_status()

        await asyncio.gather(*(work() for _ in range(sending.IN_FLIGHT)))

began = time.perf_counter()
asyncio.run(post())
print(time.perf_counter() - began)
"""
)


@contextmanager
def sink() -> Iterator[tuple[str, Callable[[], int]]]:
    """A server's address, and what asks how many events it was sent since it was last asked."""
    command = [BIN / "python", ROOT / "benchmarks" / "sink.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = f"http://127.0.0.1:{int(server.stdout.readline())}"

            def count() -> int:
                with urlopen(address) as answer:
                    return int(answer.read())

            yield address, count
        finally:
            server.terminate()


def ratios(data: Path, events: int, large: int, runs: int) -> dict[str, Figures]:
    """On `events` messages; our memory with `large` of them against 100 thousand."""
    small = 100_000
    for count in sorted({small, events, large}):
        folder = data / str(count)
        folder.mkdir(parents=True)
        land(folder, count, 1, at_once=count)
        unchecked = ["--exclude-resource-type", "test", "unit_test"]
        run([BIN / "dbt", "--quiet", "build", *unchecked, "--select", f"+exposure:{NAME}"], folder)
    with sink() as (address, count_sent):
        env = {"SEGMENT_HOST": address, "SEGMENT_WRITE_KEY": "key"}

        def export(folder: Path) -> Spent:
            (folder / "ledger.sqlite").unlink(missing_ok=True)
            shutil.rmtree(folder / "acknowledged", ignore_errors=True)
            took = spent([BIN / "flagmart", "export", NAME], folder, env)
            _see(count_sent(), int(folder.name))
            return took

        growth = memory(export(data / str(large)), export(data / str(small)))
        many = data / str(events)
        run([BIN / "python", "-c", READY, many / "flagmart.duckdb"], many)
        results = _against_rivals(many, address, lambda: export(many), count_sent, runs)
        run([BIN / "python", "-c", SPOOL, many], many, env)

        def posted(script: str) -> float:
            (many / "sent.sqlite").unlink(missing_ok=True)
            seconds = float(run([BIN / "python", "-c", script, many], many, env))
            _see(count_sent(), events)
            return seconds

        results[f"send a spool of {NAME} / ready bodies by the bare client"] = pairs(
            lambda: posted(SENDING), lambda: posted(BARE), runs
        )
        results[f"memory of export {NAME}: {large:,} events / {small:,}"] = growth
    return results


def _against_rivals(
    data: Path, address: str, export: Callable[[], Spent], count_sent: Callable[[], int], runs: int
) -> dict[str, Figures]:
    events, python = int(data.name), os.environ.get(RIVALS)
    rivals = {
        "segment-analytics-python": (SEGMENT, events),
        "dlt, fed with rows": (DLT_ROWS + DLT_RUN, events),
        "dlt, fed with Arrow": (DLT_ARROW + DLT_RUN, events),
        f"one call per event, from {SINGLE_CALLS:,}": (ONE_BY_ONE, min(SINGLE_CALLS, events)),
    }
    results: dict[str, Figures] = {}
    for what, (script, sends) in rivals.items():
        name = f"export {NAME}, ready / {what}"
        if not python:
            results[name] = ABSENT
            continue

        def send(sends: int, script: str = script) -> Spent:
            work = data / "rival"
            shutil.rmtree(work, ignore_errors=True)
            said = [str(data / "flagmart.duckdb"), address, str(sends), str(work)]
            took = spent([python, "-c", script, *said], data, RIVALS_ENV)
            _see(count_sent(), sends)
            return took

        def rival(sends: int = sends, send: Callable[[int], Spent] = send) -> Spent:
            return send(events) if sends == events else extrapolated(send, sends, events)

        results[name] = process_pairs(export, rival, runs)
    return results


def _see(sent: int, wanted: int) -> None:
    if sent != wanted:
        sys.exit(f"{sent:,} events came to the server in place of {wanted:,}")
