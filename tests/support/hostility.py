"""Deliver to the hostile server until all is settled, and compare what either side knows."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from flagmart import destinations
from flagmart.delivery import ledger, retry
from flagmart.destinations import segment
from support import hostile_server

if TYPE_CHECKING:
    import pytest

    from flagmart.destinations.endpoint import Endpoint
    from flagmart.destinations.settings import Settings
    from support.export_project import ExportProject
    from support.hostile_server import HostileServer

NAME = "segment_tracks"
_BATCH = 100


def acknowledged_ids(project: ExportProject) -> Counter[str]:
    """By the ledger and its files: how often each id counts as acknowledged."""
    found: Counter[str] = Counter()
    with ledger.opened(project.data / "ledger.sqlite", read_only=True) as book:
        for target in book.targets():
            for spool in book.spools(target):
                path = project.data / "acknowledged" / target.delivery / f"{spool.name}.parquet"
                ids = pq.read_table(path).column(0).to_pylist()
                for first, last in spool.ranges:
                    found.update(ids[first : last + 1])
    return found


def made_hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segment's sink, but in small batches, compressed, signed, and told of single messages."""
    numbers = count()

    def endpoint(settings: Settings) -> Endpoint:
        return replace(
            segment.endpoint(settings),
            max_messages=_BATCH,
            refused=hostile_server.refused,
            sign=lambda: {"X-Token": f"token-{next(numbers)}"},
            gzip=True,
        )

    monkeypatch.setitem(destinations.HTTP_SINKS, "segment", endpoint)
    patient = partial(retry.Patience, request_timeout=0.3, first_wait=0.05)
    monkeypatch.setattr(retry, "Patience", patient)


def deliver_through(
    project: ExportProject, server: HostileServer, rows: int, way: str | None = None
) -> None:
    """Export until nothing is left, and hold both sides' accounts against each other.

    Args:
        project: one that is not built.
        server: which is hostile.
        rows: how many messages.
        way: the address by which it is reached, where that is not its own.
    """
    project.build(rows=rows)
    project.env["SEGMENT_HOST"] = way or server.url
    server.heavy = lambda name: name.endswith("0777:evaluation")
    server.unwanted = lambda name: name.endswith("55:evaluation")
    runs = 0
    while (report := _export(project))["outcome"] != "nothing new":
        runs += 1
        assert runs < 200, report
    texts = {
        name: payload.encode()
        for name, payload in project.rows("select message_id, payload from segment_tracks")
    }
    taken = acknowledged_ids(project)
    letters = {letter["id"]: letter for letter in project.dead_letters(NAME)}
    print(f"{server.requests:,} requests, {runs} exports, {dict(server.met)}")

    # once in the ledger or dead, and never both
    assert set(taken.values()) == {1}
    assert not set(taken) & set(letters)
    assert set(taken) | set(letters) == set(texts)
    # whom the server told that it took it is in the ledger, and nobody else
    assert set(server.acknowledged) <= set(taken) <= set(server.kept)
    assert set(letters) == {n for n in texts if server.heavy(n) or server.unwanted(n)}
    for name, letter in letters.items():
        code, reason = (413, "answered 413") if server.heavy(name) else (400, "unwanted here")
        assert letter["status"] == code
        assert reason in letter["reason"]
        assert letter["payload"].encode() == texts[name]
    # whatever came, and however often, in the same bytes
    assert all(forms == {texts[name]} for name, forms in server.texts.items())
    assert {*server.faults, "413", "partial failure"} == set(server.met)
    assert len(server.tokens) > server.requests // 2
    status = project.status(NAME)
    (place,) = status["places"]
    assert (place["rows"], place["dead"], place["unsent"]) == (len(taken), len(letters), 0)
    assert all(account["holds"] for account in status["accounts"])


def _export(project: ExportProject) -> dict[str, object]:
    done = project.call("export", "--output", "json", NAME)
    assert done.returncode in (0, 1, 3), done.stderr
    (report,) = json.loads(done.stdout)
    if done.returncode == 1:
        # what a retry is no answer to, or ten of them
        assert re.search("but that it was no success|, 10 times over", report["remarks"][-1])
    assert isinstance(report, dict)
    return report
