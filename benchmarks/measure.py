"""How a ratio is taken: ours and the rival in turn, pair by pair."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"

Figures = dict[str, float | int | str]


def run(command: list[str | Path], data: Path, env: Mapping[str, str] | None = None) -> None:
    """A whole process on the data folder; 3 (done in part) is what a dirty stream gives."""
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={
            **os.environ,
            "FLAGMART_DATA": str(data),
            "DBT_TARGET_PATH": str(data / "target"),
            "DBT_LOG_PATH": str(data / "logs"),
            **(env or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 3):
        sys.exit(f"{' '.join(map(str, command))}: {ran.stderr or ran.stdout}")


def seconds(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def pairs(ours: Callable[[], float], rival: Callable[[], float], runs: int) -> Figures:
    """Seconds of both, in turn, `runs` times after one warm-up of each.

    The ratio is ours over the rival's, pair by pair, so that a machine that slows down half-way
    slows both; the median of the pairs is what to quote.
    """
    ours(), rival()
    measured = [(ours(), rival()) for _ in range(runs)]
    return {
        "ours_s": round(statistics.median(a for a, _ in measured), 2),
        "rival_s": round(statistics.median(b for _, b in measured), 2),
        "ratio": round(statistics.median(a / b for a, b in measured), 3),
        "ratio_lowest": round(min(a / b for a, b in measured), 3),
        "ratio_highest": round(max(a / b for a, b in measured), 3),
        "runs": runs,
    }
