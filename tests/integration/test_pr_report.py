"""`make pr-report` names what a branch does: deliveries, rows, columns, and faults on its lines."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from flagmart.errors import FlagmartError, UsageError
from pr_report.git import changed_lines, commit
from pr_report.project import Side
from pr_report.rows import compare
from support.dbt_project import ROOT, copy_project

# staging, Segment's tracks and identifies, and what they are made from
_KEPT = ("staging", "exports/segment", "exports/int_exports", "docs.md")


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before, path
    path.write_text(after, encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A part of this project on `main`, and a branch `change` from it, checked out."""
    root = tmp_path / "repository"
    root.mkdir()
    copy_project(root)
    models = root / "models"
    for path in [p for p in models.rglob("*") if p.is_file()]:
        if not path.relative_to(models).as_posix().startswith(_KEPT):
            path.unlink()
    shutil.rmtree(root / "tests/singular")
    shutil.copytree(
        ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in (".sqlfluff", ".sqlfluffignore", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    # the account needs every delivery's exclusions
    edit(
        models / "exports/segment/segment_tracks.yml",
        lambda text: re.sub(
            r"      - accounts_for_every_event:.*?(?=      - never)", "", text, flags=re.S
        ),
    )
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "a | state to begin with")
    git(root, "checkout", "--quiet", "-b", "change")
    return root


def report(root: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pr_report", "--events", "200"],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(root / "scripts"),
            "GITHUB_STEP_SUMMARY": str(root.parent / "summary.md"),
            # of the person at the terminal; nothing of theirs is touched
            "DBT_TARGET": "nope",
            "FLAGMART_DATA": str(root / "nope"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_branch_is_told_by_what_it_does(repository: Path) -> None:
    segment = repository / "models/exports/segment"
    # rows that come out otherwise
    edit(
        segment / "int_segment__tracks.sql",
        lambda text: text.replace("Feature Flag Evaluation Event", "Flag Evaluation"),
    )
    git(repository, "commit", "--quiet", "--all", "--message", "another name")
    # not committed yet: a fault of style, one column more
    edit(
        segment / "segment_tracks.sql",
        lambda text: text.replace("    payload,", "    payload,\n    user_key AS who,"),
    )
    edit(
        segment / "segment_tracks.yml",
        lambda text: text + "      - {name: who, description: As user_key., data_type: String}\n",
    )
    (repository / "models/new_one.sql").write_text("select 1  as a\n", encoding="utf-8")
    said = report(repository)

    short = git(repository, "rev-parse", "--short", "main").strip()
    assert f"Compared with `{short} a \\| state to begin with`; rows of 200 events" in said
    (delivery,) = re.findall(r"^\| `segment_tracks` \| segment.*", said, re.MULTILINE)
    gone, come = re.findall(r"(\d+) gone, (\d+) come, and other columns", delivery)[0]
    assert gone == come
    assert 100 < int(gone) < 200  # evaluations, and no metric events
    shaped, sent = re.findall(r"^\| `(?:int_segment__|segment_)tracks` \| \d.*", said, re.MULTILINE)
    assert shaped.endswith(f"| {gone} | {come} |  |")
    assert sent.endswith(f"| {gone} | {come} | with `who` |")
    assert "| `new_one` | – | new |" in said
    # what the change does not reach is not there
    assert "identifies" not in said
    assert "base_featbit__events" not in said
    found = re.findall(r"^\| `(models/[^`]*)` \| `([^`]*)`", said, re.MULTILINE)
    assert ("models/exports/segment/segment_tracks.sql:9", "capitalisation.keywords") in found
    assert ("models/new_one.sql:1", "layout.spacing") in found
    assert {where for where, _ in found} == {
        "models/exports/segment/segment_tracks.sql:9",
        "models/new_one.sql:1",
    }
    assert (repository.parent / "summary.md").read_text(encoding="utf-8") == said.removesuffix("\n")
    assert not git(repository, "worktree", "list").splitlines()[1:]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: {}\n", encoding="utf-8")
    with pytest.raises(FlagmartError, match=r"^dbt parse failed in the state of head; mend that"):
        Side("head", tmp_path, tmp_path / "data").parse()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    with pytest.raises(UsageError, match=r"^HEAD and nope have no commit in common here; name one"):
        commit(tmp_path, "nope")


def test_lines_that_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "diff.noprefix", "true")
    kept = tmp_path / "a – b.sql"
    kept.write_text("one\ntwo\nthree\nfour\n", encoding="utf-8")
    (tmp_path / "gone.sql").write_text("one\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("target/\n", encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    git(tmp_path, "branch", "first")
    kept.write_text("zero\none\nTWO\nfour\nfive\n", encoding="utf-8")
    (tmp_path / "gone.sql").unlink()
    git(tmp_path, "commit", "--quiet", "--all", "--message", "second")
    (tmp_path / "new.sql").write_text("one\ntwo\n", encoding="utf-8")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/ignored.sql").write_text("one\n", encoding="utf-8")

    base = commit(tmp_path, "first")
    changed = {path: lines for path, lines in changed_lines(tmp_path, base).items() if lines}
    assert changed == {"a – b.sql": {1, 3, 5}, "new.sql": {1, 2}}


def side(folder: Path, name: str, statement: str) -> Side:
    made = Side(name, folder, folder / name)
    made.data.mkdir()
    with duckdb.connect(str(made.duckdb)) as opened:
        opened.execute(f"create table t as {statement}")
        opened.execute("create view v as from flagmart.main.t")
    nodes = {
        f"model.flagmart.{alias}": {"resource_type": "model", "schema": "main", "alias": alias}
        for alias in ("t", "v")
    }
    made.__dict__["manifest"] = {"nodes": nodes}
    return made


def test_rows_are_compared_as_bags(tmp_path: Path) -> None:
    base = side(tmp_path, "base", "select unnest([1, 1, 2, null]) as a, 'x' as b, 1 as c, 1 as d")
    head = side(tmp_path, "head", "select unnest([1, 2, 2, null]) as a, 'x' as b, '1' as c, 2 as e")
    found = compare(base, head, ["model.flagmart.t", "model.flagmart.v"], tmp_path / "rows.duckdb")
    # a row that is there twice and then once counts, one that is null throughout is the same
    assert found["model.flagmart.t"] == found["model.flagmart.v"]
    one = found["model.flagmart.v"]
    assert (one.rows_at_base, one.rows_at_head, one.gone, one.come) == (4, 4, 1, 1)
    # another type is another column
    assert (one.columns_gone, one.columns_come) == (("c", "d"), ("c", "e"))
