"""What the package imports is what `pyproject.toml` says it needs, and not what the tests bring."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from support.dbt_project import ROOT


def test_every_import_is_of_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(one for extra in extras for one in extra)]
    declared = {re.split(r"[<>=!~;\[ ]", one)[0].lower() for one in wanted}
    of = packages_distributions()
    undeclared = []
    for path in sorted((ROOT / "scripts/flagmart").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top in sys.stdlib_module_names or top == "flagmart":
                    continue
                brought = {one.lower() for one in of.get(top, [])}
                if not brought & declared:
                    undeclared.append((path.relative_to(ROOT).as_posix(), name))
    assert undeclared == []
