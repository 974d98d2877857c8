"""A delivery of messages that is killed at random moments, and started again each time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from support.export_project import KEY, ExportProject
from support.message_kills import kill_while_sending
from support.segment_server import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_killed_five_times_only_what_was_in_flight_comes_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with running(KEY) as server:
        project = ExportProject(tmp_path, {"SEGMENT_HOST": server.url})
        repeats = kill_while_sending(project, server, kills=5, chance=random.Random(12))
        record_property("messages that came twice", repeats)
        print(f"{repeats:,} of {len(server.ids()):,} messages came twice")
