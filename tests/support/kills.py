"""Kill an export into a bucket at random moments, and look after each what a reader would see."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from support.export_project import META, ExportProject
from support.s3_server import BUCKET

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from support.s3_server import S3Server

_DAYS = 8


def kill_at_random_moments(
    folder: Path, server: S3Server, prefix: str, *, kills: int, chance: random.Random
) -> None:
    """Each time all days change; what says it is whole is one version, and the end is the last."""
    project = ExportProject(folder, dict(server.env)).build(days=_DAYS, rows=_DAYS * 2_000)
    path = f"{prefix}/exports/hackle"
    project.dbt_build(
        meta={"hackle_events": {**META["hackle_events"], "path": f"s3://{BUCKET}/{path}"}}
    )
    begun = time.monotonic()
    process = project.start("export", "hackle_events")
    process.communicate()
    assert process.returncode == 0
    length = time.monotonic() - begun
    versions: dict[str, list[dict[str, bytes]]] = defaultdict(list)
    killed = 0
    for number in range(kills):
        expected = _version(project, folder, versions)
        assert number or _by_day(server.contents(path)) == _by_day(expected)
        project.add(
            rows=_DAYS * 100, days=_DAYS, run=f"2026-03-20 00:00:{number:02d}", prefix=f"{number}"
        )
        expected = _version(project, folder, versions)
        process = project.start("export", "hackle_events")
        # the last part of a run is the delivery
        time.sleep(chance.uniform(0.4, 1.0) * length)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        for day, seen in _by_day(server.contents(path)).items():
            assert "_SUCCESS" not in seen or seen in versions[day], day
    assert killed >= kills // 2
    project.export("hackle_events")
    assert server.contents(path) == expected


def _version(
    project: ExportProject, folder: Path, versions: dict[str, list[dict[str, bytes]]]
) -> dict[str, bytes]:
    """What a folder that nobody disturbs holds now."""
    place = folder / "undisturbed"
    project.export("hackle_events", "--to", str(place))
    whole = {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }
    for day, files in _by_day(whole).items():
        if files not in versions[day]:
            versions[day].append(files)
    return whole


def _by_day(files: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    days: dict[str, dict[str, bytes]] = defaultdict(dict)
    for key, body in files.items():
        day, _, name = key.partition("/")
        days[day][name] = body
    return dict(days)
