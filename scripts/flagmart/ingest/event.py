"""An event as a file has it, and why a record may be none."""

import msgspec

from flagmart.ingest.timestamps import Timestamp

MALFORMED = "malformed JSON"
NOT_UTF8 = "not UTF-8"
NESTED = "nested too deeply"


class NoEventError(ValueError):
    """Why a record is no event; few different texts, since they are counted by it."""


class Event(msgspec.Struct, gc=False):
    """One event as a file has it; `timestamp` may still wait for the file's unit."""

    id: str | None
    env_id: str
    event: str
    distinct_id: str
    properties: str
    timestamp: Timestamp
    arrived: int | None = None
    """The store's own arrival time, microseconds since 1970 UTC."""
