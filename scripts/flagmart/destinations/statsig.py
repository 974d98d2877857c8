"""Statsig's calls: events as they come, that a day is finished, and what becomes of a changed one.

Sources, where no other is named: Statsig's documentation, data-warehouse-ingestion (A below) and
data-imports/redshift, "Redshift and S3" (B).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from flagmart.destinations.endpoint import Endpoint, answer_of, base_url, page

if TYPE_CHECKING:
    from datetime import date

    from flagmart.destinations.settings import Settings

FIRST_SIGNAL_DAYS = 28
"""Of the first signal: "four weeks ago at most" (data-imports/overview)."""
CALL_EVERY = timedelta(hours=2)
""""Rate limited to once every two hours" (A); B names no limit, and gets the same."""
DATASETS = ("events", "metrics")
"""What a call may be about, each with days and calls of its own."""

RELOAD_PERCENT = 5
"""A day that grew by more is reloaded: ">5% number of rows" (A, FAQ on backfill)."""
RELOAD_DAYS = 3
""""The last 3 days from today" (A, the same)."""

MAX_EVENTS = 1_000
"""Of a call: "anything over 1000 will be dropped on the server" (the older SDKs' page)."""
MAX_EVENTS_BYTES = 1_000_000
"""Of a call; Statsig drops what exceeds 10 MB (the page of Server Core)."""

_MAX_BODY = 1_000


class Does(StrEnum):
    """What becomes of a day that changed after Statsig took it up."""

    NOT_YET = "takes it up as it is once it is finished"
    RELOADS = "reloads it by itself"
    TOO_SMALL = "leaves it: too small a change"
    TOO_OLD = "leaves it: too old"


@dataclass(frozen=True)
class Verdict:
    """What Statsig does with a changed day, and by which rule."""

    does: Does
    rule: str


def judge(day: date, before: int, rows: int, changed_on: date) -> Verdict:
    """What Statsig does of itself with a day that it has taken up.

    Args:
        day: of Statsig's.
        before: rows as Statsig took it up.
        rows: as it is now.
        changed_on: the day, of Statsig's, on which the change reached the store.
    """
    age = (changed_on - day).days
    grown = 100 * (rows - before) / (before or 1)
    change = f"{'grew' if grown >= 0 else 'shrank'} by {abs(grown):.1f} %" if before else "is new"
    if age > RELOAD_DAYS:
        return Verdict(
            Does.TOO_OLD, f"{change} when {age} days old; it looks back {RELOAD_DAYS} days"
        )
    if 100 * (rows - before) > RELOAD_PERCENT * before:
        return Verdict(
            Does.RELOADS, f"{change}, more than {RELOAD_PERCENT} %, within {RELOAD_DAYS} days"
        )
    return Verdict(Does.TOO_SMALL, f"{change}; it reloads above {RELOAD_PERCENT} % more rows")


@dataclass(frozen=True)
class Call:
    """A request that says a day is finished."""

    endpoint: Endpoint
    each_day: bool
    """Whether it speaks of one day alone; else of all that lies before it, too."""

    def body(self, dataset: str, day: date, ends_at: int) -> bytes:
        """The request's body.

        Args:
            dataset: one of DATASETS.
            day: the finished one.
            ends_at: seconds from 1970 UTC to its end.
        """
        said: dict[str, object] = (
            {"datestamps": day.isoformat()} if self.each_day else {"timestamp": ends_at}
        )
        return json.dumps({**said, "type": dataset}).encode()


def mark_data_ready(settings: Settings) -> Call:
    """`mark_data_ready` (B): a moment before which everything has been delivered.

    Raises:
        FlagmartError: the key is not set, or the host is no address.
    """
    return Call(_endpoint(settings, "https://api.statsig.com", "mark_data_ready"), each_day=False)


def mark_data_ready_dwh(settings: Settings) -> Call:
    """`mark_data_ready_dwh` (A): one day.

    Raises:
        FlagmartError: the key is not set, or the host is no address.
    """
    host = "https://latest.api.statsig.com"
    return Call(_endpoint(settings, host, "mark_data_ready_dwh"), each_day=True)


def log_event(settings: Settings) -> Endpoint:
    """`/v1/log_event`: events as they come (http-api).

    Args:
        settings: `key_env` names the variable with the server secret key; `host_env`, where given,
            the one with the host.

    Raises:
        FlagmartError: the key is not set, or the host is no address.
    """
    return _log(settings, "log_event", "events")


def log_custom_exposure(settings: Settings) -> Endpoint:
    """`/v1/log_custom_exposure`: exposures to experiments; settings as for `log_event`."""
    return _log(settings, "log_custom_exposure", "exposures")


def _log(settings: Settings, name: str, key: str) -> Endpoint:
    return replace(
        _endpoint(settings, "https://events.statsigapi.net", name),
        prefix=f'{{"{key}":['.encode(),
        separator=b",",
        suffix=b"]}",
        max_messages=MAX_EVENTS,
        max_body_bytes=MAX_EVENTS_BYTES,
        max_message_bytes=MAX_EVENTS_BYTES,
        final=(),
        # "without it, you may see inconsistent timestamps": the sender's clock, now
        sign=lambda: {"STATSIG-CLIENT-TIME": str(time.time_ns() // 1_000_000)},
    )


def _endpoint(settings: Settings, default_host: str, name: str) -> Endpoint:
    settings.only("destination", "sink", "host_env", "key_env")
    key = settings.secret("key_env")
    host = settings.from_environment("host_env", default_host)
    return Endpoint(
        url=f"{base_url(host, str(settings.values.get('host_env', 'host')))}/v1/{name}",
        headers={"statsig-api-key": key, "Content-Type": "application/json"},
        secrets=(key,),
        prefix=b"",
        separator=b"",
        suffix=b"",
        max_messages=1,
        max_body_bytes=_MAX_BODY,
        max_message_bytes=_MAX_BODY,
        objection=objection,
        # the next may go in two hours and not in a minute
        final=(429, 200, 202),
    )


def objection(body: str) -> str | None:
    """Why an answer 2xx is no acknowledgement; Statsig documents none for these calls.

    `{"success": true}` is what its other calls answer; an empty body and other words pass, too.
    """
    answer = answer_of(body)
    if answer.get("success", True) is not True or answer.get("error"):
        return "that it was no success"
    return page(body, "Statsig")
