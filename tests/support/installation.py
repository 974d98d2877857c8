"""One engine with a data folder of its own: ingest, build, export, and what was delivered."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from support.command import START, flagmart
from support.dbt_project import build

if TYPE_CHECKING:
    from pathlib import Path

    from support.segment_server import SegmentServer

SEGMENT_KEY = "write-key-never-to-be-seen"


@dataclass
class Installation:
    """One engine with a data folder of its own."""

    data: Path
    env: dict[str, str] | None
    segment: SegmentServer

    @property
    def environment(self) -> dict[str, str]:
        target = "target" if self.env is None else "target-other"
        return {
            **(self.env or {}),
            "DBT_TARGET_PATH": str(self.data / target),
            "SEGMENT_HOST": self.segment.url,
            "SEGMENT_WRITE_KEY": SEGMENT_KEY,
        }

    def ingest(self, source: Path, minutes: int) -> None:
        at = START + timedelta(minutes=minutes)
        flagmart("ingest", "files", str(source), data=self.data, at=at, env=self.environment)

    def ingest_and_build(self, source: Path, minutes: int) -> None:
        self.ingest(source, minutes)
        build(data=self.data, env=self.env)

    def export(self, *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
        return self._reports("export", *arguments, code=code)

    def replay(self, *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
        return self._reports("replay", *arguments, code=code)

    def _reports(self, verb: str, *arguments: str, code: int) -> dict[str, dict[str, Any]]:
        text = flagmart(
            *(verb, "--output", "json", *arguments),
            data=self.data,
            env=self.environment,
            codes=(code,),
        )
        return {report["delivery"]: report for report in json.loads(text)}

    def status(self) -> dict[str, Any]:
        text = flagmart("status", "--output", "json", data=self.data, env=self.environment)
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    def files(self) -> dict[str, str]:
        """Digest of every delivered file."""
        root = self.data / "exports"
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in root.rglob("*")
            if path.is_file()
        }
