"""Kill exports of events, metrics and finished days at random moments, and look after each."""

from __future__ import annotations

import json
import signal
import time
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from support.segment_server import running
from support.statsig_project import BY_FILE, DATASETS, StatsigProject

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from support.segment_server import SegmentServer

_KEY = "statsig-key"
_CALLS = {
    "destination": "statsig",
    "sink": "mark_data_ready",
    "key_env": "STATSIG_API_KEY",
    "host_env": "STATSIG_HOST",
}
_FIRST = date(2026, 3, 1)
_BEGIN = datetime(2026, 3, 5, 12, tzinfo=UTC)
_END_OF_DAY = timedelta(hours=32)
"""After the midnight, UTC, at which the day begins that ends there by UTC-8."""


class Watched:
    """One project whose finished days go out by files and by calls, and what was seen of it."""

    def __init__(self, folder: Path, server: SegmentServer) -> None:
        self.server = server
        env = {"STATSIG_API_KEY": _KEY, "STATSIG_HOST": server.url}
        self.project = StatsigProject(folder, env).made()
        self.project.sql("create view statsig_calls as from statsig_signals")
        meta = BY_FILE | {"statsig_calls": _CALLS}
        self.project.dbt_build(
            meta=meta, results={f"model.flagmart.{name}": "success" for name in meta}
        )
        self.place = self.project.data / "exports/statsig"
        self.undisturbed = folder / "undisturbed"
        self.versions: dict[str, list[bytes]] = defaultdict(list)
        self.now = _BEGIN
        self._seen = 0
        self._last: dict[str, tuple[datetime, date]] = {}

    def at(self, moment: datetime) -> None:
        """Set the clock of the next export."""
        self.now = moment
        self.project.env["FLAGMART_NOW"] = moment.isoformat()

    def know(self) -> dict[str, bytes]:
        """The files of both datasets as they are to be now."""
        for name in DATASETS:
            self.project.export(name, "--to", str(self.undisturbed))
        files = _files(self.undisturbed)
        for path, body in files.items():
            if body not in self.versions[path]:
                self.versions[path].append(body)
        return files

    def look(self) -> None:
        """No day is finished, by a file or by a call, whose data or whose past is not there."""
        finished = [date.fromisoformat(day) for day in self.project.finished()]
        assert finished == [_FIRST + timedelta(days=n) for n in range(len(finished))]
        if finished:
            self._whole(finished[-1])
        for request in self.server.requests[self._seen :]:
            said = json.loads(request.body)
            moment = datetime.fromtimestamp(said["timestamp"], UTC) - _END_OF_DAY
            self._whole(moment.date())
            if before := self._last.get(said["type"]):
                at, day = before
                assert self.now - at >= timedelta(hours=2), said
                assert moment.date() >= day, said
            self._last[said["type"]] = (self.now, moment.date())
        self._seen = len(self.server.requests)

    def _whole(self, last: date) -> None:
        there = _files(self.place)
        for number in range((last - _FIRST).days + 1):
            for dataset in ("events", "metrics"):
                path = f"{dataset}/{_FIRST + timedelta(days=number)}/part-00000.parquet"
                if known := self.versions.get(path):
                    assert there.get(path) in known, path


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.parquet")
        if path.is_file() and not path.name.startswith(".")
    }


def kill_before_days_are_finished(folder: Path, *, kills: int, chance: random.Random) -> None:
    """Each time a day more is over and an older one has late rows; the end is as if none died."""
    with running("") as server:
        server.key_header = ("statsig-api-key", _KEY)
        watched = Watched(folder, server)
        project = watched.project
        watched.at(_BEGIN)
        watched.know()
        begun = time.monotonic()
        process = project.start("export")
        process.communicate()
        assert process.returncode == 0
        length = time.monotonic() - begun
        watched.look()
        assert len(server.requests) == 2
        killed = 0
        for number in range(kills):
            watched.at(watched.now + timedelta(hours=chance.uniform(0.3, 2.5)))
            # the 4th has no rows, ever
            newest = _FIRST + timedelta(days=4 + number)
            older = _FIRST + timedelta(days=chance.randrange(3))
            run = f"{newest + timedelta(days=1)} 00:00:00"
            for day, prefix in ((newest, "new"), (older, "late")):
                project.add(rows=50, first_day=str(day), run=run, prefix=f"{prefix}{number}")
            watched.know()
            process = project.start("export")
            # the first part of a run is Python's start
            time.sleep(chance.uniform(0.3, 1.0) * length)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
            watched.look()
        assert killed >= kills // 2
        watched.at(watched.now + timedelta(hours=2))
        expected = watched.know()
        project.export()
        watched.look()
        there = _files(watched.place)
        days = [str(_FIRST + timedelta(days=n)) for n in range(4 + kills)]
        assert project.finished() == days
        assert {k: v for k, v in there.items() if not k.startswith("signals/")} == expected
        # the finished days, too, are those of a place where none was killed; it begins with the
        # last four weeks
        project.export("statsig_signals", "--to", str(watched.undisturbed))
        assert _files(watched.undisturbed).items() <= there.items()
        last = {json.loads(body)["type"]: json.loads(body)["timestamp"] for body in server.taken}
        end = datetime.combine(_FIRST + timedelta(days=3 + kills), datetime.min.time(), UTC)
        assert set(last.values()) == {int((end + _END_OF_DAY).timestamp())}
        assert set(last) == {"events", "metrics"}
