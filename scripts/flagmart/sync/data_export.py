"""The options of FeatBit.DataExport, and what they come to as a job of `flagmart sync`.

That sample program (featbit-samples, export-data) reads FeatBit's ClickHouse page by page and sends
each row to Segment or Event Hubs. Its command lines are taken as they are. What they say goes into
variables, as everything does that flagmart reads; each pipeline and environment has a data folder
of its own, so that several run side by side, as several of its processes did.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flagmart import settings
from flagmart.errors import UsageError
from flagmart.settings import DataFolder, Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEGMENT = ("segment_tracks", "segment_identifies")
_EVENT_HUBS = ("event_hub_events",)
PIPELINES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "FlagValueToSegment": ("FlagValue", _SEGMENT),
    "FlagValueToAzureEventHub": ("FlagValue", _EVENT_HUBS),
    "CustomEventToSegment": ("CustomEvent", _SEGMENT),
    "CustomEventToAzureEventHub": ("CustomEvent", _EVENT_HUBS),
}
"""What each sends: the type of the events, and the deliveries."""
PLANS = ("basic", "standard", "premium", "dedicated")

_FROM_ENVIRONMENT = "env:"
_ENVIRONMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_ENCODED_KEY = re.compile(rb"([A-Za-z0-9]{16,}):?")
"""A write key, as it stands in a header: with the colon of an empty password, or without."""
_CLICKHOUSE = "FLAGMART_FEATBIT_CLICKHOUSE"


@dataclass(frozen=True)
class Given:
    """The command line; '' and None where an option is not there."""

    env: str
    timestamp: str
    conn: str
    pipeline: str
    segment: str = ""
    azevthub: str = ""
    azevthubplan: str = ""
    azevthubname: str = ""
    size: int | None = None
    queryinterval: int | None = None
    biginterval: float = 30
    eventtype: str = ""


@dataclass
class Asked:
    """What it comes to."""

    source: str
    """The kind of store."""
    deliveries: tuple[str, ...]
    data: DataFolder
    variables: dict[str, object]
    """Vars for dbt; no secret is among them, since dbt is told of them in its arguments."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables for this process and dbt."""
    remarks: list[str] = field(default_factory=list)
    """What means something else than it did, and what had better be said otherwise."""


def asked(given: Given, data: DataFolder) -> Asked:
    """The job that a command line asks for.

    Args:
        given: the options.
        data: the data folder, in which the job has its own.

    Raises:
        UsageError: an option is missing or wrong; the message repeats no secret.
    """
    if given.pipeline not in PIPELINES:
        raise UsageError(f"--pipeline {given.pipeline!r} is none; there are {', '.join(PIPELINES)}")
    if not _ENVIRONMENT_ID.fullmatch(given.env):
        raise UsageError(
            f"-e {given.env!r} is no environment's id; copy it from FeatBit, like "
            "32f6be54-6796-44dd-bc82-f4824b0da13c"
        )
    event, deliveries = PIPELINES[given.pipeline]
    own = DataFolder(data.root / "data-export" / given.pipeline / given.env)
    found = Asked(
        source="clickhouse",
        deliveries=deliveries,
        data=own,
        variables={
            "flagmart_env_ids": [given.env],
            "flagmart_message_events": [event],
            "flagmart_messages_after": _moment(given.timestamp),
            "flagmart_further_deliveries": [
                delivery for delivery in deliveries if delivery != "segment_tracks"
            ],
        },
    )
    found.environment = {
        "FLAGMART_DATA": str(own.root),
        # the vars are other ones than those of another pipeline, so dbt's artifacts are, too
        "DBT_TARGET_PATH": str((own.dbt / "target").absolute()),
        "DBT_LOG_PATH": str((own.dbt / "logs").absolute()),
    }
    if settings.engine() is Engine.CLICKHOUSE:
        name = f"{settings.clickhouse().database}_{given.pipeline}_{given.env}"
        found.environment["FLAGMART_CLICKHOUSE_DATABASE"] = name.replace("-", "_").lower()
    found.remarks.append(
        f"where to go on is remembered in {own.root}; -t only bounds the client's time: what is "
        "not later is never sent"
    )
    _read_from(given, found)
    if deliveries == _SEGMENT:
        _send_to_segment(given, found)
    else:
        _send_to_event_hubs(given, found)
    _say_what_is_without_effect(given, found)
    return found


def _moment(text: str) -> str:
    """A UTC time as the var has it."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"-t {text!r} is no time; write it like 2023-12-12 07:41:51.288") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _read_from(given: Given, found: Asked) -> None:
    """What `-c` says: ClickHouse's connection string, or the address of another store."""
    text, is_shown = _said("-c", given.conn)
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in ("postgres", "postgresql"):
        found.source, found.environment["FLAGMART_POSTGRES_URL"] = "postgres", text
        holds_password = ":" in urlsplit(text).netloc.rpartition("@")[0]
    elif scheme in ("mongodb", "mongodb+srv"):
        found.source, found.environment["FLAGMART_MONGODB_URL"] = "mongodb", text
        holds_password = ":" in urlsplit(text).netloc.rpartition("@")[0]
    else:
        pairs = _pairs("-c", text)
        holds_password = bool(pairs.get("password"))
        _read_from_clickhouse(pairs, found)
    if is_shown and holds_password:
        found.remarks.append(_shown("-c", "a password"))


