from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from flagmart.delivery import spool
from flagmart.delivery.spool import Batch, Ids
from flagmart.destinations.endpoint import Endpoint
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

HERE = Path(__file__).parent
MOMENT = datetime(2026, 3, 1)  # noqa: DTZ001


def endpoint(messages: int = 100, body: int = 1000, message: int = 100) -> Endpoint:
    return Endpoint(
        "https://example.com",
        {},
        (),
        b'{"b":[',
        b",",
        b"]}",
        messages,
        body,
        message,
        lambda _: None,
    )


def batches(
    folder: Path,
    payloads: Sequence[str | None],
    limits: Endpoint,
    keys: Sequence[str | None] | None = None,
) -> list[Batch]:
    rows = pa.record_batch(
        {
            "ingested_at": pa.array([MOMENT] * len(payloads), pa.timestamp("us")),
            "message_id": [f"id{i}" for i in range(len(payloads))],
            "payload": pa.array(payloads, pa.string()),
            **({} if keys is None else {"batch_key": pa.array(keys, pa.string())}),
        }
    )
    ids, texts = folder / "ids.parquet", folder / "payloads.arrow"
    assert spool.write((part for part in [rows]), ids, texts, "r") == {MOMENT: len(payloads)}
    return list(spool.batches(texts, limits))


def test_a_body_is_the_texts_joined(tmp_path: Path) -> None:
    (batch,) = batches(tmp_path, ['{"é":1}', "{ }"], endpoint())
    assert (batch.first, batch.last) == (0, 1)
    assert b"".join(batch.body(endpoint())) == '{"b":[{"é":1},{ }]}'.encode()


def test_cut_by_count(tmp_path: Path) -> None:
    cut = batches(tmp_path, ["{}"] * 7, endpoint(messages=3))
    assert [(b.first, b.last) for b in cut] == [(0, 2), (3, 5), (6, 6)]


@pytest.mark.parametrize(
    ("limit", "expected"), [(8 + 3 * 10 + 2, [3, 1]), (8 + 3 * 10 + 1, [2, 2])]
)
def test_cut_by_encoded_bytes_with_envelope_and_commas(
    tmp_path: Path, limit: int, expected: list[int]
) -> None:
    cut = batches(tmp_path, ['{"é":"a"}'] * 4, endpoint(body=limit))
    assert [len(b.messages) for b in cut] == expected
    assert all(len(b"".join(b.body(endpoint()))) <= limit for b in cut)


def test_a_message_too_large_is_a_batch_of_its_own(tmp_path: Path) -> None:
    cut = batches(tmp_path, ["{}", "{}", "x" * 101, "y" * 102, "x" * 100, "{}"], endpoint())
    assert [(b.first, b.last) for b in cut] == [(0, 1), (2, 2), (3, 3), (4, 5)]


def test_cut_where_the_key_changes(tmp_path: Path) -> None:
    limits = replace(endpoint(messages=3), batched_by="partition_key")
    keys = ["a", "b", "b", "b", "b", "a", "c"]
    cut = batches(tmp_path, ["{}"] * 5 + ["x" * 101, "{}"], limits, keys)
    assert [(b.first, b.last, b.key) for b in cut] == [
        (0, 0, "a"),
        (1, 3, "b"),
        (4, 4, "b"),
        (5, 5, "a"),
        (6, 6, "c"),
    ]


def test_halves_are_in_order_and_whole() -> None:
    batch = Batch(7, pa.array([b"a", b"b", b"c"]), "k")
    assert batch.halves() == (
        Batch(7, pa.array([b"a"]), "k"),
        Batch(8, pa.array([b"b", b"c"]), "k"),
    )


def test_no_more_rows_than_asked_for(tmp_path: Path) -> None:
    rows = pa.record_batch(
        {
            "ingested_at": pa.array([MOMENT] * 5, pa.timestamp("us")),
            "message_id": list("abcde"),
            "payload": ["{}"] * 5,
        }
    )
    ids = tmp_path / "ids.parquet"
    taken: list[int] = []

    def stream() -> Generator[pa.RecordBatch, None, None]:
        for number in range(9):
            taken.append(number)
            yield rows

    counts = spool.write(stream(), ids, tmp_path / "payloads.arrow", "r", max_rows=7)
    assert counts == {MOMENT: 7}
    assert taken == [0, 1, 2]  # one ahead
    with Ids(ids) as names:
        assert names.of(0, 6) == list("abcdeab")
        assert names.of(3, 5) == list("dea")
        assert names.of(6, 6) == ["b"]
    assert list(spool.all_message_ids(ids)) == list("abcdeab")


def test_a_row_without_payload_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlagmartError, match="without payload"):
        batches(tmp_path, ["{}", None], endpoint())
    with pytest.raises(FlagmartError, match="without a key"):
        batches(tmp_path, ["{}", "{}"], endpoint(), ["a", None])


def test_batches_go_on_from_one_stretch_of_rows_to_the_next(tmp_path: Path) -> None:
    sizes = [5, 0, 1, 1, 40, 3]
    texts = [f'"{number:0>{number % 9}}"' for number in range(sum(sizes))]

    def stream() -> Generator[pa.RecordBatch, None, None]:
        start = 0
        for size in sizes:
            some = texts[start : start + size]
            yield pa.record_batch(
                {
                    "ingested_at": pa.array([MOMENT] * size, pa.timestamp("us")),
                    "message_id": pa.array(some, pa.string()),
                    "payload": pa.array(some, pa.string()),
                }
            )
            start += size

    path = tmp_path / "payloads.arrow"
    spool.write(stream(), tmp_path / "ids.parquet", path, "r")
    limits = endpoint(messages=7, body=60)
    cut = list(spool.batches(path, limits))
    assert [text for b in cut for text in b.messages.to_pylist()] == [t.encode() for t in texts]
    assert [b.first for b in cut] == [0, *(b.last + 1 for b in cut[:-1])]
    for batch, following in pairwise(cut):
        one_more = pa.concat_arrays([batch.messages, following.messages.slice(0, 1)])
        longer = Batch(0, one_more)
        assert len(batch.messages) == 7 or len(b"".join(longer.body(limits))) > 60
        assert len(b"".join(batch.body(limits))) <= 60


def test_no_pandas_is_imported_for_a_spool(tmp_path: Path) -> None:
    """Arrow looks for it where it is given a Python value, and its import takes a second."""
    batches(tmp_path, ["{}"] * 3, endpoint())
    script = (
        "import sys; from pathlib import Path; from flagmart.delivery import spool; "
        "from test_delivery_spool import endpoint; "
        "[batch.body(endpoint()) for batch in spool.batches(Path(sys.argv[1]), endpoint())]; "
        "sys.exit('pandas' in sys.modules)"
    )
    path = tmp_path / "payloads.arrow"
    assert subprocess.run([sys.executable, "-c", script, path], cwd=HERE).returncode == 0
