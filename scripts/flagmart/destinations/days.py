"""Where the days of a delivery end, as the setting `timezone` of its exposure says."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from flagmart.destinations.settings import Settings

_FIXED = re.compile(r"UTC(?:([+-])(\d{1,2})(?::(\d{2}))?)?", re.ASCII)


def zone(settings: Settings, default: str) -> tzinfo:
    """The zone of a delivery's days, in the spellings the macro `fixed_offset_ms` knows.

    Args:
        settings: of the delivery.
        default: where they say nothing.

    Raises:
        FlagmartError: no such zone, or one that this machine has no data of.
    """
    name = settings.optional("timezone", default)
    if found := _FIXED.fullmatch(name):
        ahead = timedelta(hours=int(found[2] or 0), minutes=int(found[3] or 0))
        if ahead < timedelta(days=1):
            return timezone(-ahead if found[1] == "-" else ahead)
    else:
        from zoneinfo import ZoneInfo

        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass
    raise FlagmartError(
        f"exposure {settings.exposure}: meta.flagmart.timezone {name!r} is no offset like UTC-8 "
        "and no zone this machine knows; mend it, or install the package tzdata beside flagmart"
    )


def day_in(where: tzinfo, moment: datetime) -> date:
    """The date that clocks there show; a moment without a zone is UTC."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return known.astimezone(where).date()
