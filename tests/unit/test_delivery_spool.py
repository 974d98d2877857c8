from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from flagmart.delivery import spool
from flagmart.delivery.spool import Batch, TooLarge
from flagmart.destinations.endpoint import Endpoint
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from pathlib import Path

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


def batches(folder: Path, payloads: list[str | None], limits: Endpoint) -> list[Batch | TooLarge]:
    rows = pa.record_batch(
        {
            "ingested_at": pa.array([MOMENT] * len(payloads), pa.timestamp("us")),
            "message_id": [f"id{i}" for i in range(len(payloads))],
            "payload": pa.array(payloads, pa.string()),
        }
    )
    ids, texts = folder / "ids.parquet", folder / "payloads.parquet"
    assert spool.write([rows], ids, texts, "r") == {MOMENT: len(payloads)}
    return list(spool.batches(texts, limits))


def test_a_body_is_the_texts_joined(tmp_path: Path) -> None:
    assert batches(tmp_path, ['{"é":1}', "{ }"], endpoint()) == [
        Batch(0, 1, '{"b":[{"é":1},{ }]}'.encode())
    ]


def test_cut_by_count(tmp_path: Path) -> None:
    cut = batches(tmp_path, ["{}"] * 7, endpoint(messages=3))
    assert [(b.first, b.last) for b in cut if isinstance(b, Batch)] == [(0, 2), (3, 5), (6, 6)]


@pytest.mark.parametrize(
    ("limit", "expected"), [(8 + 3 * 10 + 2, [3, 1]), (8 + 3 * 10 + 1, [2, 2])]
)
def test_cut_by_encoded_bytes_with_envelope_and_commas(
    tmp_path: Path, limit: int, expected: list[int]
) -> None:
    cut = batches(tmp_path, ['{"é":"a"}'] * 4, endpoint(body=limit))
    assert [b.last - b.first + 1 for b in cut if isinstance(b, Batch)] == expected
    assert all(len(b.body) <= limit for b in cut if isinstance(b, Batch))


def test_a_message_too_large_is_named_and_the_rest_keep_their_rows(tmp_path: Path) -> None:
    cut = batches(tmp_path, ["{}", "{}", "x" * 101, "x" * 100, "{}"], endpoint())
    assert [(type(b).__name__, b.first if isinstance(b, Batch) else b.row) for b in cut] == [
        ("Batch", 0),
        ("TooLarge", 2),
        ("Batch", 3),
    ]
    assert spool.message_id(tmp_path / "ids.parquet", 2) == "id2"


def test_a_row_without_payload_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlagmartError, match="without payload"):
        batches(tmp_path, ["{}", None], endpoint())
