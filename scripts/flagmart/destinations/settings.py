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

    def optional(self, key: str, default: str = "") -> str:
        """The setting `key`, or `default` where it is not there.

        Raises:
            FlagmartError: it is there, and empty or no text.
        """
        return self.need(key) if key in self.values else default

    def number(self, key: str, default: int) -> int:
        """The setting `key`, a whole number above zero, or `default` where it is not there.

        Raises:
            FlagmartError: it is something else.
        """
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise FlagmartError(
                f"exposure {self.exposure}: meta.flagmart.{key} is {value!r}; "
                "it is a whole number above zero"
            )
        return value

    def flag(self, key: str, default: bool) -> bool:
        """The setting `key`, true or false, or `default` where it is not there.

        Raises:
            FlagmartError: it is something else.
        """
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise FlagmartError(
                f"exposure {self.exposure}: meta.flagmart.{key} is {value!r}; it is true or false"
            )
        return value

    def texts(self, key: str) -> dict[str, str]:
        """The setting `key`, a mapping of text to text; none where it is not there.

        Raises:
            FlagmartError: it is something else.
        """
        value = self.values.get(key, {})
        if not isinstance(value, dict) or not all(
            isinstance(text, str) and text for pair in value.items() for text in pair
        ):
            raise FlagmartError(
                f"exposure {self.exposure}: meta.flagmart.{key} is {value!r}; "
                "it is a mapping of text to text"
            )
        return value

    def choice(self, key: str, *known: str) -> str:
        """The setting `key`, one of `known`; the first of them where it is not there.

        Raises:
            FlagmartError: it is none of them.
        """
        value = self.optional(key, known[0])
        if value not in known:
            raise FlagmartError(
                f"exposure {self.exposure}: meta.flagmart.{key} {value!r} is unknown; "
                f"there are {', '.join(known)}"
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
        return (
            self.variable(variable, key) if default is None else os.environ.get(variable) or default
        )

    def secret(self, key: str) -> str:
        """As `from_environment`, fit for a header: without blanks or line ends around it.

        Raises:
            FlagmartError: it is not set, blank, or holds a control character.
        """
        return self.header(self.need(key), key)

    def header(self, variable: str, key: str) -> str:
        """As `secret`, of the environment variable `variable`, which stands under `key`."""
        value = self.variable(variable, key).strip()
        if not value or not value.isprintable():
            raise FlagmartError(
                f"the environment variable {variable} is no key and no header's value: it is "
                "blank, or holds a line end or another control character"
            )
        return value

    def variable(self, variable: str, key: str) -> str:
        """The value of the environment variable `variable`, which stands under the setting `key`.

        Raises:
            FlagmartError: it is not set; names the variable.
        """
        value = os.environ.get(variable)
        if value:
            return value
        raise FlagmartError(
            f"the environment variable {variable} is not set; exposure {self.exposure} names it in "
            f"meta.flagmart.{key}"
        )
