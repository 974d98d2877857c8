"""The settings of one delivery, as its exposure gives them in `meta.flagmart`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """`meta.flagmart` of one exposure; every complaint names the exposure and the key."""

    exposure: str
    values: Mapping[str, object]

    def need(self, key: str) -> str:
        """The setting `key`.

        Raises:
            FlagmartError: it is missing, empty or no text.
        """
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            said = "is missing" if value is None else f"is {value!r}, no text"
            raise FlagmartError(
                f"exposure {self.exposure}: meta.flagmart.{key} {said}; "
                "set it where the exposure is declared"
            )
        return value

    def only(self, *known: str) -> None:
        """Refuse a setting that nobody reads: most often a misspelt one.

        Raises:
            FlagmartError: names the first such key, and the known ones.
        """
        for key in self.values:
            if key not in known:
                raise FlagmartError(
                    f"exposure {self.exposure}: meta.flagmart.{key} is not a setting of this sink; "
                    f"it knows {', '.join(known)}"
                )

    def from_environment(self, key: str, default: str | None = None) -> str:
        """The value of the environment variable that the setting `key` names.

        Args:
            key: for example `key_env`, whose value is the name of a variable.
            default: taken where the setting or the variable is not set; None makes both required.

        Raises:
            FlagmartError: names the variable; never its value.
        """
        if default is not None and key not in self.values:
            return default
        variable = self.need(key)
        value = os.environ.get(variable)
        if value:
            return value
        if default is not None:
            return default
        raise FlagmartError(
            f"the environment variable {variable} is not set; exposure {self.exposure} names it in "
            f"meta.flagmart.{key}"
        )
