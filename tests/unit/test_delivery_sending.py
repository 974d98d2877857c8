from __future__ import annotations

import pyarrow as pa
import pytest

from flagmart.delivery.dead import Refused
from flagmart.delivery.sending import Answered
from flagmart.delivery.spool import Batch


@pytest.mark.parametrize(
    ("refused", "spans"),
    [
        ([], [(10, 14)]),
        ([0], [(11, 14)]),
        ([4], [(10, 13)]),
        ([2], [(10, 11), (13, 14)]),
        ([3, 1], [(10, 10), (12, 12), (14, 14)]),
        ([0, 1, 2, 3, 4], []),
    ],
)
def test_rows_that_were_taken(refused: list[int], spans: list[tuple[int, int]]) -> None:
    answered = Answered(
        Batch(10, pa.array([b"{}"] * 5)), {place: Refused(400, "no") for place in refused}
    )
    assert answered.spans == spans
    assert answered.taken == sum(last - first + 1 for first, last in spans) == 5 - len(refused)
