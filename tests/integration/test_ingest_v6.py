"""FeatBit v6: the same event from each of its tables and messages, whatever wrote the file."""

import csv
import gzip
import io
import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver import Client

from flagmart.ingest.event import Event, NoEventError
from flagmart.ingest.files import ingest
from flagmart.ingest.landed_files import Report
from flagmart.ingest.records import parse
from flagmart.ingest.timestamps import Unit
from flagmart.settings import DataFolder
from support.clickhouse.server import running
from support.landed import ENV, SAMPLES, event, lines, rejects, rows

EXPOSURE = {
    "id": "0d3f8f0e-5c0a-4f55-9a51-6f1f0a3c7b21",
    "env_id": ENV,
    "flag_key": "growthbook-test-001",
    "user_key": "tester ü\t1",
    "user_name": 'the "tester"',
    "variation_id": "7e03db60-7605-4428-a972-aa3b66a3f898",
    "variation_value": '{"color": "red"}',
    "exposed_at": "2026-10-02 07:51:24.326",
    "properties": "",
    "created_at": "2026-10-02 07:51:26.004",
}
METRIC = {
    "id": "9b1c2a6d-1e74-4c0d-8f2e-2d5f4a7e9c33",
    "env_id": ENV,
    "user_key": "tester ü\t1",
    "user_name": "",
    "event_name": "click-button",
    "event_type": "CustomEvent",
    "numeric_value": 1.0,
    "application_type": "",
    "occurred_at": "2026-10-02 07:51:25.526",
    "properties": "",
    "created_at": "2026-10-02 07:51:26.004",
}
OWN = json.dumps(
    {"tag_1": "1E+20", "zone": {"b": 1e20, "a": 0.10, "c": "é/"}, "featureFlagKey": "other"}
)
TYPES = {
    "id": "UUID",
    "env_id": "UUID",
    "flag_key": "LowCardinality(String)",
    "variation_id": "LowCardinality(String)",
    "event_name": "LowCardinality(String)",
    "event_type": "LowCardinality(String)",
    "application_type": "LowCardinality(String)",
    "numeric_value": "Float64",
}
TIMES = ("exposed_at", "occurred_at", "created_at")
# what each draft leaves out, how fine its clocks are, and what stands in its properties
DRAFTS: dict[str, tuple[str, set[str], int, str]] = {
    "A exposure": ("release_decision_exposure_events", set(), 6, OWN),
    "A metric": ("release_decision_metric_events", {"application_type"}, 6, OWN),
    "B exposure": ("experiment_exposure_events", set(), 6, ""),
    "B metric": ("experiment_metric_events", {"application_type"}, 6, "{}"),
    "C exposure": ("experiment_exposure_events", {"properties"}, 3, ""),
    "C metric": ("experiment_metric_events", {"properties", "user_name"}, 3, ""),
}
FORMATS = ("JSONEachRow", "CSVWithNames", "TSVWithNames", "Parquet")


def draft(name: str) -> dict[str, Any]:
    """The event as a row of that draft."""
    _, lacking, _, properties = DRAFTS[name]
    row = (EXPOSURE if "exposure" in name else METRIC) | {"properties": properties}
    return {column: value for column, value in row.items() if column not in lacking}


def land(data: Path, *paths: Path) -> Report:
    return ingest(paths, DataFolder(data))


def counts(report: Report) -> tuple[int, ...]:
    names = ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")
    return tuple(report.result.total(name) for name in names)


