"""The documentation is true: its commands run, its links lead somewhere, its messages are said."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support import pages
from support.command import START
from support.dbt_project import ROOT, copy_project, run_dbt
from support.segment_server import running

START_PAGE = ROOT / "docs/start.md"
KEY = "key-of-the-documentation"
COMMANDS = "sh"
LANGUAGES = {COMMANDS, "sql", "yaml", "json", "csv", "text", "python", "ini"}
NOT_RUN = 12
"""Blocks that cannot run here. One more must be meant: change the number with it."""


def runs(page: Path) -> list[pages.Block]:
    return [
        block
        for block in pages.blocks(page)
        if block.language == COMMANDS and not block.not_run and not block.run_by
    ]


PAGES = [page for page in pages.pages() if page != START_PAGE and runs(page)]


def run(block: pages.Block, folder: Path, env: dict[str, str]) -> None:
    """The block as its reader would: line by line in the project's folder, up to a failure."""
    done = subprocess.run(
        ["sh", "-eu"],
        input=block.text,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == block.ends_with, f"{block.place}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """A reader's, with a server that speaks like Segment; no other can be reached."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("DBT_", "FLAGMART_", "PYTHON"))
    }
    nowhere = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
    )
    with running(KEY) as server:
        yield {
            **kept,
            **nowhere,
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(ROOT / "scripts"),
            "FLAGMART_NOW": START.isoformat(),
            "FLAGMART_LONGEST_WAIT": "0.05",
            # dbt's own tests have run elsewhere
            "DBT_EXCLUDE_RESOURCE_TYPES": "test unit_test",
            "SEGMENT_HOST": server.url,
            "SEGMENT_WRITE_KEY": KEY,
        }


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A copy of the project after all that docs/start.md says, every delivery switched on."""
    folder = tmp_path_factory.mktemp("docs") / "flagmart"
    folder.mkdir()
    copy_project(folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    project = folder / "dbt_project.yml"
    text = project.read_text(encoding="utf-8")
    chosen = "flagmart_further_deliveries: "
    assert f"  {chosen}[]" in text
    project.write_text(text.replace(f"{chosen}[]", f"{chosen}all"), encoding="utf-8")
    for block in runs(START_PAGE):
        run(block, folder, environment)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_run(
    page: Path, started: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "flagmart"
    shutil.copytree(started, folder, symlinks=True)
    for name, text in pages.files(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for block in runs(page):
        run(block, folder, environment)


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_is_so(page: Path) -> None:
    for block in pages.blocks(page):
        assert block.language in LANGUAGES, block.place
        if block.run_by:
            assert (ROOT / block.run_by).is_file(), block.place
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language == "json":
            json.loads(block.text)
    # code that is indented instead of fenced would be looked at by nobody
    indented = [line for line in re.findall(r"\n\n( {4}.*)", pages.prose(page)) if line.strip()]
    assert not indented
    for to, heading in pages.links(page):
        assert to.exists(), f"{page}: {to}"
        assert to.is_relative_to(ROOT)
        if heading:
            assert heading in pages.headings(to), f"{page.name}: {to.name}#{heading}"


def test_every_page_is_found_from_the_first() -> None:
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page.suffix == ".md" and page not in seen:
            seen.add(page)
            ahead += [to for to, _ in pages.links(page)]
    assert set(pages.pages()) <= seen


def test_what_is_not_run_is_counted() -> None:
    every = [b for page in pages.pages() for b in pages.blocks(page) if b.language == COMMANDS]
    assert len([block for block in every if block.not_run]) == NOT_RUN
    assert len([block for block in every if not block.not_run]) > 2 * NOT_RUN


def test_messages_of_the_troubleshooting_are_said() -> None:
    """Each message there, between the places that differ, is in the code somewhere."""
    code = "".join(
        re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
        for folder in ("scripts", "macros", "tests/generic")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".sql")
    )
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert len(messages) > 20
    for message in messages:
        if "(dbt)" in message:
            continue
        for part in message.removeprefix("`").removesuffix("`").split("…"):
            assert part.strip() in code, message


def test_a_second_version_leaves_the_first_relation_its_name(tmp_path: Path) -> None:
    """The example of docs/contracts.md, in place of the model that it speaks of."""
    segment = copy_project(tmp_path) / "models/exports/segment"
    (example,) = (b for b in pages.blocks(ROOT / "docs/contracts.md") if b.language == "yaml")
    (segment / "segment_tracks.yml").write_text(example.text, encoding="utf-8")
    (segment / "segment_tracks_v2.sql").write_text(
        "select event_id, payload as sent_payload from {{ ref('int_segment__tracks') }}\n",
        encoding="utf-8",
    )
    keys = ("--output", "json", "--output-keys", "unique_id", "alias", "depends_on")
    ran = run_dbt(
        *("--quiet", "ls", "--select", "segment_tracks+", *keys),
        data=tmp_path / "data",
        project=tmp_path,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    listed = {node["unique_id"]: node for node in map(json.loads, ran.stdout.splitlines())}
    assert {key: node["alias"] for key, node in listed.items() if key.startswith("model.")} == {
        "model.flagmart.segment_tracks.v1": "segment_tracks",
        "model.flagmart.segment_tracks.v2": "segment_tracks_v2",
    }
    # the delivery goes on with the latest
    exposure = listed["exposure.flagmart.segment_tracks"]
    assert exposure["depends_on"]["nodes"] == ["model.flagmart.segment_tracks.v2"]
