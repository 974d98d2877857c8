"""Puts the dbt project into the wheel, out of the folders at the top: the sources have no copy."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROJECT = (
    "dbt_project.yml",
    "profiles.yml",
    "macros",
    "models",
    "seeds",
    "tests/generic",
    "tests/singular",
)


class DbtProject(BuildHookInterface):
    """The files of the project below `flagmart/dbt`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them, but not to an editable install, which finds the project where it lies."""
        if version == "standard":
            build_data["force_include"] |= {name: f"flagmart/dbt/{name}" for name in PROJECT}
