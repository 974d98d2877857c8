"""How a ratio is taken: ours and the rival in turn, pair by pair.

Rivals in Python are no dependencies of this project. Give them an environment of their own:

    python3 -m venv /somewhere/rivals
    /somewhere/rivals/bin/pip install 'dlt[filesystem,parquet]' duckdb segment-analytics-python
    FLAGMART_BENCH_RIVALS=/somewhere/rivals/bin/python make bench
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"

Figures = dict[str, float | int | str]

RIVALS = "FLAGMART_BENCH_RIVALS"
RIVALS_ENV = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
"""dlt's own telemetry is off."""
ABSENT: Figures = {"absent": "environment of rivals; benchmarks/measure.py says how to get one"}


def _environment(data: Path, more: Mapping[str, str] | None) -> dict[str, str]:
    places = {
        "FLAGMART_DATA": data,
        "DBT_TARGET_PATH": data / "target",
        "DBT_LOG_PATH": data / "logs",
    }
    return {**os.environ, **{name: str(place) for name, place in places.items()}, **(more or {})}


def run(command: list[str | Path], data: Path, env: Mapping[str, str] | None = None) -> str:
    """A whole process on the data folder; what it prints. 3 (done in part): a dirty stream."""
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=_environment(data, env),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 3):
        sys.exit(f"{' '.join(map(str, command))}: {ran.stderr or ran.stdout}")
    return ran.stdout


def seconds(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Spent:
    """What a whole process took."""

    wall_s: float
    cpu_s: float
    """Of all its threads and children: what to look at where the machine has other work, too."""
    peak_mb: float
    """Resident memory of the process and its children together, where the system tells."""


def spent(command: list[str | Path], data: Path, env: Mapping[str, str] | None = None) -> Spent:
    """Run a whole process on the data folder, which must end well."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(data, env), stdout=said, stderr=said
        )
        peak = 0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, _resident_bytes(process.pid))
            time.sleep(0.02)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(map(str, command))}: {said.read()[-2000:]}")
    # the largest single process, by the kernel's own account, misses no moment
    peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    return Spent(wall, usage.ru_utime + usage.ru_stime, peak / 1e6)


def extrapolated(work: Callable[[int], Spent], done: int, wanted: int) -> Spent:
    """What `work` on `wanted` items would take, from one item and from `done` of them."""
    first, last = work(1), work(done)
    more = (wanted - 1) / (done - 1)
    return Spent(
        first.wall_s + (last.wall_s - first.wall_s) * more,
        first.cpu_s + (last.cpu_s - first.cpu_s) * more,
        last.peak_mb,
    )


def _resident_bytes(pid: int) -> int:
    """Of the process and all below it, now; 0 where there is no /proc."""
    place = Path(f"/proc/{pid}")
    try:
        pages = int((place / "statm").read_text().split()[1])
        below = [
            int(child)
            for thread in (place / "task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(_resident_bytes, below))


def process_pairs(ours: Callable[[], Spent], rival: Callable[[], Spent], runs: int) -> Figures:
    """Both in turn, as `pairs` does, with processor time and peak memory beside the clock."""
    ours(), rival()
    measured = [(ours(), rival()) for _ in range(runs)]
    walls = [a.wall_s / b.wall_s for a, b in measured]
    return {
        "ours_s": round(statistics.median(a.wall_s for a, _ in measured), 2),
        "rival_s": round(statistics.median(b.wall_s for _, b in measured), 2),
        "ratio": round(statistics.median(walls), 3),
        "ratio_lowest": round(min(walls), 3),
        "ratio_highest": round(max(walls), 3),
        "cpu_ratio": round(statistics.median(a.cpu_s / b.cpu_s for a, b in measured), 3),
        "ours_cpu_s": round(statistics.median(a.cpu_s for a, _ in measured), 2),
        "rival_cpu_s": round(statistics.median(b.cpu_s for _, b in measured), 2),
        "ours_mb": round(max(a.peak_mb for a, _ in measured)),
        "rival_mb": round(max(b.peak_mb for _, b in measured)),
        "runs": runs,
    }


def pairs(ours: Callable[[], float], rival: Callable[[], float], runs: int) -> Figures:
    """Seconds of both, in turn, `runs` times after one warm-up of each.

    The ratio is ours over the rival's, pair by pair, so that a machine that slows down half-way
    slows both; the median of the pairs is what to quote.
    """
    ours(), rival()
    return of_pairs([(ours(), rival()) for _ in range(runs)])


def of_pairs(measured: Sequence[tuple[float, float]]) -> Figures:
    """Of seconds that were taken in pairs, ours and the rival's."""
    return {
        "ours_s": round(statistics.median(a for a, _ in measured), 2),
        "rival_s": round(statistics.median(b for _, b in measured), 2),
        "ratio": round(statistics.median(a / b for a, b in measured), 3),
        "ratio_lowest": round(min(a / b for a, b in measured), 3),
        "ratio_highest": round(max(a / b for a, b in measured), 3),
        "runs": len(measured),
    }


def memory(large: Spent, small: Spent) -> Figures:
    """Peak memory of the same work on much and on little; flat where the ratio is near 1."""
    return {
        "ours_mb": round(large.peak_mb),
        "rival_mb": round(small.peak_mb),
        "ratio": round(large.peak_mb / small.peak_mb, 3),
        "runs": 1,
    }
