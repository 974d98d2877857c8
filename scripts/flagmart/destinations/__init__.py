"""One small file a destination: URL, auth, envelope, limits, or names and types of its files.

Nothing here shapes a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flagmart.destinations import layouts, segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from flagmart.destinations.endpoint import Endpoint
    from flagmart.destinations.layouts import Layout
    from flagmart.destinations.settings import Settings

FILES = "files"
"""The sink of every file delivery; its `layout` says which."""

HTTP_SINKS: dict[str, Callable[[Settings], Endpoint]] = {"segment": segment.endpoint}
LAYOUTS: dict[str, Callable[[Settings], Layout]] = {
    "statsig": layouts.statsig,
    "hackle": layouts.hackle,
}
