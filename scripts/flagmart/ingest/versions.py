"""Versions of FeatBit's flags and users: what a record says of one, in one spelling.

A record is a row of PostgreSQL's `feature_flags` or `end_users`, a document of MongoDB's
`FeatureFlags` or `EndUsers`, or what an export or FeatBit's API made of either; names in snake_case
or camelCase. Of each only what the models read becomes the version's content, so that nothing else
makes a new version. A record of the same content has the same text, whatever store it came from;
lists and objects within are text of their own, so that either engine gives their bytes as they are.
"""

import json
import re
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa

from flagmart.ingest import timestamps
from flagmart.ingest.event import NoEventError
from flagmart.ingest.formats import NOTHING_KNOWN
from flagmart.ingest.records import extended_date, extended_id, loads, storable, unwrapped
from flagmart.ingest.sources import RefusedError
from flagmart.ingest.timestamps import Moment, Timestamp
from flagmart.warehouse.landing import EVENT_COLUMNS, TIME

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What there are versions of."""

    name: str
    """The landing's `event`."""
    table: str
    """Its table in PostgreSQL."""
    collection: str
    """Its collection in MongoDB."""
    key: str
    """The column with its key."""
    needed: tuple[str, ...]
    """Columns that tell a record of it from all others."""
    optional: tuple[str, ...]
    has_env: bool
    """Whether each belongs to an environment."""
    content: Callable[[Record], dict[str, Any]]

    @property
    def columns(self) -> tuple[str, ...]:
        """All that is read of a record."""
        return ("env_id", *self.needed, *self.optional, CHANGED)

    def check(self, names: Collection[str]) -> None:
        """See that a table's columns are those of such records.

        Raises:
            RefusedError: they are not.
        """
        found = {_snake(name) for name in names}
        if not found.intersection(self.needed):
            raise RefusedError(NOTHING_KNOWN)
        missing = [name for name in self.needed if name not in found]
        if missing:
            raise RefusedError(
                f"a table without {', '.join(missing)}; export {self.table} with all its columns"
            )


class Version(NamedTuple):
    """One version, as far as its record tells."""

    env_id: str
    """'' for a user of all environments."""
    key: str
    content: str
    """JSON text, keys in order."""
    changed: int | None
    """When the store last changed it, microseconds since 1970 UTC."""


CHANGED = "updated_at"
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
# the ids of versions hang on this name, so it never changes
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "versions.flagmart")


def version(kind: Kind, record: object) -> Version:
    """The version in a record.

    Raises:
        NoEventError: there is none, with the reason.
    """
    if not isinstance(record, Mapping):
        raise NoEventError("not a JSON object")
    facts = {_snake(str(name)): value for name, value in record.items()}
    if any(name not in facts for name in kind.needed):
        raise NoEventError(f"no {kind.name}: it lacks {' or '.join(kind.needed)}")
    env_id, key = _text(facts, "env_id"), _text(facts, kind.key)
    if not key:
        raise NoEventError(f"a {kind.name} without a key")
    if kind.has_env and not env_id:
        raise NoEventError(f"a {kind.name} without an environment")
    return Version(env_id, key, _spelled(kind.content(facts)), _changed(facts.get(CHANGED)))


def batch(
    kind: Kind, run_id: str, versions: Sequence[Version], places: Sequence[str]
) -> pa.RecordBatch:
    """Versions with the columns `EVENT_COLUMNS`.

    Args:
        kind: of them all.
        run_id: the run that lands them: a key may come back to what it was, so content alone makes
            no id.
        versions: what lands.
        places: where each comes from.
    """
    rows = len(versions)
    columns = [
        pa.array([_id(run_id, kind, each) for each in versions], pa.string()),
        pa.array([each.env_id for each in versions], pa.string()),
        pa.repeat(pa.scalar(kind.name, pa.string()), rows),
        pa.array([each.key for each in versions], pa.string()),
        pa.array([each.content for each in versions], pa.string()),
        pa.array([each.changed for each in versions], TIME),
        pa.array(places, pa.string()),
        pa.nulls(rows, TIME),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EVENT_COLUMNS)


