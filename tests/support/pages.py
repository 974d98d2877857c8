"""The documentation's pages as tests read them: blocks of code, links, headings.

A block of commands is fenced as `sh`, and runs. What stands on the line before the fence may say
otherwise, as a comment that no reader sees:

    <!-- not run: why it cannot be -->
    <!-- run by: tests/integration/test_package.py -->
    <!-- ends with: 3 -->
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from support.dbt_project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = re.compile(
    r"(?:^<!-- (?P<said>not run|run by|ends with): (?P<value>[^\n]+) -->\n)?"
    r"^(?P<fence>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_NAMED = re.compile(r"`(?P<name>[^`\n]+)`\n\n$")
_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    """Of the fence, from 1."""
    language: str
    text: str
    file: str | None
    """The file whose content it is, where the paragraph before is nothing but its name."""
    not_run: str | None
    run_by: str | None
    ends_with: int

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    """Every page that a user reads, README and CONTRIBUTING included."""
    return (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The page's blocks, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        named = _NAMED.search(text, 0, block.start())
        said = {block["said"]: block["value"]}
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, block.start("fence")) + 1,
                language=block["language"],
                text=block["text"],
                file=named["name"] if named else None,
                not_run=said.get("not run"),
                run_by=said.get("run by"),
                ends_with=int(said.get("ends with", "0")),
            )
        )
    return tuple(found)


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def files(page: Path) -> dict[str, str]:
    """The files that the page shows, by name."""
    return {block.file: block.text for block in blocks(page) if block.file}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Where the page's links within the repository go: a file, and a heading of it or ''."""
    for found in _LINK.finditer(prose(page)):
        to, _, heading = found["to"].partition("#")
        if not re.match(r"[a-z]+:", to):
            yield (page.parent / to).resolve() if to else page, heading


def headings(page: Path) -> set[str]:
    """The page's headings as GitHub names them in addresses."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in found)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}
