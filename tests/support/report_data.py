"""Events for the report's tests, and what its pages must say of them, by plain Python."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from support.landed import ENV, event

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = (
    """<img src=x onerror="document.title='broken in'"></script>"""
    """<script>alert(1)</script>&amp;,"'"""
)
BLANKS = "new  banner 2"
OTHER_ENV = "<b>staging</b>"
NEWEST = datetime(2026, 3, 29, 13, 52, tzinfo=UTC)
"""In the last quarter hour of the data, on the day on which Lisbon's clocks jump."""
END = datetime(2026, 3, 29, 14, tzinfo=UTC)
ZONES = ("Europe/Lisbon", "UTC", "Asia/Kathmandu")
RANGES = {
    "24h": (timedelta(hours=1), 24),
    "7d": (timedelta(hours=4), 7),
    "30d": (timedelta(days=1), 30),
    "90d": (timedelta(days=1), 90),
}


@dataclass(frozen=True)
class Evaluation:
    env: str
    flag: str
    variation: str
    user: str
    at: datetime


def evaluations() -> list[Evaluation]:
    """Two hundred days of three flags in two environments, with quiet hours and days."""
    found = []
    for number in range(9_000):
        at = NEWEST - timedelta(seconds=number * 1_931)
        if at.hour == 4 or at.day == 11:
            continue
        # a product of primes, so that nothing goes in step with flags or environments
        mixed = number * 7_919 % 10_007
        found.append(
            Evaluation(
                env=OTHER_ENV if mixed % 5 == 0 else ENV,
                flag=(HOSTILE, "checkout", BLANKS)[mixed % 3],
                variation="<i>on</i>" if mixed % 100 < 30 + number % 40 else "off",
                user=f"user-{mixed % 61}",
                at=at,
            )
        )
    return found


def events() -> Iterator[dict[str, Any]]:
    """As FeatBit writes them."""
    for number, one in enumerate(evaluations()):
        properties = {
            "envId": one.env,
            "featureFlagKey": one.flag,
            "userKeyId": one.user,
            "variationId": f"id-{one.variation}",
            "variationValue": one.variation,
            "sendToExperiment": True,
        }
        yield event(
            number,
            env_id=one.env,
            distinct_id=f"{one.env}-{one.flag}",
            properties=json.dumps(properties),
            timestamp=int(one.at.timestamp()) * 1_000_000,
        )
    for number in range(9_500, 9_700):
        at = NEWEST - timedelta(hours=6 * (number - 9_500))
        purchase = {
            "envId": ENV,
            "type": "CustomEvent",
            "eventName": "purchase",
            "numericValue": 1,
            "user": {"keyId": f"user-{number % 53}"},
        }
        yield event(
            number,
            event="CustomEvent",
            distinct_id="purchase",
            properties=json.dumps(purchase),
            timestamp=int(at.timestamp()) * 1_000_000,
        )
    # some that are rejected, so that the page of data health has what to say
    for number in range(10_000, 10_007):
        yield event(number, properties="no JSON <b>")


@dataclass(frozen=True)
class Expected:
    """What a range shows of a flag in an environment, by the page's own definition of it."""

    starts: list[str]
    """By the zone's clocks, ISO 8601 with the offset."""
    is_partial: bool
    evaluations: dict[str, list[int]]
    users: dict[str, list[int]]
    any_users: list[int]
    different_users: dict[str, int]
    any_different_users: int
    before: int


def edges(zone: str, range_key: str) -> list[datetime]:
    """UTC instants: the beginnings, and the end."""
    step, count = RANGES[range_key]
    clock = ZoneInfo(zone)
    wall = (END - timedelta(microseconds=1)).astimezone(clock).replace(tzinfo=None)
    if range_key == "24h":
        first = wall.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    else:
        first = datetime.combine(wall.date(), datetime.min.time()) - timedelta(days=count - 1)
    if step < timedelta(days=1):
        start = first.replace(tzinfo=clock).astimezone(UTC)
        found = [start]
        while found[-1] < END:
            found.append(found[-1] + step)
    else:
        days = (first + timedelta(days=number) for number in range(count + 1))
        found = [day.replace(tzinfo=clock).astimezone(UTC) for day in days]
    return [*(edge for edge in found if edge < END), END]


def expected(env: str, flag: str, zone: str, range_key: str) -> Expected:
    """Counted one by one."""
    bounds = edges(zone, range_key)
    starts = bounds[:-1]
    step, days = RANGES[range_key]
    back = timedelta(days=1 if range_key == "24h" else days)
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * len(starts))
    users: dict[str, list[set[str]]] = defaultdict(lambda: [set() for _ in starts])
    before = 0
    earlier = [_back(starts[0], back, zone), _back(END, back, zone)]
    for one in evaluations():
        if (one.env, one.flag) != (env, flag):
            continue
        before += earlier[0] <= one.at < earlier[1]
        if not bounds[0] <= one.at < END:
            continue
        place = max(index for index, start in enumerate(starts) if start <= one.at)
        counts[one.variation][place] += 1
        users[one.variation][place].add(one.user)
        users[""][place].add(one.user)
    any_users = users.pop("", [set() for _ in starts])
    return Expected(
        starts=[start.astimezone(ZoneInfo(zone)).isoformat() for start in starts],
        is_partial=(END - starts[-1]) < step,
        evaluations=dict(counts),
        users={name: [len(found) for found in each] for name, each in users.items()},
        any_users=[len(found) for found in any_users],
        different_users={name: len(set().union(*each)) for name, each in users.items()},
        any_different_users=len(set().union(*any_users)),
        before=before,
    )


def _back(moment: datetime, by: timedelta, zone: str) -> datetime:
    """The same wall clock so long before."""
    wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - by
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
