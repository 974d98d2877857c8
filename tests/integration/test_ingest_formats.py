"""Every shape FeatBit's stores write lands the same event the same way."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flagmart.ingest.files import ingest
from flagmart.ingest.landed_files import Report
from flagmart.ingest.timestamps import Unit
from flagmart.settings import DataFolder
from support.landed import SAMPLES, event, ids, lines, rejects, rows

KAFKA = SAMPLES / "kafka_featbit-insights.jsonl"
MESSAGES = [json.loads(line) for line in KAFKA.read_text().splitlines()]


def land(data: Path, *paths: Path, unit: Unit | None = None) -> Report:
    return ingest(paths, DataFolder(data), unit)


def counts(report: Report) -> tuple[int, ...]:
    names = ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")
    return tuple(report.result.total(name) for name in names)


def iso(message: dict[str, Any], timespec: str = "milliseconds") -> str:
    moment = (
        datetime.fromisoformat("1970-01-01T00:00:00+00:00").timestamp() + message["timestamp"] / 1e6
    )
    return datetime.utcfromtimestamp(moment).isoformat(" ", timespec)  # noqa: DTZ004


def documents(canonical: bool) -> list[dict[str, Any]]:
    """The messages as MongoDB keeps them, in mongoexport's relaxed or canonical form."""
    result = []
    for message in MESSAGES:
        properties = json.loads(message["properties"])
        if canonical and "numericValue" in properties:
            properties["numericValue"] = {"$numberDouble": str(properties["numericValue"])}
        millis = message["timestamp"] // 1000
        date = {"$numberLong": str(millis)} if canonical else iso(message).replace(" ", "T") + "Z"
        result.append(
            {
                "_id": message["uuid"],
                **{key: message[key] for key in ("distinct_id", "env_id", "event")},
                "properties": dict(sorted(properties.items(), reverse=True)),
                "timestamp": {"$date": date},
            }
        )
    return result


def postgres() -> list[dict[str, Any]]:
    """The messages as PostgreSQL's rows; jsonb orders keys its own way."""
    return [
        {
            "id": message["uuid"].upper(),
            **{key: message[key] for key in ("distinct_id", "env_id", "event")},
            "properties": dict(sorted(json.loads(message["properties"]).items())),
            "timestamp": iso(message),
        }
        for message in MESSAGES
    ]


