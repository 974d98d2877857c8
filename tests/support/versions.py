"""Exports of flags and users that go with a stream of events, another state for each number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ODD = '"ü<&>\\ /\u2028\t'
"""What JSON writers spell differently."""


def write_exports(lines: Iterable[bytes], number: int, folder: Path) -> tuple[Path, Path]:
    """Files of `feature_flags` and `end_users`, as JSON lines.

    The flags and users of `lines`, the users with the events' own names; with each number, some
    flags lose a variation, and some users change their name or an attribute, or lose all of them.
    """
    served: dict[tuple[str, str], set[str]] = {}
    named: dict[tuple[str, str], str | None] = {}
    for env, properties in _evaluations(lines):
        flag, user = properties.get("featureFlagKey"), properties.get("userKeyId")
        if isinstance(flag, str) and flag:
            served.setdefault((env, flag), set()).add(str(properties.get("variationId")))
        if isinstance(user, str) and user:
            name = properties.get("userName")
            named[env, user] = name if isinstance(name, str) else None
    flags = [
        _flag(env, key, sorted(variations), number + place)
        for place, ((env, key), variations) in enumerate(sorted(served.items()))
    ]
    users = [
        _user(env, key, name, number, place)
        for place, ((env, key), name) in enumerate(sorted(named.items()))
    ]
    users += [_user("", "everywhere", ODD, number, number), _user("e", "never seen", None, 0, 0)]
    paths = folder / f"flags-{number}.jsonl", folder / f"users-{number}.jsonl"
    for path, records in zip(paths, (flags, users), strict=True):
        path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return paths


def _evaluations(lines: Iterable[bytes]) -> Iterable[tuple[str, dict[str, Any]]]:
    for line in lines:
        try:
            message = json.loads(line)
            properties = json.loads(message["properties"])
            if (
                message["event"] == "FlagValue"
                and message["env_id"]
                and isinstance(properties, dict)
            ):
                yield message["env_id"], properties
        except (ValueError, KeyError, TypeError):
            continue  # a dirty stream has such


def _flag(env: str, key: str, variations: list[str], turn: int) -> dict[str, Any]:
    kept = variations[turn % 2 :]
    return {
        "id": f"id of {key}",
        "env_id": env,
        "key": key,
        "name": f"{key} {ODD}",
        "variation_type": "string",
        "variations": [
            {"id": each, "name": ["", f"n{place} {ODD}"][place % 2], "value": f"{turn} {ODD}"}
            for place, each in enumerate(kept)
        ],
        "is_enabled": bool(turn % 2),
        "is_archived": None if turn % 3 else False,
        "updated_at": None if turn % 2 else f"2026-01-{turn % 28 + 1:02}T01:02:03.456Z",
    }


def _user(env: str, key: str, name: str | None, number: int, place: int) -> dict[str, Any]:
    attributes = [
        {"name": f"plan {ODD}", "value": f"{(number + place) // 3} {ODD}"},
        {"name": "age", "value": str(place)},
    ]
    return {
        "env_id": env,
        "key_id": key,
        "name": f"{name} of {number}" if place % 5 == 0 else name,
        "customized_properties": [] if (number + place) % 4 == 0 else attributes,
        "updated_at": None if place % 2 else f"2026-01-{place % 28 + 1:02}T01:02:03.456Z",
    }
