"""Kill one delivery of messages at random moments, again and again, and count what comes twice."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from flagmart.delivery.sending import IN_FLIGHT, UNDER_WAY
from support.hostility import NAME, acknowledged_ids
from support.segment_server import split

if TYPE_CHECKING:
    import random

    from support.export_project import ExportProject
    from support.segment_server import SegmentServer

_DELAY = 0.05
_TEXT = 700
"""Characters that make a message large, and batches many."""
_ROWS = 520
"""Messages of that size in a batch, nearly."""


def kill_while_sending(
    project: ExportProject, server: SegmentServer, *, kills: int, chance: random.Random
) -> int:
    """How many messages came twice, each of them because it was under way at a kill."""
    # a run gets at most twice as far as what is in flight before it is killed, mostly less
    batches = IN_FLIGHT * max(kills, 12)
    project.build(rows=batches * _ROWS)
    project.sql(f"update events set variation = repeat('x', {_TEXT})")
    server.delay = _DELAY
    in_flight: Counter[str] = Counter()
    for _ in range(kills):
        begun = len(server.taken)
        until = begun + chance.randint(1, 2 * IN_FLIGHT)
        process = project.start("export", NAME)
        while process.poll() is None and len(server.taken) < until:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, _DELAY))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"it came to its end before the kill: {said}"
        _wait_until_quiet(server)
        ours = server.taken[begun:]
        unrecorded = {name for body in ours for name, _ in split(body)}
        unrecorded -= set(acknowledged_ids(project))
        assert len(unrecorded) <= UNDER_WAY * max(len(split(body)) for body in ours)
        in_flight.update(unrecorded)
    server.delay = 0.0
    (report,) = project.export(NAME)
    assert report["outcome"] == "delivered"

    expected = {
        name: payload.encode()
        for name, payload in project.rows("select message_id, payload from segment_tracks")
    }
    came = server.ids()
    assert set(came) == set(expected)
    assert all(body == expected[name] for name, body in server.messages())
    repeats = came - Counter(list(came))
    assert repeats <= in_flight
    assert acknowledged_ids(project) == Counter(list(expected))
    return repeats.total()


def _wait_until_quiet(server: SegmentServer) -> None:
    """What a killed sender left in the sockets is still read."""
    seen = -1
    while seen != len(server.requests):
        seen = len(server.requests)
        time.sleep(0.2)