def as_text(record: object) -> str:
    """A record whose own bytes are not at hand, for the reject file."""
    return json.dumps(record, ensure_ascii=False, default=str)


def _id(run_id: str, kind: Kind, found: Version) -> str:
    return str(uuid.uuid5(_NAMESPACE, _spelled([run_id, kind.name, found.env_id, found.key])))


def _flag(facts: Record) -> dict[str, Any]:
    return {
        "id": _text(facts, "id", "_id"),
        "name": _text(facts, "name"),
        "variationType": _text(facts, "variation_type"),
        # in the flag's own order
        "variations": _spelled([_variation(each) for each in _listed(facts, "variations")]),
        "isEnabled": _truth(facts, "is_enabled"),
        "isArchived": _truth(facts, "is_archived"),
    }


def _variation(facts: Record) -> dict[str, str]:
    found = _text(facts, "id", "_id")
    if not found:
        raise NoEventError("a variation without an id")
    return {"id": found, "name": _text(facts, "name"), "value": _value(facts.get("value"))}


def _user(facts: Record) -> dict[str, Any]:
    attributes: dict[str, str] = {}
    for each in _listed(facts, "customized_properties"):
        name = _text(each, "name")
        # FeatBit takes the first of two of one name, and no other name than the user's own
        if name not in ("", "name") and each.get("value") is not None:
            attributes.setdefault(name, _value(each["value"]))
    return {"name": _text(facts, "name"), "attributes": _spelled(attributes)}


FLAG = Kind(
    name="flag",
    table="feature_flags",
    collection="FeatureFlags",
    key="key",
    needed=("key", "variations"),
    optional=("id", "name", "variation_type", "is_enabled", "is_archived"),
    has_env=True,
    content=_flag,
)
USER = Kind(
    name="user",
    table="end_users",
    collection="EndUsers",
    key="key_id",
    needed=("key_id",),
    optional=("name", "customized_properties"),
    # FeatBit's global users belong to a workspace
    has_env=False,
    content=_user,
)


@lru_cache(1_000)
def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _text(facts: Record, *names: str) -> str:
    """A text or an id, '' where there is none."""
    for name in names:
        value = facts.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            return storable(value)
        if isinstance(value, bytes):
            return value.decode("utf-8", "backslashreplace")
        if isinstance(value, uuid.UUID):
            return str(value)
        if isinstance(value, Mapping):
            return extended_id(dict(value), name)
        raise NoEventError(f"{name} is no text")
    return ""


def _value(value: object) -> str:
    """A value that FeatBit keeps as text, and a file may hold as what it says."""
    if value is None:
        return ""
    return storable(value) if isinstance(value, str) else _spelled(unwrapped(value))


def _listed(facts: Record, name: str) -> list[Record]:
    """A list of objects, or the JSON text of one."""
    value = facts.get(name)
    if isinstance(value, str | bytes):
        raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        value = loads(raw) if raw.strip() else None
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise NoEventError(f"{name} is no list of objects")
    return value


_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _truth(facts: Record, name: str) -> bool | None:
    value = facts.get(name)
    if value is None or value == "":
        return None
    found = _TRUTHS.get(str(value).lower())
    if found is None:
        raise NoEventError(f"{name} is neither true nor false")
    return found


def _changed(value: object) -> int | None:
    """A moment of any spelling; for information only, so an odd one is none."""
    try:
        moment = _moment(value)
        unit = timestamps.Unit.US
        if isinstance(moment, int | Decimal):
            unit = timestamps.magnitude(moment)
        return timestamps.micros(moment, unit)
    except ValueError:
        return None


def _moment(value: object) -> Timestamp:
    if isinstance(value, Mapping):
        return extended_date(dict(value))
    if isinstance(value, str):
        return timestamps.from_text(value) if value else None
    if isinstance(value, int | Moment) and not isinstance(value, bool):
        return value
    return None


def _spelled(value: object) -> str:
    text = _encode(value)
    # as the macro json_string has them
    return storable(text).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
