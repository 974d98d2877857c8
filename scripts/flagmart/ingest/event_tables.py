"""The tables FeatBit keeps events in: `events`, and from v6 on exposures and metric events apart.

A reader finds the columns by name and hands their texts over, '' for null and for a column that is
not there; whatever format and store they came from, the same texts give the same event.

v6 has columns where `events` has one text, and some of its drafts have both. Such a row's
`properties` are written anew, compact and in ASCII as FeatBit writes them, under today's names:

- exposures: flagId, envId, featureFlagKey, sendToExperiment, userKeyId, userName, variationId,
  variationValue
- metric events: type, eventName, numericValue, user (keyId, name), applicationType, envId

and then whatever else the row's own `properties` have, by name. A filled column wins over them; an
empty one tells nothing, so that a store without the column, one with null and one with '' agree. A
number's spelling depends on its value alone.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from operator import itemgetter
from typing import Any, NoReturn

from flagmart.ingest.event import NESTED, NoEventError
from flagmart.ingest.sources import RefusedError

IDS = ("uuid", "id", "_id")
"""What a store calls the event's id."""
ARRIVALS = ("_timestamp", "created_at")
"""What a store calls its own arrival time."""

NO_OBJECT = "properties that are no JSON object"
NO_NUMBER = "numeric_value that is no number"

Facts = tuple[str, str, str, str]
"""env_id, event, distinct_id and properties of a landing row."""


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of one table, and what its rows become."""

    name: str
    needed: tuple[str, ...]
    """Columns no event of it can do without, beside `moment`."""
    optional: tuple[str, ...]
    moment: str
    """The column with the client's clock."""
    facts: Callable[[Mapping[str, str]], Facts]
    """A row's facts from its texts; raises NoEventError."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns read as text."""
        return self.needed + self.optional


def table_of(names: Collection[str], what: str) -> Table:
    """The table that has the columns `names`.

    Raises:
        RefusedError: it lacks a column no event can do without; names the ones missing.
    """
    lacking = {
        table: [name for name in (*table.needed, table.moment) if name not in names]
        for table in TABLES
    }
    table = min(TABLES, key=lambda candidate: len(lacking[candidate]))
    if lacking[table]:
        raise RefusedError(
            f"{what} without {', '.join(lacking[table])}; "
            f"export the {table.name} table with all its columns"
        )
    return table


def _stored(row: Mapping[str, str]) -> Facts:
    return row["env_id"], row["event"], row.get("distinct_id", ""), row["properties"]


def _exposure(row: Mapping[str, str]) -> Facts:
    own = _own(row)
    env_id, flag_key = row["env_id"], row["flag_key"]
    distinct_id = flag_id(env_id, flag_key)
    counts = own.get("sendToExperiment")
    fields = {
        "flagId": own.get("flagId") or distinct_id,
        "envId": env_id,
        "featureFlagKey": flag_key,
        # v6 has no such column: every exposure it keeps counts
        "sendToExperiment": True if counts is None else counts,
        "userKeyId": row["user_key"],
        "userName": row.get("user_name", ""),
        "variationId": row["variation_id"],
        "variationValue": row.get("variation_value", ""),
    }
    return env_id, "FlagValue", distinct_id, _text(fields, own)


def _metric(row: Mapping[str, str]) -> Facts:
    own = _own(row)
    named = row.get("event_type") or "CustomEvent"
    # whatever v6 calls it, what stands in this table is a metric event
    event = named if named in METRIC_EVENTS else "CustomEvent"
    user = own.get("user")
    names = {"keyId": row["user_key"], "name": row.get("user_name", "")}
    fields = {
        "type": named,
        "eventName": row["event_name"],
        "numericValue": _float64(row["numeric_value"]),
        "user": _filled(names, user if isinstance(user, dict) else {}) or "",
        "applicationType": row.get("application_type", ""),
        "envId": row["env_id"],
    }
    return row["env_id"], event, row["event_name"], _text(fields, own)


