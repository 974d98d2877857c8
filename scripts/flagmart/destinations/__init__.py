"""One small file a destination: URL, auth, envelope, limits, or names and types of its files.

Nothing here shapes a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flagmart.destinations import (
    amplitude,
    event_hubs,
    layouts,
    mixpanel,
    posthog,
    segment,
    statsig,
    webhook,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from flagmart.destinations.endpoint import Endpoint
    from flagmart.destinations.layouts import Layout
    from flagmart.destinations.settings import Settings
    from flagmart.destinations.statsig import Call

FILES = "files"
"""The sink of every file delivery; its `layout` says which."""

HTTP_SINKS: dict[str, Callable[[Settings], Endpoint]] = {
    "amplitude": amplitude.endpoint,
    "event_hubs": event_hubs.endpoint,
    "mixpanel": mixpanel.endpoint,
    "posthog": posthog.endpoint,
    "segment": segment.endpoint,
    "statsig_log_event": statsig.log_event,
    "statsig_log_custom_exposure": statsig.log_custom_exposure,
    "webhook": webhook.endpoint,
}
CALL_SINKS: dict[str, Callable[[Settings], Call]] = {
    "mark_data_ready": statsig.mark_data_ready,
    "mark_data_ready_dwh": statsig.mark_data_ready_dwh,
}
"""A call for each finished day, in place of a file."""
SIGNALS = "statsig_signals"
"""The layout of finished days as files."""
LAYOUTS: dict[str, Callable[[Settings], Layout]] = {
    "statsig": layouts.statsig,
    "hackle": layouts.hackle,
    SIGNALS: layouts.statsig_signals,
    "plain": layouts.plain,
}