def table(delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(["id", "distinct_id", "env_id", "event", "properties", "timestamp"])
    for row in postgres():
        writer.writerow([*list(row.values())[:4], json.dumps(row["properties"]), row["timestamp"]])
    return text.getvalue().encode()


def parquet_as_bytes() -> bytes:
    """As older ClickHouse: text as plain bytes, uuid selected as text, times as numbers."""
    columns = {
        "uuid": [message["uuid"].encode() for message in MESSAGES],
        **{key: [m[key].encode() for m in MESSAGES] for key in ("env_id", "event", "properties")},
        "distinct_id": [message["distinct_id"].encode() for message in MESSAGES],
        "timestamp": pa.array([message["timestamp"] for message in MESSAGES], pa.int64()),
        "_timestamp": pa.array([1_702_366_935] * 2, pa.uint32()),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def dump(value: object, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()


def by_lines(values: list[dict[str, Any]]) -> bytes:
    return lines(*values).encode()


SHAPES: dict[str, Callable[[], bytes]] = {
    "kafka, gzip": lambda: gzip.compress(KAFKA.read_bytes()),
    "kafka, byte order mark and CRLF": lambda: (
        b"\xef\xbb\xbf" + KAFKA.read_bytes().replace(b"\n", b"\r\n")
    ),
    "kafka, array": lambda: dump(MESSAGES, 2),
    "kafka, documents": lambda: b"\n".join(dump(message, 2) for message in MESSAGES),
    "kafka, seconds": lambda: by_lines(
        [{**m, "timestamp": m["timestamp"] / 1e6} for m in MESSAGES]
    ),
    "kafka, milliseconds": lambda: by_lines(
        [{**m, "timestamp": m["timestamp"] // 1000} for m in MESSAGES]
    ),
    "kafka, nanoseconds": lambda: by_lines(
        [{**m, "timestamp": m["timestamp"] * 1000} for m in MESSAGES]
    ),
    "kafka, quoted": lambda: by_lines([{**m, "timestamp": str(m["timestamp"])} for m in MESSAGES]),
    "mongoexport, relaxed": lambda: by_lines(documents(canonical=False)),
    "mongoexport, canonical": lambda: by_lines(documents(canonical=True)),
    "mongoexport, array": lambda: b"[" + b",\n".join(map(dump, documents(canonical=True))) + b"]\n",
    "mongoexport, pretty array": lambda: dump(documents(canonical=False), 8),
    "postgres, rows": lambda: by_lines(postgres()),
    "postgres, text": lambda: by_lines(
        [{**row, "properties": json.dumps(row["properties"])} for row in postgres()]
    ),
    "postgres, csv": table,
    "csv by tabs": lambda: table("\t"),
    "clickhouse, csv": lambda: (SAMPLES / "clickhouse_events.csv").read_bytes(),
    "clickhouse, tsv": lambda: (SAMPLES / "clickhouse_events.tsv").read_bytes(),
    "clickhouse, json": lambda: (SAMPLES / "clickhouse_events.jsonl").read_bytes(),
    "clickhouse, parquet": lambda: (SAMPLES / "clickhouse_events.parquet").read_bytes(),
    "clickhouse, parquet of bytes": parquet_as_bytes,
}
LANDED = ("event_id", "env_id", "event", "distinct_id", "occurred_at")


def test_every_shape_is_the_same_event(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert counts(land(data, KAFKA)) == (2, 2, 0, 0, 0)
    paths = []
    for number, (name, make) in enumerate(SHAPES.items()):
        paths.append(tmp_path / f"{number} {name}")
        paths[-1].write_bytes(make())
    report = land(data, *paths)
    wrong = {
        made.label: made
        for made in report.result.inputs
        if (made.read, made.equal_repeats) != (2, 2)
    }
    assert not wrong
    assert len(rows(data)) == 2


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_lands_alike_on_its_own(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(SHAPES[name]())
    land(tmp_path / "data", path)
    land(tmp_path / "kafka", KAFKA)
    found, expected = rows(tmp_path / "data"), rows(tmp_path / "kafka")
    for row, kafka in zip(found, expected, strict=True):
        assert {key: row[key] for key in LANDED} == {key: kafka[key] for key in LANDED}
        assert json.loads(row["properties"]) == json.loads(kafka["properties"])
        arrived = datetime.fromisoformat("2023-12-12 07:42:15")
        assert row["source_ingested_at"] == (arrived if name.startswith("clickhouse") else None)


def test_the_samples_land(tmp_path: Path) -> None:
    names = [
        "kafka_featbit-insights.jsonl",
        "mongodb_Events_flagvalue.json",
        "postgres_events_flagvalue_row.json",
        "das_fake_flag_event.json",
        "das_fake_metric_event.json",
    ]
    report = land(tmp_path, *(SAMPLES / name for name in names))
    assert counts(report) == (6, 6, 0, 0, 0)
    assert report.is_complete
    found = rows(tmp_path)
    assert [row["event"] for row in found] == [
        "FlagValue",
        "CustomEvent",
        "FlagValue",
        "FlagValue",
        "FlagValue",
        "CustomEvent",
    ]
    assert [str(row["occurred_at"]) for row in found] == [
        "2023-12-12 07:42:13.320000",
        "2023-12-12 07:42:14.526000",
        "2023-04-16 13:38:34.317000",
        "2025-10-02 15:51:24.326000",
        "None",
        "None",
    ]
    bare = found[4]
    assert (bare["env_id"], bare["distinct_id"]) == ("103", "FF__38__48__103__PayButton")
    assert bare["properties"] == (SAMPLES / names[3]).read_text().strip()
    assert found[0]["properties"] == MESSAGES[0]["properties"]
    assert found[1]["source_ref"] == f"{SAMPLES / names[0]}:2"
    assert counts(land(tmp_path, SAMPLES / names[3], SAMPLES / names[4])) == (2, 0, 2, 0, 0)


def test_records_without_an_id_are_told_apart_by_how_often_they_stand(tmp_path: Path) -> None:
    no_id = {key: value for key, value in event(1).items() if key != "uuid"}
    respelled = {**no_id, "properties": json.dumps(json.loads(no_id["properties"]), indent=1)}
    path = tmp_path / "x.jsonl"
    path.write_text(lines(no_id, no_id, event(2), respelled))
    assert counts(land(tmp_path / "data", path)) == (4, 4, 0, 0, 0)
    assert len(set(ids(tmp_path / "data"))) == 4
    path.write_text(lines(no_id, no_id, no_id, no_id))
    assert counts(land(tmp_path / "data", path)) == (4, 1, 3, 0, 0)


ENVELOPES = [event(n) for n in range(5)]
HEADER = b"uuid,distinct_id,env_id,event,properties,timestamp\n"


def csv_row(number: int) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(ENVELOPES[number].values())
    return text.getvalue().encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            lines(
                "not json", ENVELOPES[0], '{"uuid": ', ENVELOPES[1], "", '{"a": 1}', ENVELOPES[2]
            ),
            [1, 3, 6],
        ),
        (
            "[\n"
            + ",\n".join(
                [dump(ENVELOPES[0]).decode(), '{"uuid": "x', *map(json.dumps, ENVELOPES[1:3])]
            )
            + "]",
            [3],
        ),
        (
            "\n".join(
                [
                    json.dumps(ENVELOPES[0], indent=1),
                    '{\n "uuid": 1',
                    *(json.dumps(e, indent=1) for e in ENVELOPES[1:3]),
                ]
            ),
            [9],
        ),
        (
            HEADER + csv_row(0) + b'"lost,a,b,c,d,5\n' + csv_row(1) + b"too,few\n" + csv_row(2),
            [3, 5],
        ),
        (
            (HEADER + csv_row(0)).replace(b",", b"\t", 5).replace(b",Flag", b"\tFlag"),
            None,
        ),
    ],
)
def test_a_malformed_record_harms_no_other(
    tmp_path: Path, content: str | bytes, expected: list[int] | None
) -> None:
    if expected is None:
        cells = [str(value) for value in ENVELOPES[0].values()]
        good = ["\t".join([f"{n}", *cells[1:]]) for n in range(3)]
        content = "\n".join(
            [HEADER.decode().strip().replace(",", "\t"), good[0], "few\tcells", *good[1:]]
        )
        expected = [3]
    path = tmp_path / "x"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    report = land(tmp_path / "data", path)
    assert [line for line, _ in rejects(tmp_path / "data")] == expected
    assert counts(report) == (3 + len(expected), 3, 0, 0, len(expected))
    assert not report.is_complete


def test_rows_of_csv_may_have_line_ends_in_their_cells(tmp_path: Path) -> None:
    row = {**ENVELOPES[0], "distinct_id": 'a\n\n"b", c', "uuid": "x"}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(row.keys())
    writer.writerow(row.values())
    writer.writerow(ENVELOPES[1].values())
    path = tmp_path / "x.csv"
    path.write_text(text.getvalue())
    assert counts(land(tmp_path / "data", path)) == (2, 2, 0, 0, 0)
    assert rows(tmp_path / "data")[0]["distinct_id"] == 'a\n\n"b", c'


def test_tsv_escapes_are_undone(tmp_path: Path) -> None:
    content = (
        "uuid\tdistinct_id\tenv_id\tevent\tproperties\ttimestamp\n"
        'x\ta\\tb\\\\c\\n\tv\tFlagValue\t{"n":"\\\\"q\\\\""}\t2023-12-12 07:42:13\n'
        "y\t\\N\tv\tFlagValue\t{}\t\\N\n"
    )
    path = tmp_path / "x.tsv"
    path.write_text(content)
    land(tmp_path / "data", path)
    first, second = rows(tmp_path / "data")
    assert first["distinct_id"] == "a\tb\\c\n"
    assert first["properties"] == '{"n":"\\"q\\""}'
    assert (second["distinct_id"], second["occurred_at"]) == ("", None)


def test_clocks_outside_the_calendar_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        lines(
            ENVELOPES[0],
            event(1, timestamp=10**18),
            event(2, timestamp=10**30),
            event(3, timestamp=0),
            *ENVELOPES[:2],
        )
    )
    report = land(tmp_path / "data", path)
    assert counts(report) == (6, 3, 1, 0, 2)
    assert [line for line, _ in rejects(tmp_path / "data")] == [2, 3]
    assert str(rows(tmp_path / "data")[1]["occurred_at"]) == "1970-01-01 00:00:00"


def test_a_malformed_properties_text_is_an_event_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(event(1, properties='{"flagId": ')))
    assert counts(land(tmp_path / "data", path)) == (1, 1, 0, 0, 0)
    assert rows(tmp_path / "data")[0]["properties"] == '{"flagId": '


@pytest.mark.parametrize("number", [1_702_366_933, 1_702_366_933_000])
def test_the_unit_is_one_for_the_file_and_can_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lines(event(1, timestamp=number), event(2, timestamp=number), event(3)))
    land(tmp_path / "told", path, unit=Unit.US)
    assert rows(tmp_path / "told")[0]["occurred_at"].year == 1970
    capsys.readouterr()
    report = land(tmp_path / "guessed", path)
    assert rows(tmp_path / "guessed")[0]["occurred_at"].year == 2023
    name = "seconds" if number < 10**11 else "milliseconds"
    assert capsys.readouterr().err.count(f"timestamps count {name}") == 1
    assert counts(report) == (3, 2, 0, 0, 1), "the third lies millennia ahead in that unit"


def test_an_id_is_one_however_it_is_spelled(tmp_path: Path) -> None:
    named = MESSAGES[0]["uuid"]
    spellings = [named, named.upper(), named.replace("-", ""), f"{{{named}}}", "not-a-uuid" * 4]
    source = tmp_path / "events.jsonl"
    source.write_text("".join(json.dumps(MESSAGES[0] | {"uuid": i}) + "\n" for i in spellings))
    assert counts(land(tmp_path / "data", source)) == (5, 2, 3, 0, 0)
    assert ids(tmp_path / "data") == sorted([named, "not-a-uuid" * 4])