METRIC_EVENTS = frozenset(("CustomEvent", "PageView", "Click"))
"""What the models take for a metric event."""

EVENTS = Table(
    name="events",
    needed=("env_id", "event", "properties"),
    optional=("distinct_id",),
    moment="timestamp",
    facts=_stored,
)
EXPOSURES = Table(
    name="exposure events",
    needed=("env_id", "flag_key", "user_key", "variation_id"),
    optional=("user_name", "variation_value", "properties"),
    moment="exposed_at",
    facts=_exposure,
)
METRICS = Table(
    name="metric events",
    needed=("env_id", "user_key", "event_name", "numeric_value"),
    optional=("user_name", "event_type", "application_type", "properties"),
    moment="occurred_at",
    facts=_metric,
)
TABLES = (EVENTS, EXPOSURES, METRICS)
COLUMNS = frozenset(
    (*IDS, *ARRIVALS, *(name for table in TABLES for name in (*table.texts, table.moment)))
)
"""Every column an event may have."""


def flag_id(env_id: str, flag_key: str) -> str:
    """`<env_id>-<flag_key>`, FeatBit's distinct_id of an evaluation; '' where a part is missing."""
    return f"{env_id}-{flag_key}" if env_id and flag_key else ""


def _filled(fields: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` in their order, an empty one as `own` has it or left out; then the rest of `own`."""
    known = {
        name: own[name] if value == "" else value
        for name, value in fields.items()
        if value != "" or name in own
    }
    return known | {name: value for name, value in own.items() if name not in fields}


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _text(fields: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    value = _filled(fields, own)
    try:
        try:
            return _encode(value)
        except TypeError:
            return _with_decimals(value)
    except RecursionError as error:
        raise NoEventError(NESTED) from error


def _with_decimals(value: Any) -> str:
    """JSON that holds numbers no float is; the encoder has no form for them."""
    if isinstance(value, dict):
        items = [f"{_encode(key)}:{_with_decimals(item)}" for key, item in value.items()]
        return "{" + ",".join(items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_with_decimals, value)) + "]"
    return str(value) if isinstance(value, Decimal) else _encode(value)


def _own(row: Mapping[str, str]) -> dict[str, Any]:
    """The object in the row's `properties`, keys in order at every depth, since jsonb has its own.

    Raises:
        NoEventError: they hold something else.
    """
    text = row.get("properties", "")
    if not text:
        return {}
    try:
        value = _decode(text)
    except RecursionError as error:
        raise NoEventError(NESTED) from error
    except ValueError as error:
        raise NoEventError(NO_OBJECT) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NoEventError(NO_OBJECT)
    return value


def _ordered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(sorted(pairs, key=itemgetter(0)))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_WHOLE_DIGITS = 16
"""Numbers below 10^16 are written without a point or an exponent where they are whole."""
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _number(text: str) -> int | float | Decimal:
    """A number so that its text depends on its value alone: 1 for 1.0, 1e+20 for 1E20."""
    try:
        value = Decimal(text).normalize(_EXACT)
    except InvalidOperation as error:
        raise ValueError("an exponent beyond all bounds") from error
    if value.adjusted() < _WHOLE_DIGITS and value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else value


_decode = json.JSONDecoder(
    object_pairs_hook=_ordered,
    parse_float=_number,
    parse_int=_number,
    parse_constant=_refuse_constant,
).decode

_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


def _float64(text: str) -> int | float | str:
    """The number in a Float64 column; '' for none, and for those JSON has no form for."""
    if not text or _NOT_FINITE.fullmatch(text):
        return ""
    value = float(text) if _FLOAT.fullmatch(text) else math.inf
    if math.isinf(value):
        raise NoEventError(NO_NUMBER)
    return int(value) if value.is_integer() and abs(value) < 10**_WHOLE_DIGITS else value
