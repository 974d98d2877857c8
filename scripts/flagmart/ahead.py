"""Work done ahead, in a thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator

_Item = TypeVar("_Item")
_END = object()


def ahead(items: Generator[_Item, None, None]) -> Generator[_Item, None, None]:
    """The same items: while one is used, the next is made in a thread.

    Whoever stops in the middle waits for the one being made; then `items` is closed.
    """
    with closing(items), ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield cast("_Item", item)
