"""What pre-commit refuses: a fault in Python, broken yaml, a large file, a secret."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from support.dbt_project import ROOT

CONFIG = ".pre-commit-config.yaml"
# what they do is `make lint`'s, and takes as long
LONG = "mypy,sqlfluff,dbt-parse"


def test_a_commit_is_judged(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    for name in (CONFIG, ".secrets.baseline", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for command in (["init", "--quiet"], ["add", "--", CONFIG, ".secrets.baseline"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)

    def commit() -> set[str]:
        """Names of the hooks that refuse what is there."""
        subprocess.run(["git", "add", "--", "src"], cwd=tmp_path, check=True)
        ran = subprocess.run(
            [sys.executable, "-m", "pre_commit", "run", "--all-files", "--color", "never"],
            cwd=tmp_path,
            env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home"), "SKIP": LONG},
            capture_output=True,
            text=True,
            check=False,
        )
        failed = set(re.findall(r"^(.+?)\.+Failed$", ran.stdout, re.MULTILINE))
        assert bool(failed) == bool(ran.returncode), ran.stdout + ran.stderr
        return failed

    source = tmp_path / "src"
    source.mkdir()
    (source / "a.py").write_text('"""Good."""\n', encoding="utf-8")
    (source / "b.yml").write_text("a: 1\n", encoding="utf-8")
    assert commit() == set()
    key = "AKIA" + "Z" * 16
    (source / "a.py").write_text(f'"""Bad."""\nimport os\nKEY="{key}"\n', encoding="utf-8")
    (source / "b.yml").write_text("a: [1\n", encoding="utf-8")
    (source / "c.bin").write_bytes(b"0" * 1_100_000)
    assert commit() == {
        "ruff check",
        "ruff format",
        "yaml can be read",
        "no file over 1 MB",
        "no secrets",
    }


def test_every_hook_runs_a_tool_of_the_locks() -> None:
    config = yaml.safe_load((ROOT / CONFIG).read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        (tool,) = re.findall(r"\.venv/bin/[\w-]+", hook["entry"])
        assert (ROOT / tool).exists(), tool
