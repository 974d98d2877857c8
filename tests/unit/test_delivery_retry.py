from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from flagmart.delivery.retry import Patience, SharedPause, TryAgainError, asked_wait, may_pass


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_these_may_pass(status: int) -> None:
    assert may_pass(status)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 410, 413, 422, 501])
def test_these_will_not(status: int) -> None:
    assert not may_pass(status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Sat, 28 Feb 2026 00:00:30 GMT"}, 0.0),
        ({"X-RateLimit-Reset": "12"}, 12.0),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "3"}, 3.0),
        ({"Retry-After": "3", "X-RateLimit-Reset": "12"}, 3.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "Sat, 28 Feb 99999999999999 00:00:30 GMT"}, None),
        ({}, None),
    ],
)
def test_what_the_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers) == seconds


def test_the_server_knows_nothing_of_a_clock_set_for_flagmart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", "2000-01-01T00:00:00Z")
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    asked = asked_wait({"Retry-After": later})
    assert asked is not None
    assert 3_500 < asked <= 3_600


class _State:
    """As much of tenacity's state as a wait looks at."""

    attempt_number = 1

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.outcome = self

    def exception(self) -> Exception:
        return self.error


def test_a_wait_holds_everybody_back_and_is_capped() -> None:
    async def held_back() -> tuple[float, float]:
        pause = SharedPause(Patience(first_wait=0.1, longest_wait=0.1), lambda line: None)
        wait = pause.seconds(_State(TryAgainError("busy", 3600)))  # type: ignore[arg-type]
        start = time.monotonic()
        await pause.over()
        return wait, time.monotonic() - start

    wait, held = asyncio.run(held_back())
    assert wait == 0.1
    assert held >= 0.09


def test_a_server_that_asks_for_no_wait_is_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    pause = SharedPause(Patience(first_wait=1.0, longest_wait=60.0), lambda line: None)
    state = _State(TryAgainError("answered 503", 0.0))
    waits = []
    for attempt in (1, 2, 3, 9):
        state.attempt_number = attempt
        waits.append(pause.seconds(state))  # type: ignore[arg-type]
    assert waits == [1.0, 2.0, 4.0, 60.0]


def test_a_stop_ends_every_pause() -> None:
    async def stopped() -> None:
        pause = SharedPause(Patience(), lambda line: None)
        pause.seconds(_State(TryAgainError("busy", 60)))  # type: ignore[arg-type]
        waiting = asyncio.create_task(pause.over())
        await asyncio.sleep(0)
        pause.stopped.set()
        await asyncio.wait_for(waiting, timeout=5)

    asyncio.run(stopped())


def test_a_long_wait_is_told_once() -> None:
    told: list[str] = []
    pause = SharedPause(Patience(), told.append)
    for _ in range(8):
        pause.seconds(_State(TryAgainError("answered 429", 30)))  # type: ignore[arg-type]
    assert told == ["answered 429 (attempt 1 of 10); waiting 30 s"]
