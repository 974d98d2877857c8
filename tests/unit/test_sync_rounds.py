"""What rounds remember, when they stop, and when small files are merged."""

import signal
import time
from pathlib import Path

import pytest

from flagmart.ingest import files
from flagmart.settings import DataFolder
from flagmart.sync import notes
from flagmart.sync.notes import Note
from flagmart.sync.rounds import merge_small_files
from flagmart.sync.stopping import on_signals
from flagmart.warehouse import manifest
from support.landed import event, ids, lines, runs

NOTE = Note(("segment_tracks",), "{a: 1}", "20260301T000000000000Z", "2026-03-01T00:00:00+00:00")


def test_a_note_is_read_as_it_was_written_and_a_damaged_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBT_TARGET_PATH", raising=False)
    assert notes.read(tmp_path) is None
    (tmp_path / "target").mkdir()
    notes.write(tmp_path, NOTE)
    assert notes.read(tmp_path) == NOTE
    (path,) = (tmp_path / "target").iterdir()
    for text in ("{", "[]", "{}", '{"deliveries": []}', '{"deliveries": [], "more": 1}'):
        path.write_text(text)
        assert notes.read(tmp_path) is None


def test_small_files_are_merged_once_there_are_so_many(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    source = tmp_path / "events.jsonl"
    for number in range(3):
        source.write_text(lines(event(number)))
        files.ingest([source], data, None, dry_run=False)
        merge_small_files(data, 0, after=3)
        landed = manifest.read(data.landing / "featbit_events")
        assert len(landed.files) == (1 if number == 2 else number + 1)
    assert len(runs(data.root)) == len(ids(data.root)) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_one_interrupts(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with on_signals() as stop:
        stop.wait(0.001)
        asked = stop.is_asked
        assert not asked
        signal.raise_signal(number)
        begun = time.monotonic()
        stop.wait(60)
        assert time.monotonic() - begun < 30
        assert stop.is_asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before
    assert f"{number.name}: ends after the step in hand" in capsys.readouterr().err
