from __future__ import annotations

from typing import TYPE_CHECKING

from flagmart import durable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_new_folder_is_named_in_a_parent_that_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "_sync", synced.append)
    durable.make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    durable.make_folder(tmp_path / "a" / "b" / "c")
    assert len(synced) == 3
