"""What each destination's documentation says of a request body, as JSON schemas; by delivery."""

from __future__ import annotations

from typing import Any

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"
_TEXT = {"type": "string"}
_FILLED = {"type": "string", "minLength": 1}
_MS = {"type": "integer", "minimum": 0}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these members and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


def _batch(most: int, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": most, "items": items}


_STATSIG_USER = _object(
    {"userID": _FILLED},
    custom={"type": "object"},
    customIDs={"type": "object", "additionalProperties": _TEXT},
)

SCHEMAS: dict[str, dict[str, Any]] = {
    # learn.microsoft.com, send-batch-events: `Body` is a text, properties stand in the element
    "event_hub_events": _batch(
        100_000,
        _object(
            {"Body": _FILLED},
            UserProperties={"type": "object", "additionalProperties": _TEXT},
        ),
    ),
    # docs.statsig.com, http-api: log_event
    "statsig_log_events": _object(
        {
            "events": _batch(
                1_000,
                _object(
                    {
                        "eventName": _FILLED,
                        "value": {"type": ["string", "number", "null"]},
                        "time": _MS,
                        "user": _STATSIG_USER,
                        "metadata": {"type": "object", "additionalProperties": _TEXT},
                    }
                ),
            )
        }
    ),
    # docs.mixpanel.com/reference/import-events
    "mixpanel_events": _batch(
        2_000,
        _object(
            {
                "event": _FILLED,
                "properties": {
                    "type": "object",
                    "required": ["time", "distinct_id", "$insert_id"],
                    "maxProperties": 255,
                    "properties": {
                        "time": {"type": "integer", "minimum": 31_536_000_000},
                        "distinct_id": {
                            "type": "string",
                            "not": {"enum": ["anon", "anonymous", "nil", "none", "null", "n/a"]},
                        },
                        "$insert_id": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,36}$"},
                    },
                    "additionalProperties": {
                        "type": ["string", "number", "boolean", "null"],
                        "maxLength": 255,
                    },
                },
            }
        ),
    ),
    # amplitude.com/docs, analytics/batch-event-upload
    "amplitude_events": _object(
        {
            "api_key": _FILLED,
            "events": _batch(
                2_000,
                _object(
                    {
                        "user_id": {"type": "string", "minLength": 5, "maxLength": 1_024},
                        "event_type": {"type": "string", "minLength": 1, "maxLength": 1_024},
                        "time": _MS,
                        "insert_id": _FILLED,
                        "event_properties": {"type": "object"},
                    }
                ),
            ),
        }
    ),
    # posthog.com/docs/api/capture
    "posthog_events": _object(
        {
            "api_key": _FILLED,
            "historical_migration": {"const": True},
            "batch": _batch(
                100_000,
                _object(
                    {
                        "event": _FILLED,
                        "distinct_id": {"type": "string", "minLength": 1, "maxLength": 200},
                        "timestamp": {"type": "string", "pattern": _MOMENT},
                        "uuid": {"type": "string", "pattern": _UUID},
                        "properties": {"type": "object"},
                    }
                ),
            ),
        }
    ),
    # cloudevents/spec 1.0, JSON batch format: attributes are lower case, texts never empty
    "cloudevents": _batch(
        100_000,
        _object(
            {
                "specversion": {"const": "1.0"},
                "id": _FILLED,
                "source": {"type": "string", "pattern": r"^[A-Za-z0-9._~/:-]+$"},
                "type": _FILLED,
            },
            subject=_FILLED,
            time={"type": "string", "pattern": _MOMENT},
            datacontenttype={"const": "application/json"},
            data={"type": "object"},
        ),
    ),
    # segment-docs, http-api and spec/identify
    "segment_identifies": _object(
        {
            "batch": _batch(
                2_500,
                _object(
                    {
                        "type": {"const": "identify"},
                        "messageId": {"type": "string", "minLength": 1, "maxLength": 100},
                        "userId": _FILLED,
                        "timestamp": {"type": "string", "pattern": _MOMENT},
                        "traits": {
                            "type": "object",
                            "properties": {"name": _FILLED},
                            "additionalProperties": {"type": "string"},
                        },
                    },
                    context=_object({"active": {"const": False}}),
                ),
            )
        }
    ),
    # docs.statsig.com, http-api: log_custom_exposure
    "statsig_exposures": _object(
        {
            "exposures": _batch(
                1_000,
                _object(
                    {
                        "user": _object({"userID": _FILLED}),
                        "experimentName": _FILLED,
                        "group": _TEXT,
                        "time": _MS,
                    }
                ),
            )
        }
    ),
}
