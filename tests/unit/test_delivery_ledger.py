from __future__ import annotations

import random
import sqlite3
from datetime import date, datetime
from typing import TYPE_CHECKING

import pytest

from flagmart.delivery import ledger
from flagmart.delivery.dead import DeadLetter, Refused
from flagmart.delivery.ledger import Partition
from flagmart.errors import FlagmartError
from flagmart.warehouse.protocol import RunFigures

if TYPE_CHECKING:
    from pathlib import Path


def test_ranges_join_whatever_order_answers_come_in(tmp_path: Path) -> None:
    batches = [(first, first + 9) for first in range(0, 1000, 10)]
    held_back = batches.pop(40)
    random.Random(1).shuffle(batches)
    with ledger.opened(tmp_path / "ledger.sqlite") as book:
        target = book.target("d", "x", "https://example.com")
        spool = book.open_spool(target)
        for first, last in batches:
            book.acknowledge(target, spool.id, [(first, last)])
        assert book.spools(target)[0].ranges == ((0, 399), (410, 999))
        book.acknowledge(target, spool.id, [held_back])
        assert book.spools(target)[0].ranges == ((0, 999),)
        assert book.spools(target)[0].acknowledged == 1000


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    moment = datetime(2026, 3, 1, 12, 0, 0, 7)  # noqa: DTZ001
    partition = Partition(date(2026, 3, 1), 5, moment, "f", "d", 1, 10)
    run = RunFigures(moment, 5, "00ff")
    with ledger.opened(path) as book:
        target = book.target("d", "x", "exports/d")
        book.in_place(target, partition, delivered=True)
        book.record_runs(target, [run])
    with ledger.opened(path, read_only=True) as book:
        again = book.find("d", "x", "exports/d")
        assert again is not None
        assert book.partitions(again) == {partition.day: partition}
        assert book.runs(again) == {moment: run}
        assert book.find("d", "x", "exports/elsewhere") is None
        assert book.find("d", "y", "exports/d") is None


def test_no_user_or_password_enters_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with ledger.opened(path) as book:
        target = book.target("d", "x", "https://user:secret@example.com:8443/v1")
        assert target.points_to == "https://example.com:8443/v1"
        assert book.find("d", "x", "https://other:secret@example.com:8443/v1") == target
    assert b"secret" not in path.read_bytes()


def test_read_only_makes_no_file(tmp_path: Path) -> None:
    with ledger.opened(tmp_path / "ledger.sqlite", read_only=True) as book:
        assert book.targets() == []
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(FlagmartError, match="has version 99"), ledger.opened(path):
        pass


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"no database at all, but long enough to be one" * 100)
    with (
        pytest.raises(FlagmartError, match=r"ledger\.sqlite: file is not a database"),
        ledger.opened(path),
    ):
        pass


@pytest.mark.parametrize(
    ("version", "added"), [(1, ["calls", "loads", "dead"]), (2, ["dead"])], ids=["1", "2"]
)
def test_a_ledger_of_a_version_before_is_brought_up_to_date(
    tmp_path: Path, version: int, added: list[str]
) -> None:
    path = tmp_path / "ledger.sqlite"
    with ledger.opened(path) as book:
        target = book.target("d", "x", "exports/d")
        spool = book.open_spool(target)
        book.acknowledge(target, spool.id, [(0, 4)])
        before_it = book.targets()
    with sqlite3.connect(path) as connection:
        drops = "".join(f"drop table {name};" for name in added)
        connection.executescript(f"{drops} pragma user_version = {version}")
    connection.close()
    for read_only in (True, False):
        before = path.read_bytes()
        with ledger.opened(path, read_only=read_only) as book:
            assert book.targets() == before_it
            assert book.calls(target) == {}
            assert book.spools(target)[0].ranges == ((0, 4),)
            assert list(book.dead_letters(target)) == []
        assert (path.read_bytes() == before) is read_only


def letter(row: int, message_id: str) -> DeadLetter:
    return DeadLetter(row, message_id, Refused(400, "no name", "said"), "{}", "2026-03-01T00:00:00")


def test_a_replayed_message_is_in_one_place_only(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with ledger.opened(path) as book:
        target, other = (book.target("d", "x", f"https://{host}.example") for host in "ab")
        elsewhere = book.open_spool(other)
        book.acknowledge(other, elsewhere.id, [], [letter(0, "b")])
        first = book.open_spool(target)
        book.acknowledge(target, first.id, [(0, 0), (4, 9)], [letter(1, "b"), letter(3, "d")])
        book.acknowledge(target, first.id, [], [letter(2, "c")])
    with ledger.opened(path) as book:
        (spool,) = book.spools(target)
        assert (spool.ranges, spool.dead) == (((0, 0), (4, 9)), ((1, 3),))
        assert spool.settled == ((0, 9),)
        assert (spool.acknowledged, spool.refused) == (7, 3)
        again = book.open_spool(target)
        book.acknowledge(target, again.id, [(0, 0)], [letter(1, "c")], replayed=["b", "c"])
        assert [(found.row, found.message_id) for found in book.dead_letters(target)] == [
            (3, "d"),
            (1, "c"),
        ]
        assert list(book.dead_letters(target, again.id)) == [letter(1, "c")]
        assert [found.message_id for found in book.dead_letters(other)] == ["b"]


def test_dead_letters_whose_message_is_gone_are_forgotten_and_runs_looked_at(
    tmp_path: Path,
) -> None:
    run = RunFigures(datetime(2026, 3, 1), 5, "00ff")  # noqa: DTZ001
    with ledger.opened(tmp_path / "ledger.sqlite") as book:
        target = book.target("d", "x", "https://a.example")
        spool = book.open_spool(target)
        book.acknowledge(target, spool.id, [], [letter(0, "a"), letter(1, "b")])
        book.record_runs(target, [run])
        assert book.drop_dead(target, iter(["a", "b", "c"])) == 0
        assert book.runs(target) == {run.ingested_at: run}
        assert book.drop_dead(target, iter(["b"])) == 1
        assert [found.message_id for found in book.dead_letters(target)] == ["b"]
        assert book.runs(target) == {}


def test_what_cannot_be_recorded_whole_is_not_recorded_at_all(tmp_path: Path) -> None:
    with ledger.opened(tmp_path / "ledger.sqlite") as book:
        target = book.target("d", "x", "https://a.example")
        spool = book.open_spool(target)
        with pytest.raises(sqlite3.IntegrityError):
            book.acknowledge(target, spool.id, [(0, 4)], [letter(5, "a"), letter(5, "a")])
        assert book.spools(target)[0].settled == ()
