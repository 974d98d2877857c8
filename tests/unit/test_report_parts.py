"""The report's parts that need no engine and no browser."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from flagmart.errors import FlagmartError, UsageError
from flagmart.report import documents, windows
from flagmart.report.flags import Axis, Drawn, FlagInEnv, Flags, Variation
from flagmart.report.health import LATENESS, OUTCOMES, Day, Health
from flagmart.report.site import MARK, replaced

if TYPE_CHECKING:
    from pathlib import Path

RANGES = {one.key: one for one in windows.RANGES}


@pytest.mark.parametrize(
    ("key", "end", "starts"),
    [
        ("24h", "2026-03-29T13:45", "2026-03-28T14:00:00"),
        # on a whole hour, and on midnight: no interval that has only begun
        ("24h", "2026-03-29T13:00", "2026-03-28T13:00:00"),
        ("7d", "2026-03-29T13:45", "2026-03-23T00:00:00"),
        ("7d", "2026-03-29T00:00", "2026-03-22T00:00:00"),
        ("90d", "2026-03-29T00:15", "2025-12-30T00:00:00"),
    ],
)
def test_ranges_begin_on_whole_hours_and_days(key: str, end: str, starts: str) -> None:
    asked = windows.shown(RANGES[key], datetime.fromisoformat(end), "Europe/Lisbon")
    assert (asked.start, asked.end, asked.timezone) == (starts, "", "Europe/Lisbon")


def test_the_period_before_is_cut_like_this_one() -> None:
    asked = windows.before(RANGES["7d"], datetime.fromisoformat("2026-03-29T13:45"), "UTC")
    assert (asked.start, asked.end) == ("2026-03-16T00:00:00", "2026-03-22T13:45:00")


def test_no_text_ends_a_script_or_leaves_ascii() -> None:
    hostile = {"</script><!--": "\u2028&amp;<img> \U0001f600"}
    written = documents.text(hostile)
    assert not set(written) & set("<>&\u2028")
    assert written.isascii()
    assert json.loads(written) == hostile


def test_pages_have_names_of_their_own() -> None:
    keys = ["../../etc/passwd", "a", "A", "a ", "", "ä" * 500]
    names = [documents.page_of(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(name.isascii() and "/" not in name and len(name) < 40 for name in names)


def test_fifty_flags_are_small() -> None:
    zones = ("America/Chicago", "UTC")
    variations = tuple(Variation(f"{n:08d}-aaaa-bbbb-cccc-dddddddddddd", f"{n}") for n in range(4))
    envs = ("production",)
    flags = {
        f"a-flag-with-quite-a-long-name-{n}": [
            FlagInEnv(env, variations, datetime(2026, 1, 1, tzinfo=UTC)) for env in envs
        ]
        for n in range(50)
    }
    lengths = {"24h": 24, "7d": 42, "30d": 30, "90d": 90}
    series = [(env, flag, one.id) for flag in flags for env in envs for one in variations]
    anyone = [(env, flag, "") for flag in flags for env in envs]
    drawn = {
        key: Drawn(
            Axis([f"2026-01-01T{n:05d}+00:00" for n in range(length)], is_partial=True),
            {one: [123_456] * length for one in series},
            {one: [12_345] * length for one in series + anyone},
            dict.fromkeys(series + anyone, 12_345),
            dict.fromkeys(series, 1_234_567),
        )
        for key, length in lengths.items()
    }
    found = Flags(
        flags, dict.fromkeys(zones, "2026-01-01T00:00+00:00"), dict.fromkeys(zones, drawn)
    )
    each = [len(documents.text(documents.of_flag(found, flag))) for flag in flags]
    listed = len(documents.text(documents.of_list(found)))
    # two zones and four variations, with six digits in every interval
    assert sum(each) + listed < 2_000_000


def test_a_report_replaces_a_report(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "site"
    for text in ("first", "second"):
        with replaced(out) as folder:
            (folder / MARK).write_text(text)
            (folder / text).mkdir()
            assert not (out / "second").exists()
        assert {path.name for path in out.iterdir()} == {MARK, text}
    assert [path.name for path in out.parent.iterdir()] == ["site"]


def test_what_fails_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "site"
    with replaced(out) as folder:
        (folder / MARK).write_text("old")

    def fail() -> None:
        with replaced(out) as folder:
            (folder / MARK).write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (out / MARK).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)
    for out in (tmp_path, file, link):
        with pytest.raises(UsageError, match="--out="), replaced(out):
            raise AssertionError
    # a folder cannot be made below a file, whoever asks
    with pytest.raises(FlagmartError, match="point --out at"), replaced(file / "site"):
        raise AssertionError
    assert file.read_text() == ""


def test_health_is_drawn_without_holes() -> None:
    def day(moment: date) -> Day:
        return Day(moment.isoformat(), dict.fromkeys(OUTCOMES, 1), 0, 0, dict.fromkeys(LATENESS, 2))

    first = date(2026, 1, 1)
    chart = Health([day(first), day(first + timedelta(days=20))], [], []).chart
    assert len(chart["days"]) == 21
    assert chart["outcomes"][0]["values"] == [1, *([0] * 19), 1]
    # one day is no wide block, and years are no thin lines
    assert len(Health([day(first)], [], []).chart["days"]) == 14
    assert len(Health([day(first), day(first + timedelta(days=900))], [], []).chart["days"]) == 90
    assert Health([], [], []).chart == {"days": []}