def landed_facts(data: Path) -> list[dict[str, Any]]:
    """The landed rows without what is the file's and the run's."""
    of_the_run = ("ingested_at", "run_id", "source_ref")
    return [{k: v for k, v in row.items() if k not in of_the_run} for row in rows(data)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with (
        running(tmp_path_factory.mktemp("clickhouse")) as address,
        closing(
            clickhouse_connect.get_client(
                host=address.host,
                port=address.port,
                username=address.user,
                password=address.password,
            )
        ) as found,
    ):
        yield found


def clickhouse(client: Client, name: str) -> dict[str, bytes]:
    """The row as ClickHouse writes it out of a table of that draft, in each format."""
    table, _, digits, _ = DRAFTS[name]
    row = draft(name)
    kinds = {
        column: f"DateTime64({digits}, 'UTC')" if column in TIMES else TYPES.get(column, "String")
        for column in row
    }
    moment = "exposed_at" if "exposure" in name else "occurred_at"
    client.command(f"drop table if exists {table}")
    client.command(
        f"create table {table} ({', '.join(f'{c} {kind}' for c, kind in kinds.items())}) "
        f"engine = MergeTree partition by (env_id, toYYYYMM({moment})) order by (env_id, {moment})"
    )
    client.raw_insert(table, insert_block=json.dumps(row), fmt="JSONEachRow")
    return {fmt: client.raw_query(f"select * from {table}", fmt=fmt) for fmt in FORMATS}


def postgres(name: str) -> dict[str, bytes]:
    """The row as PostgreSQL writes it: '' is null, times have a zone, jsonb orders keys."""
    row: dict[str, Any] = {column: value or None for column, value in draft(name).items()}
    text = row.pop("properties", None)
    own = None if text is None else dict(sorted(json.loads(text).items(), key=lambda p: len(p[0])))
    row = row if "C" in name else {**row, "properties": own}
    as_json = {c: f"{v.replace(' ', 'T')}+00:00" if c in TIMES else v for c, v in row.items()}
    cells = {
        c: "" if v is None else json.dumps(v) if c == "properties" else f"{v}"
        for c, v in {c: f"{v}+00" if c in TIMES else v for c, v in row.items()}.items()
    }
    if "numeric_value" in cells:
        cells["numeric_value"] = "1"
    separated = io.StringIO()
    writer = csv.writer(separated, lineterminator="\n")
    writer.writerows([list(cells), list(cells.values())])
    by_tabs = io.StringIO()
    writer = csv.writer(by_tabs, delimiter="\t", quoting=csv.QUOTE_ALL)
    writer.writerows([list(cells), list(cells.values())])
    escaped = [
        cell.replace("\\", "\\\\").replace("\t", "\\t") if cell else r"\N"
        for cell in cells.values()
    ]
    return {
        "row_to_json": json.dumps(as_json).encode(),
        "json_agg": json.dumps([as_json], indent=1).encode(),
        "COPY CSV": separated.getvalue().encode(),
        "CSV by tabs": by_tabs.getvalue().encode(),
        "COPY": ("\t".join(cells) + "\n" + "\t".join(escaped) + "\n").encode(),
    }


def parquet_otherwise(name: str) -> bytes:
    """As pandas and older ClickHouse write it: text as dictionary or bytes, ids as text."""
    columns = {}
    for column, value in draft(name).items():
        if column in TIMES:
            micros = pa.array([value]).cast(pa.timestamp("us"))
            columns[column] = micros.cast(pa.timestamp("ns", "UTC"))
        elif value == "":
            columns[column] = pa.nulls(1)
        elif column == "numeric_value":
            columns[column] = pa.array([int(value)], pa.int64())
        elif TYPES.get(column, "").startswith("Low"):
            columns[column] = pa.array([value]).dictionary_encode()
        else:
            columns[column] = pa.array([str(value).encode()], pa.binary())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", DRAFTS)
def test_one_event_whatever_wrote_it(client: Client, tmp_path: Path, name: str) -> None:
    shapes = {
        **clickhouse(client, name),
        **postgres(name),
        "parquet otherwise": parquet_otherwise(name),
    }
    # parquet compresses its own pages and is read from its end, so never as a stream
    texts = {shape: content for shape, content in shapes.items() if content[:4] != b"PAR1"}
    shapes |= {f"{shape}, gzip": gzip.compress(content) for shape, content in texts.items()}
    paths, found = [], {}
    for number, (shape, content) in enumerate(shapes.items()):
        paths.append(tmp_path / f"{number} {shape}")
        paths[-1].write_bytes(content)
        alone = tmp_path / f"data {number}"
        assert counts(land(alone, paths[-1])) == (1, 1, 0, 0, 0), rejects(alone)
        found[shape] = landed_facts(alone)
    expected = found["JSONEachRow"]
    assert {shape: facts for shape, facts in found.items() if facts != expected} == {}
    assert expected[0]["event_id"] == draft(name)["id"]
    assert expected[0]["source_ingested_at"].isoformat(" ") == "2026-10-02 07:51:26.004000"
    whole = land(tmp_path / "data", *paths)
    assert counts(whole) == (len(shapes), 1, len(shapes) - 1, 0, 0)


def test_clickhouse_writes_uuids_as_bytes(client: Client) -> None:
    schema = pq.ParquetFile(io.BytesIO(clickhouse(client, "A exposure")["Parquet"])).schema
    kinds = {column.name: (column.physical_type, column.length) for column in schema}
    assert kinds["id"] == kinds["env_id"] == ("FIXED_LEN_BYTE_ARRAY", 16)


def test_what_an_exposure_and_a_metric_event_become(client: Client, tmp_path: Path) -> None:
    facts = []
    for name in ("A exposure", "C metric"):
        path = tmp_path / name
        path.write_bytes(clickhouse(client, name)["Parquet"])
        land(tmp_path / "data", path)
    facts = landed_facts(tmp_path / "data")
    assert [row["event"] for row in facts] == ["FlagValue", "CustomEvent"]
    assert [row["distinct_id"] for row in facts] == [f"{ENV}-growthbook-test-001", "click-button"]
    assert [str(row["occurred_at"]) for row in facts] == [
        "2026-10-02 07:51:24.326000",
        "2026-10-02 07:51:25.526000",
    ]
    assert facts[0]["properties"] == (
        f'{{"flagId":"{ENV}-growthbook-test-001","envId":"{ENV}",'
        '"featureFlagKey":"growthbook-test-001","sendToExperiment":true,'
        '"userKeyId":"tester \\u00fc\\t1","userName":"the \\"tester\\"",'
        '"variationId":"7e03db60-7605-4428-a972-aa3b66a3f898",'
        '"variationValue":"{\\"color\\": \\"red\\"}",'
        '"tag_1":"1E+20","zone":{"a":0.1,"b":1e+20,"c":"\\u00e9/"}}'
    )
    assert facts[1]["properties"] == (
        '{"type":"CustomEvent","eventName":"click-button","numericValue":1,'
        f'"user":{{"keyId":"tester \\u00fc\\t1"}},"envId":"{ENV}"}}'
    )


def test_numbers_that_are_none_agree(client: Client, tmp_path: Path) -> None:
    client.command("drop table if exists numbers_of_v6")
    client.command(
        "create table numbers_of_v6 engine = MergeTree order by id as "
        "select toUUID('00000000-0000-4000-8000-00000000000' || toString(number)) as id, "
        f"toUUID('{ENV}') as env_id, 'u' as user_key, 'n' as event_name, "
        "[nan, inf, -inf, 1e20, -0., 1e-7, 0.1, 9007199254740993.][number + 1] as numeric_value, "
        "toDateTime64('2026-10-02 07:51:25.526', 3, 'UTC') as occurred_at from numbers(8)"
    )
    values = []
    for fmt in FORMATS:
        path = tmp_path / fmt
        path.write_bytes(client.raw_query("select * from numbers_of_v6 order by id", fmt=fmt))
        report = land(tmp_path / "data", path)
        assert counts(report) == ((8, 8, 0, 0, 0) if fmt == FORMATS[0] else (8, 0, 8, 0, 0))
        land(tmp_path / f"data {fmt}", path)
        values.append([row["properties"] for row in rows(tmp_path / f"data {fmt}")])
    assert values[1:] == values[:-1]
    assert [json.loads(text).get("numericValue") for text in values[0]] == [
        *[None] * 3,
        1e20,
        0,
        1e-7,
        0.1,
        9007199254740992,
    ]


def test_a_file_of_old_and_new_messages(tmp_path: Path) -> None:
    old = event(1, timestamp=1_790_927_480_000_000)
    new = [
        json.loads(line)
        for name in ("kafka_v6_schema_version_2.jsonl", "kafka_v6.jsonl")
        for line in (SAMPLES / name).read_text().splitlines()
    ]
    new = [{**message, "uuid": f"{number}"} for number, message in enumerate(new)]
    for number, order in enumerate(([old, *new], [*new, old], [*new[:2] * 3, old, *new[2:]])):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(lines(*order))
        report = land(tmp_path / f"data {number}", path)
        assert report.is_complete
        found = {row["event_id"]: row for row in rows(tmp_path / f"data {number}")}
        assert len(found) == 5
        assert [str(found[f"{n}"]["occurred_at"]) for n in range(4)] == [
            "2026-10-02 07:51:24.326000",
            "2026-10-02 07:51:25.526000",
        ] * 2
        assert str(found[old["uuid"]]["occurred_at"]) == "2026-10-02 07:51:20"
        assert [found[f"{n}"]["distinct_id"] for n in range(4)] == [
            f"{ENV}-growthbook-test-001",
            "click-button",
        ] * 2
        assert json.loads(found["0"]["properties"]) == new[0]["properties"]
        assert found["2"]["properties"] == new[2]["properties"]


def test_messages_of_schema_version_2_alone_need_no_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    land(tmp_path, SAMPLES / "kafka_v6_schema_version_2.jsonl")
    assert "timestamps count" not in capsys.readouterr().err
    told = ingest([SAMPLES / "kafka_v6_schema_version_2.jsonl"], DataFolder(tmp_path), Unit.S)
    assert counts(told) == (2, 0, 2, 0, 0), "nor listen to one"
    assert str(rows(tmp_path)[0]["occurred_at"]) == "2026-10-02 07:51:24.326000"


def test_the_samples_of_v6_land_once(tmp_path: Path) -> None:
    tables = sorted(SAMPLES.glob("*_v6_experiment_*"))
    assert len(tables) == 4
    report = land(tmp_path / "tables", *tables)
    assert counts(report) == (4, 2, 2, 0, 0)
    assert report.is_complete
    messages = SAMPLES / "kafka_featbit-insights.jsonl"
    migrated = sorted(SAMPLES.glob("*_v6_release_decision_*"))
    report = land(tmp_path / "migrated", messages, *migrated)
    assert counts(report) == (4, 2, 2, 0, 0), "FeatBit's migration keeps ids and properties"


ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1.5,
    10**30,
    "",
    "x",
    [],
    [1],
    {},
    {"a": None},
    "\ud800",
    "2026-10-02",
    "NaN",
)


