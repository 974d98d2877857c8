"""Events that every delivery takes, as Kafka's envelopes."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from support.landed import ENV

if TYPE_CHECKING:
    from datetime import datetime


def evaluation(moment: datetime, user: str = "u-1", env: str = ENV) -> str:
    """A line with an evaluation at this moment, with an id of its own."""
    properties = {
        "route": "/Variation/GetMultiOptionVariation",
        "flagId": f"{env}-checkout",
        "envId": env,
        "featureFlagKey": "checkout",
        "sendToExperiment": True,
        "userKeyId": user,
        "userName": f"name of {user}",
        "variationId": "v1",
    }
    return _line(moment, env, "FlagValue", f"{env}-checkout", properties)


def metric(moment: datetime, user: str = "u-1", env: str = ENV, event: str = "CustomEvent") -> str:
    """A line with a metric event likewise."""
    properties = {
        "route": "index/metric",
        "type": event,
        "eventName": "purchase",
        "numericValue": 1.5,
        "user": {"keyId": user, "name": f"name of {user}"},
        "applicationType": "Javascript",
        "envId": env,
    }
    return _line(moment, env, event, "purchase", properties)


def _line(
    moment: datetime, env: str, event: str, distinct_id: str, properties: dict[str, Any]
) -> str:
    return json.dumps(
        {
            "uuid": str(uuid.uuid4()),
            "distinct_id": distinct_id,
            "env_id": env,
            "event": event,
            "properties": json.dumps(properties),
            "timestamp": round(moment.timestamp() * 1_000_000),
        }
    )
