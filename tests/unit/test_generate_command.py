"""The command `flagmart generate`: options, files, what it prints."""

import hashlib
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flagmart.cli import generate
from flagmart.errors import FlagmartError, UsageError


def _app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)  # so that the command keeps its name
    generate.register(app)
    return app


def run(*words: str) -> "tuple[int, str, str, BaseException | None]":
    done = CliRunner().invoke(_app(), ["generate", *words], env={"COLUMNS": "200"})
    return done.exit_code, done.stdout, done.stderr, done.exception


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--events", "-1"),
        ("--events", "many"),
        ("--users", "0"),
        ("--flags", "0"),
        ("--flags", "-3"),
        ("--days", "0"),
        ("--seed", "-1"),
        ("--dirty", "-0.1"),
        ("--dirty", "1.01"),
        ("--dirty", "nan"),
        ("--start", "2026-02-30"),
        ("--start", "yesterday"),
        ("--start", "1999-12-31"),
    ],
)
def test_a_wrong_option_is_named(option: str, value: str, tmp_path: Path) -> None:
    code, out, err, _ = run(option, value, "--out", str(tmp_path / "events.jsonl"))
    assert code == 2
    assert f"Invalid value for '{option}'" in err
    assert not out
    assert not list(tmp_path.iterdir())


def test_out_must_be_given() -> None:
    code, _, err, _ = run()
    assert code == 2
    assert "--out" in err


def test_file_truth_and_summary(tmp_path: Path) -> None:
    out, truth = tmp_path / "events.jsonl", tmp_path / "truth.json"
    words = ["--events", "1000", "--dirty", "0.5", "--out", str(out), "--truth", str(truth)]
    code, stdout, stderr, _ = run(*words, "--output", "json")
    assert code == 0
    document = json.loads(stdout)
    content = out.read_bytes()
    assert document["lines"] == content.count(b"\n") == 1000
    assert document["bytes"] == len(content)
    assert document["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(document["faults"]) == 15
    assert 400 < sum(document["faults"].values()) < 600
    assert stderr.startswith(f"1,000 lines, {len(content):,} bytes to {out} (")
    assert stderr.count("\n") == 1
    known = json.loads(truth.read_text())
    assert known["start"] == "2026-01-01T00:00:00+00:00"
    assert [one["kind"] for one in known["experiments"]] == ["conversion", "value", "conversion"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["events.jsonl", "truth.json"]


def test_stdout_has_the_lines_of_the_file_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    words = ["--events", "20", "--start", "2026-02-03", "--days", "1", "--users", "3"]
    code, stdout, _, _ = run(*words, "--out", str(out))
    assert (code, stdout) == (0, "")
    code, stdout, stderr, _ = run(*words, "--out", "-")
    assert code == 0
    assert stdout == out.read_text()
    assert "20 lines" in stderr
    first = json.loads(stdout.splitlines()[0])
    assert 1_770_076_800_000_000 <= first["timestamp"] < 1_770_163_200_000_000


def test_stdout_cannot_carry_events_and_a_summary() -> None:
    _, out, _, error = run("--events", "5", "--out", "-", "--output", "json")
    assert isinstance(error, UsageError)
    assert "--output json" in str(error)
    assert not out


def test_no_place_to_write_is_one_line(tmp_path: Path) -> None:
    _, _, _, error = run("--events", "5", "--out", str(tmp_path / "no" / "events.jsonl"))
    assert isinstance(error, FlagmartError)
    assert "no/events.jsonl: No such file or directory" in str(error)
    assert "\n" not in str(error)
