"""Where the dbt project lies, and where dbt leaves what it writes beside the tables."""

import os
from pathlib import Path

from flagmart import settings

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "dbt"
"""The project in an installed wheel; a checkout has it at its top."""


def found(given: Path) -> Path:
    """The project for `--project-dir`: where none is named or in this folder, flagmart's own."""
    if given != Path() or (given / "dbt_project.yml").exists():
        return given
    own = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1]
    return own if (own / "dbt_project.yml").exists() else given


def target_folder(project_dir: Path) -> Path:
    """Where dbt leaves its artifacts: `DBT_TARGET_PATH`, or `target` in the project."""
    return _written(project_dir) / (os.environ.get("DBT_TARGET_PATH") or "target")


def log_folder(project_dir: Path) -> Path:
    """Where dbt leaves its log: `DBT_LOG_PATH`, or `logs` in the project."""
    return _written(project_dir) / (os.environ.get("DBT_LOG_PATH") or "logs")


def _written(project_dir: Path) -> Path:
    """What these folders lie in: an installed package is nobody's to write to."""
    return settings.data_folder().dbt if project_dir == _INSTALLED else project_dir
