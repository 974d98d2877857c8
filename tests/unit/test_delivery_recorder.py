from __future__ import annotations

import asyncio
import threading

import pyarrow as pa

from flagmart.delivery.sending import Answered, Recorder
from flagmart.delivery.spool import Batch


def test_nobody_counts_a_batch_whose_record_failed() -> None:
    """Those that came while the disk was busy share the next write, and its failure."""
    written: list[int] = []
    go_on = threading.Event()

    def record(answers: list[Answered]) -> None:
        go_on.wait(timeout=30)
        if written:
            raise OSError("disk full")
        written.extend(answered.batch.first for answered in answers)

    async def all_of_them() -> list[object]:
        recorder = Recorder(record)

        async def one(number: int) -> int:
            await recorder.record(Answered(Batch(number, pa.array([b""]))))
            return number

        tasks = [asyncio.create_task(one(number)) for number in range(8)]
        await asyncio.sleep(0)
        go_on.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    outcomes = asyncio.run(all_of_them())
    assert outcomes[0] == 0
    assert written == [0]
    assert [str(outcome) for outcome in outcomes[1:]] == ["disk full"] * 7