def mutated(chance: random.Random, row: dict[str, Any]) -> dict[str, Any]:
    """The row with some columns dropped, retyped or null."""
    changed = dict(row)
    for column in chance.sample(sorted(changed), chance.randint(1, 4)):
        if chance.random() < 0.3:
            del changed[column]
        else:
            changed[column] = chance.choice(ODD)
    return changed


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_row_is_an_event_or_has_one_reason(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    messages = [
        json.loads(line)
        for name in ("kafka_v6_schema_version_2.jsonl", "kafka_v6.jsonl")
        for line in (SAMPLES / name).read_text().splitlines()
    ]
    good = [*map(draft, DRAFTS), *messages]
    records = [mutated(chance, chance.choice(good)) for _ in range(1_500)]
    reasons: dict[str, int] = {}
    for record in records:
        try:
            found = parse(json.dumps(record).encode())
        except NoEventError as reason:
            reasons[str(reason)] = reasons.get(str(reason), 0) + 1
        else:
            assert isinstance(found, Event)
            found.properties.encode()
    assert 5 < len(reasons) < 25
    assert sum(reasons.values()) < len(records)

    path = tmp_path / "x.jsonl"
    path.write_text(lines(*records))
    report = land(tmp_path / "json", path)
    read, *rest = counts(report)
    assert read == len(records) == sum(rest)

    columns = sorted({column for name in DRAFTS if "exposure" in name for column in draft(name)})
    cells = [[str(record.get(column, "")) for column in columns] for record in records]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *cells])
    for number, content in enumerate((text.getvalue(), text.getvalue().replace(",", "\t"))):
        path = tmp_path / f"{number}"
        path.write_text(content, encoding="utf-8", errors="backslashreplace")
        read, *rest = counts(land(tmp_path / f"data {number}", path))
        assert read == sum(rest) > 0

    sink = pa.BufferOutputStream()
    table = pa.table(
        {
            column: [row[place].encode("utf-8", "backslashreplace") for row in cells]
            for place, column in enumerate(columns)
        }
    )
    pq.write_table(table, sink)
    path = tmp_path / "x.parquet"
    path.write_bytes(sink.getvalue().to_pybytes())
    read, *rest = counts(land(tmp_path / "parquet", path))
    assert read == len(records) == sum(rest)


@pytest.mark.parametrize("name", ["A exposure", "C metric"])
def test_a_parquet_column_of_another_type_is_refused(tmp_path: Path, name: str) -> None:
    table = pq.read_table(io.BytesIO(parquet_otherwise(name)))
    column = "numeric_value" if "metric" in name else "flag_key"
    place = table.schema.get_field_index(column)
    path = tmp_path / "x.parquet"
    pq.write_table(table.set_column(place, column, pa.array([[1]])), path)
    report = land(tmp_path / "data", path)
    wanted = "a number" if "metric" in name else "text"
    assert [file.refused for file in report.files] == [
        f"parquet whose column {column} is list<element: int64>, not {wanted}"
    ]
