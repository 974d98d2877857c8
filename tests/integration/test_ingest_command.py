"""The command: what it prints where, and its exit codes."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.landed import SAMPLES, event, ids, lines, names


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(
    data: Path, *arguments: str | Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "flagmart", "ingest", "files", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=data.parent,
        env={**os.environ, "FLAGMART_DATA": str(data)},
    )


def make(data: Path, name: str, content: bytes | str) -> Path:
    path = data.parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_counts_are_printed_as_a_table_or_as_json(data: Path) -> None:
    path = make(data, "x.jsonl", lines(event(1), event(1), "{", event(1, env_id="y"), event(2)))
    done = run(data, path, "--output", "json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    (counts,) = document["inputs"]
    assert {key: counts[key] for key in ("path", "format", "timestamps", "refused")} == {
        "path": str(path),
        "format": "JSON lines",
        "timestamps": "us",
        "refused": None,
    }
    for level in (counts, document):
        assert [
            level[key]
            for key in ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")
        ] == [5, 2, 1, 1, 1]
    assert counts["reasons"] == {"malformed JSON": 1}
    assert Path(document["rejects"]).exists()
    assert b"1 record unreadable: 1 malformed JSON" in done.stderr
    assert (
        b"5 records read, 2 landed, 1 equal repeat, 1 conflicting repeat, 1 unreadable; see "
        in done.stderr
    )
    assert b"Traceback" not in done.stderr
    again = run(data, path)
    assert again.stdout.decode().splitlines()[1].split()[-5:] == ["5", "0", "3", "1", "1"]


def test_done_and_nothing_to_do(data: Path) -> None:
    path = make(data, "x.jsonl", lines(event(1)))
    assert run(data, path, "--detailed-exitcode").returncode == 0
    assert run(data, path).returncode == 0
    assert run(data, path, "--detailed-exitcode").returncode == 4


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_nothing_to_do(data: Path, content: bytes) -> None:
    path = make(data, "x", content)
    done = run(data, path)
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        f"{path}: empty, nothing to do",
        "nothing read, nothing landed",
    ]
    assert run(data, path, "--detailed-exitcode").returncode == 4


REFUSED = {
    "binary": (bytes(range(256)) * 10, "binary"),
    "utf-16": (json.dumps(event(1)).encode("utf-16"), "UTF-16"),
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00", "binary"),
    "text": (b"dear diary\n", "neither JSON"),
    "csv": (b"name,age\nx,5\n", "neither JSON"),
    "csv without time": (b"uuid,event,properties\nx,FlagValue,{}\n", "without env_id, timestamp"),
    "parquet": (b"PAR1 and no more", "damaged parquet"),
    "gzip": (gzip.compress(b"x" * 100)[:10], "gzip data is damaged"),
    "requests": ((SAMPLES / "sdk_track_request_k6.json").read_bytes(), "a track request of an SDK"),
    "request": (
        json.dumps(
            json.loads((SAMPLES / "sdk_track_request_dotnet_snapshot.json").read_bytes())[0],
            indent=1,
        ).encode(),
        "a track request of an SDK",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_event_file_is_refused_and_the_others_go_on(data: Path, name: str) -> None:
    content, message = REFUSED[name]
    refused = make(data, "refused", content)
    alone = run(data, refused)
    assert alone.returncode == 1
    first, last = alone.stderr.decode().splitlines()
    assert first.startswith(f"{refused}: not an event file: ")
    assert message in first
    assert last == "nothing read, nothing landed"
    assert names(data) == set()
    good = make(data, "x.jsonl", lines(event(1)))
    assert run(data, refused, good).returncode == 3
    assert ids(data) == [event(1)["uuid"]]


def test_a_missing_path_stops_before_anything_lands(data: Path) -> None:
    good = make(data, "x.jsonl", lines(event(1)))
    done = run(data, good, "missing.jsonl")
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "flagmart: missing.jsonl: no such file or folder; nothing was ingested"
    ]
    assert not data.exists()


def test_a_data_folder_that_cannot_be_written_is_one_line(data: Path) -> None:
    good = make(data, "x.jsonl", lines(event(1)))
    data.write_text("a file, where a folder should be")
    done = run(data, good)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"flagmart: cannot write in {data}")


def test_folders_pipes_and_compression(data: Path) -> None:
    make(data, "in/b.jsonl.gz", gzip.compress(lines(event(2), event(1)).encode()))
    make(data, "in/a.json", json.dumps([event(1)]))
    make(data, "in/.hidden", b"\0")
    done = run(data, data.parent / "in", "-", "--output", "json", stdin=lines(event(3)).encode())
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [Path(made["path"]).name for made in document["inputs"]] == [
        "a.json",
        "b.jsonl.gz",
        "stdin",
    ]
    assert [made["equal_repeats"] for made in document["inputs"]] == [0, 1, 0]
    assert ids(data) == [event(n)["uuid"] for n in (1, 2, 3)]


def test_a_dry_run_counts_and_lands_nothing(data: Path) -> None:
    path = make(data, "x.jsonl", lines(event(1, timestamp=1_702_366_933), "{"))
    done = run(data, path, "--dry-run", "--output", "json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert (document["read"], document["landed"], document["unreadable"]) == (2, 1, 1)
    assert document["inputs"][0]["timestamps"] == "s"
    assert not data.exists()


def test_cut_off_gzip_lands_what_stands_before(data: Path) -> None:
    content = lines(*(event(n, route=os.urandom(99).hex()) for n in range(500))).encode()
    path = make(data, "x.gz", gzip.compress(content)[:-2_000])
    done = run(data, path, "--output", "json")
    assert done.returncode == 3
    assert b"its gzip data is damaged or cut off; what stands before that was read" in done.stderr
    assert 300 < json.loads(done.stdout)["landed"] < 500
    assert ids(data) == [event(n)["uuid"] for n in range(len(ids(data)))]


def test_help_loads_no_engine() -> None:
    code = (
        "import sys; import flagmart.cli.ingest; "
        "print([m for m in ('pyarrow', 'duckdb', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_an_empty_path_is_wrong_usage(data: Path) -> None:
    done = run(data, "")
    assert done.returncode == 2
    assert b"a PATH is empty" in done.stderr
    assert not data.exists()


def test_a_data_folder_with_a_tilde_is_wrong_usage(data: Path) -> None:
    path = make(data, "x.jsonl", lines(event(1)))
    done = subprocess.run(
        [sys.executable, "-m", "flagmart", "ingest", "files", str(path)],
        capture_output=True,
        check=False,
        cwd=data.parent,
        env={**os.environ, "FLAGMART_DATA": "~/data"},
    )
    assert done.returncode == 2
    assert b"FLAGMART_DATA='~/data' is no folder" in done.stderr


def test_what_went_out_does_not_come_in_again(data: Path) -> None:
    path = make(data, "x.jsonl", lines(event(1)))
    assert run(data, path).returncode == 0
    # the folder around the data folder: its landing is no source
    done = run(data, path.parent, "--output", "json")
    assert [one["path"] for one in json.loads(done.stdout)["inputs"]] == [str(path)]
    message = {"type": "track", "messageId": "m", "event": "e", "properties": {}, "userId": "u"}
    sent = make(data, "sent.jsonl", lines(message))
    done = run(data, sent)
    assert done.returncode == 3
    assert b"a message to Segment" in done.stderr
    assert len(ids(data)) == 1


def test_a_folder_without_files_is_named(data: Path) -> None:
    (data.parent / "empty").mkdir()
    done = run(data, data.parent / "empty")
    assert done.returncode == 0
    assert b"empty: no files in it, nothing to do" in done.stderr
