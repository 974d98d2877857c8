"""A real Chromium for the tests of the report's pages: Debian's or another that is there."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The program; FLAGMART_CHROMIUM names one that is not on the path."""
    named = os.environ.get("FLAGMART_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "no Chromium here; run `make setup`, or set FLAGMART_CHROMIUM to one"
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # its sandbox wants a user of its own, which a container has not
        opened = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield opened
        finally:
            opened.close()
