"""Writes the seed of time-zone offsets from the pinned tz data: `python -m flagmart.zones SEED`."""

import csv
import io
import sys
from bisect import bisect_left
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

FIRST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
"""The first instant whose offset the seed knows, in seconds since 1970 UTC."""
LAST = int(datetime(2038, 1, 1, tzinfo=UTC).timestamp())
"""The first one it does not know any more."""
_DAY = 86_400


def seed() -> str:
    """The whole seed as CSV, a row for every zone and stretch of constant offset.

    Only the package tzdata is read: what the system has may be older.
    """
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(("timezone", "offset_from", "utc_offset_seconds"))
    for name in files("tzdata").joinpath("zones").read_text(encoding="utf-8").split():
        data = files("tzdata.zoneinfo").joinpath(*name.split("/")).read_bytes()
        rows.writerows((name, *stretch) for stretch in stretches(data))
    return written.getvalue()


@cache
def stretches(data: bytes) -> tuple[tuple[int, int], ...]:
    """First second and offset of every stretch of constant offset of a zone, in order.

    Seconds since 1970 UTC, and seconds east of UTC. The first stretch begins at FIRST, the last
    goes on to LAST. `data` is a compiled tz file; many names share one. No zone has ever changed
    its offset twice within a day.
    """
    zone = ZoneInfo.from_file(io.BytesIO(data))

    def offset(second: int) -> int:
        found = datetime.fromtimestamp(second, zone).utcoffset()
        return int(found.total_seconds()) if found else 0

    kept = []
    before: int | None = None
    for day in range(FIRST, LAST, _DAY):
        now = offset(day)
        if now != before:
            changed = FIRST
            if before is not None:
                span = range(day - _DAY, day)
                changed = span.start + bisect_left(span, True, key=lambda s: offset(s) == now)
            kept.append((changed, now))
            before = now
    return tuple(kept)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(seed(), encoding="utf-8")