def _read_from_clickhouse(pairs: dict[str, str], found: Asked) -> None:
    secure = pairs.pop("protocol", "http").lower() == "https"
    server = {
        "HOST": pairs.pop("host", "") or "localhost",
        "PORT": pairs.pop("port", ""),
        "USER": pairs.pop("username", "") or pairs.pop("user", ""),
        "DATABASE": pairs.pop("database", ""),
        "SECURE": "true" if secure else "false",
    }
    found.environment |= {f"{_CLICKHOUSE}_{key}": value for key, value in server.items() if value}
    if password := pairs.pop("password", ""):
        found.environment["DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD"] = password
    if pairs:
        found.remarks.append(f"-c: {', '.join(sorted(pairs))} without effect")


def _send_to_segment(given: Given, found: Asked) -> None:
    if not given.segment:
        raise UsageError(f"--pipeline {given.pipeline} needs -g WriteKey=…;Host=…, or -g env:NAME")
    text, is_shown = _said("-g", given.segment)
    pairs = _pairs("-g", text)
    key = pairs.get("writekey", "")
    if not key:
        raise UsageError("-g has no WriteKey; write it like WriteKey=…;Host=https://api.segment.io")
    if is_shown:
        found.remarks.append(_shown("-g", "a write key"))
    plain = _plain_key(key)
    if plain != key:
        found.remarks.append("-g: the write key is in base64, and taken as what it stands for")
    found.environment["SEGMENT_WRITE_KEY"] = plain
    if host := pairs.get("host", ""):
        found.environment["SEGMENT_HOST"] = host


def _plain_key(key: str) -> str:
    """The write key itself, where what is given is its base64.

    FeatBit's documentation shows it so, for a header that the program wrote itself. A key has 32
    letters and digits; that another text of base64 comes out like that is no chance to reckon with.
    """
    try:
        decoded = _ENCODED_KEY.fullmatch(b64decode(key, validate=True))
    except ValueError:
        return key
    return decoded[1].decode("ascii") if decoded else key


def _send_to_event_hubs(given: Given, found: Asked) -> None:
    for option, value in (
        ("-a", given.azevthub),
        ("--azevthubplan", given.azevthubplan),
        ("--azevthubname", given.azevthubname),
    ):
        if not value:
            raise UsageError(f"--pipeline {given.pipeline} needs {option}")
    text, is_shown = _said("-a", given.azevthub)
    if is_shown:
        found.remarks.append(_shown("-a", "a key"))
    plan = given.azevthubplan.lower()
    if plan not in PLANS:
        found.remarks.append(f"--azevthubplan {given.azevthubplan} is none; taken as Basic")
        plan = "basic"
    found.variables["flagmart_event_hubs_tier"] = plan
    found.environment["EVENT_HUBS_CONNECTION_STRING"] = text
    found.environment["EVENT_HUBS_HUB"] = given.azevthubname


def _say_what_is_without_effect(given: Given, found: Asked) -> None:
    paging = [
        option
        for option, value in (("-s", given.size), ("-i", given.queryinterval))
        if value is not None
    ]
    if paging:
        found.remarks.append(
            f"{', '.join(paging)} without effect: a round sends all that is new, in batches as "
            "large as the destination takes, and -b is the wait for the next one"
        )
    event, _ = PIPELINES[given.pipeline]
    if given.eventtype not in ("", event):
        found.remarks.append(
            f"--eventtype {given.eventtype} without effect, as ever: --pipeline says {event}"
        )


def _said(option: str, value: str) -> tuple[str, bool]:
    """What an option says, and whether anybody may read it off the command line."""
    if not value.startswith(_FROM_ENVIRONMENT):
        return value, True
    variable = value.removeprefix(_FROM_ENVIRONMENT)
    text = os.environ.get(variable, "").strip()
    if not text:
        raise UsageError(f"{option} names the variable {variable!r}, which is not set")
    return text, False


def _shown(option: str, what: str) -> str:
    return (
        f"{option} has {what} on the command line, where others on this machine may read it; put "
        f"the same text into a variable and say {option} {_FROM_ENVIRONMENT}NAME"
    )


def _pairs(option: str, text: str) -> dict[str, str]:
    """`Key=value;…` with keys in lower case; values may hold `=`."""
    pairs = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, sign, value = part.partition("=")
        if not sign:
            raise UsageError(f"{option} is no list like Name=value;Name=value")
        pairs[name.strip().lower()] = value.strip()
    return pairs


def as_yaml(variables: Mapping[str, object]) -> str:
    """Vars for dbt's `--vars`: JSON is YAML."""
    return json.dumps(variables)
