"""When to try a request again, and how long to wait: one pause for all requests in flight."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from tenacity import wait_random_exponential

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenacity import RetryCallState


WORTH_A_WORD = 5.0
"""Seconds of a wait that the person at the terminal should know of."""


@dataclass(frozen=True)
class Patience:
    """How long to keep trying, in seconds.

    By default a request is tried ten times. Its nine waits come to four minutes at most where the
    server asks for nothing, to nine where it asks for the longest each time; the ten attempts
    themselves take five at most. What other requests are told to wait meanwhile comes on top.
    """

    attempts: int = 10
    first_wait: float = 1.0
    """Upper end of the first random wait; it doubles with each attempt."""
    longest_wait: float = 60.0
    """Cap of every wait, also of one the server asks for."""
    request_timeout: float = 30.0
    least_gap: float = 0.0
    """From the start of one request to that of the next."""


class TryAgainError(Exception):
    """This attempt failed in a way that may pass."""

    def __init__(
        self,
        reason: str,
        asked_wait: float | None = None,
        *,
        status: int | None = None,
        arrived: bool = True,
    ) -> None:
        super().__init__(reason)
        self.asked_wait = asked_wait
        self.status = status
        self.arrived = arrived
        """Whether the server may have seen the request."""


def may_pass(status: int) -> bool:
    """Whether the same request may succeed later: 408, 429, and 5xx except 501."""
    return status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED
    )


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks for.

    `Retry-After` (seconds or an HTTP date), else `X-RateLimit-Reset` (seconds).
    """
    for name in ("Retry-After", "X-RateLimit-Reset"):
        value = headers.get(name, "").strip()
        if not value:
            continue
        try:
            seconds = float(value)
        except ValueError:
            try:
                moment = parsedate_to_datetime(value)
            except (ValueError, OverflowError):
                continue
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            # the server's clock goes by the world's, not by FLAGMART_NOW
            seconds = (moment - datetime.now(UTC)).total_seconds()
        if seconds == seconds:  # not NaN
            return max(0.0, seconds)
    return None


class SharedPause:
    """A pause that holds back every request, whichever of them was told to wait."""

    def __init__(self, patience: Patience, say: Callable[[str], None]) -> None:
        self._until = 0.0
        self._next_turn = 0.0
        self._say = say
        self._patience = patience
        self._jitter = wait_random_exponential(
            multiplier=patience.first_wait, max=patience.longest_wait
        )
        self.stopped = asyncio.Event()

    def seconds(self, state: RetryCallState) -> float:
        """To wait after a failed attempt, for tenacity; the pause of all others grows with it."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.asked_wait if isinstance(error, TryAgainError) else None
        # a server that asks for less than it can bear is not hammered
        wait = max(self._jitter(state), min(asked or 0.0, self._patience.longest_wait))
        now = time.monotonic()
        if wait >= WORTH_A_WORD and self._until < now:
            of = f"attempt {state.attempt_number} of {self._patience.attempts}"
            self._say(f"{error} ({of}); waiting {wait:.0f} s")
        self._until = max(self._until, now + wait)
        return wait

    async def sleep(self, seconds: float) -> None:
        """Until the shared pause is over, or the delivery stops."""
        await self.over(seconds)

    async def turn(self) -> None:
        """Return when a request may start, or the delivery stops."""
        await self.over()
        now = time.monotonic()
        start = max(now, self._next_turn)
        self._next_turn = start + self._patience.least_gap
        if start > now:
            await self.over(start - now)

    async def over(self, at_least: float = 0.0) -> None:
        """Return when no pause is left, or the delivery stops."""
        until = time.monotonic() + at_least
        while not self.stopped.is_set():
            left = max(until, self._until) - time.monotonic()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self.stopped.wait(), timeout=left)
            except TimeoutError:
                continue
