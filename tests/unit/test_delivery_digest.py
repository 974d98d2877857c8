from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from flagmart.delivery.digest import ContentDigest

SCHEMA = pa.schema(
    [
        pa.field("n", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("value", pa.decimal128(24, 6), nullable=False),
        pa.field("map", pa.map_(pa.string(), pa.string()), nullable=False),
    ]
)


def rows(count: int = 50) -> list[dict[str, Any]]:
    return [
        {
            "n": i,
            "text": "é" * (i % 4),
            "at": datetime(2026, 1, 1, 0, 0, i, tzinfo=UTC),
            "value": Decimal(i) / 8,
            "map": [(f"k{j}", f"v{i}") for j in range(i % 3)],
        }
        for i in range(count)
    ]


def digest(data: list[dict[str, Any]], *cuts: int) -> str:
    table = pa.Table.from_pylist(data, schema=SCHEMA).combine_chunks()
    content = ContentDigest(SCHEMA)
    edges = [0, *cuts, len(data)]
    for start, end in pairwise(edges):
        content.add(table.slice(start, end - start))
    return content.hexdigest()


@pytest.mark.parametrize("cuts", [(1,), (7, 8, 9), (25, 25, 49), (10, 20, 30, 40)])
def test_where_batches_end_leaves_no_trace(cuts: tuple[int, ...]) -> None:
    assert digest(rows(), *cuts) == digest(rows())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", -1),
        ("text", "ée"),
        ("at", datetime(2025, 1, 1, tzinfo=UTC)),
        ("value", Decimal("0.000001")),
        ("map", [("k0", "v0"), ("k1", "other")]),
        ("map", [("k1", "v11"), ("k0", "v11")]),
    ],
)
def test_any_value_changes_it(column: str, value: object) -> None:
    changed = rows()
    changed[11][column] = value
    assert digest(changed) != digest(rows())


def test_bytes_moved_from_one_row_to_the_next_change_it() -> None:
    one, other = rows(2), rows(2)
    one[0]["text"], one[1]["text"] = "ab", "c"
    other[0]["text"], other[1]["text"] = "a", "bc"
    assert digest(one) != digest(other)


def test_order_changes_it() -> None:
    assert digest(rows()[::-1]) != digest(rows())


def test_it_is_the_same_in_every_version() -> None:
    # a value in ledgers of earlier versions: a change of it would write every partition again
    assert digest(rows(3)) == "420a34a386fae3f71b3d43dd381c9246cda4d78a248345631f5889ca37d43313"


NULLABLE = pa.schema(
    [
        ("text", pa.string()),
        ("truth", pa.bool_()),
        ("day", pa.date32()),
        ("small", pa.int32()),
        ("float", pa.float64()),
        ("value", pa.decimal128(24, 6)),
        ("at", pa.timestamp("us")),
    ]
)


def test_null_is_no_value_at_all() -> None:
    zeros = {"text": "", "truth": False, "day": date(1970, 1, 1), "small": 0, "float": 0.0}
    zeros |= {"value": Decimal(0), "at": datetime(1970, 1, 1)}  # noqa: DTZ001
    variants = [zeros, *({**zeros, name: None} for name in zeros), {**zeros, "truth": True}]
    digests = set()
    for rows_of in variants:
        table = pa.Table.from_pylist([zeros, rows_of, zeros], schema=NULLABLE)
        whole, cut = ContentDigest(NULLABLE), ContentDigest(NULLABLE)
        whole.add(table)
        for start in range(3):
            cut.add(table.slice(start, 1))
        assert whole.hexdigest() == cut.hexdigest()
        digests.add(whole.hexdigest())
    assert len(digests) == len(variants)
