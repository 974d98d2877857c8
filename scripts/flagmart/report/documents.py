"""What the page's script is told, as JSON documents: short, since there is one for each flag."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from flagmart.report.flags import ANY, local
from flagmart.report.windows import RANGES

if TYPE_CHECKING:
    from flagmart.report.flags import Drawn, FlagInEnv, Flags

_HARMLESS = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def text(document: object) -> str:
    """JSON that no browser takes for markup, wherever it stands in a page or a script."""
    written = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return written.translate(_HARMLESS)


def page_of(flag: str) -> str:
    """The file of a flag's page: its key may hold anything, a file's name may not."""
    return f"flag-{hashlib.sha256(flag.encode()).hexdigest()[:16]}.html"


def of_site(flags: Flags, specs: dict[str, Any]) -> dict[str, Any]:
    """What all pages share."""
    zones = list(flags.as_of)
    return {
        "zones": zones,
        "asOf": flags.as_of,
        "ranges": [
            {"key": one.key, "label": one.label, "interval": one.interval_label} for one in RANGES
        ],
        "axes": {
            zone: {
                key: {"starts": drawn.axis.starts, "partial": drawn.axis.is_partial}
                for key, drawn in flags.drawn[zone].items()
            }
            for zone in zones
        },
        "specs": specs,
    }


def of_list(flags: Flags) -> dict[str, Any]:
    """A row for each flag and environment, of all variations together."""
    rows = [(flag, found) for flag, envs in flags.flags.items() for found in envs]
    return {"rows": [_row(flags, flag, found) for flag, found in rows]}


def of_flag(flags: Flags, flag: str) -> dict[str, Any]:
    """All that is known of a flag, by environment."""
    return {
        "flag": flag,
        "envs": [
            {
                **_known(flags, found),
                "drawn": {
                    zone: {
                        key: _series(drawn, flag, found) for key, drawn in flags.drawn[zone].items()
                    }
                    for zone in flags.as_of
                },
            }
            for found in flags.flags[flag]
        ],
    }


def _known(flags: Flags, found: FlagInEnv) -> dict[str, Any]:
    return {
        "env": found.env,
        "last": local(found.last_at, list(flags.as_of)),
        "variations": [{"id": one.id, "name": one.name} for one in found.variations],
    }


def _row(flags: Flags, flag: str, found: FlagInEnv) -> dict[str, Any]:
    drawn: dict[str, dict[str, Any]] = {}
    for zone in flags.as_of:
        drawn[zone] = {}
        for key, one in flags.drawn[zone].items():
            series = [
                one.evaluations.get((found.env, flag, variation.id), [])
                for variation in found.variations
            ]
            drawn[zone][key] = {
                "spark": [sum(counts) for counts in zip(*filter(None, series), strict=True)],
                "totals": [sum(counts) for counts in series],
                "before": _before(one, flag, found),
            }
    return {"flag": flag, "page": page_of(flag), **_known(flags, found), "drawn": drawn}


def _series(drawn: Drawn, flag: str, found: FlagInEnv) -> dict[str, Any]:
    """By variation, in its environment's order; [] stands for zeros all along."""
    ids = [one.id for one in found.variations]
    return {
        "evaluations": [drawn.evaluations.get((found.env, flag, one), []) for one in ids],
        "users": [drawn.users.get((found.env, flag, one), []) for one in ids],
        "newUsers": [drawn.new_users.get((found.env, flag, one), 0) for one in ids],
        "anyUsers": drawn.users.get((found.env, flag, ANY), []),
        "anyNewUsers": drawn.new_users.get((found.env, flag, ANY), 0),
        "before": _before(drawn, flag, found),
    }


def _before(drawn: Drawn, flag: str, found: FlagInEnv) -> list[int]:
    return [drawn.before.get((found.env, flag, one.id), 0) for one in found.variations]
