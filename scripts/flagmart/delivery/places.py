"""Where file deliveries lie, what of them is still there, and that no two share a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flagmart import destinations
from flagmart.delivery.ledger import without_userinfo
from flagmart.delivery.store import Folder
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from datetime import date

    from flagmart.delivery.deliveries import Delivery
    from flagmart.delivery.ledger import Ledger, Partition
    from flagmart.destinations.layouts import Layout
    from flagmart.settings import DataFolder


@dataclass(frozen=True)
class Place:
    """A folder, and how a delivery's days lie in it."""

    folder: Path
    layout: Layout

    @property
    def days(self) -> str:
        """Where its days lie: the same text for the same place, however its path is written."""
        return os.path.normpath(self.folder.resolve() / self.layout.folder)

    def points_to(self, data: DataFolder) -> str:
        """What the ledger calls it.

        A folder inside the data folder is remembered relative to it, so that the whole may be
        moved.
        """
        root, folder = data.root.resolve(), self.folder.resolve()
        return (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()

    def standing(self, known: dict[date, Partition]) -> dict[date, Partition]:
        """Those of the ledger's partitions that are there.

        One of which a file is missing has no digest; one of which all are missing is left out.
        """
        store = Folder(self.folder)
        found = {}
        for day, partition in known.items():
            names = {self.layout.file_of(part) for part in range(partition.files)}
            if self.layout.success is not None:
                names.add(self.layout.success)
            there = names & set(store.names(self.layout.folder_of(day)))
            if there == names:
                found[day] = partition
            elif there:
                found[day] = replace(partition, digest=None)
        return found


def place(delivery: Delivery, data: DataFolder, to: str | None = None) -> Place:
    """Where a file delivery goes.

    Args:
        delivery: its settings name the folder, relative to the data folder or absolute.
        data: the data folder.
        to: another folder in place of it, as the command line has it.

    Raises:
        FlagmartError: a setting is missing or wrong.
    """
    layout = _layout(delivery)
    path = delivery.settings.need("path")
    if "://" in path:
        raise FlagmartError(
            f"exposure {delivery.name}: meta.flagmart.path {without_userinfo(path)} "
            "is no folder of this machine"
        )
    return Place(data.root / path if to is None else Path(to).absolute(), layout)


def at(delivery: Delivery, points_to: str, data: DataFolder) -> Place:
    """A place the ledger knows, for the delivery as it is now.

    Raises:
        FlagmartError: a setting is missing or wrong.
    """
    return Place(data.root / points_to, _layout(delivery))


def _layout(delivery: Delivery) -> Layout:
    wanted = delivery.settings.need("layout")
    if wanted not in destinations.LAYOUTS:
        raise FlagmartError(
            f"exposure {delivery.name}: meta.flagmart.layout {wanted!r} is unknown; "
            f"there are {', '.join(destinations.LAYOUTS)}"
        )
    return destinations.LAYOUTS[wanted](delivery.settings)


def refuse_shared(
    delivery: Delivery,
    here: Place,
    all_of_them: tuple[Delivery, ...],
    book: Ledger,
    data: DataFolder,
) -> None:
    """See that no other delivery of the project has its days here: each would remove the other's.

    Raises:
        FlagmartError: names both and the place.
    """
    for other in all_of_them:
        if other.name == delivery.name or other.settings.values.get("sink") != destinations.FILES:
            continue
        try:
            theirs = place(other, data)
        except FlagmartError:
            continue  # said where it is delivered itself
        if theirs.days == here.days:
            both = " and ".join(sorted([delivery.name, other.name]))
            raise FlagmartError(
                f"{both} both write to {here.days} and would remove each other's files; "
                "give one of them another meta.flagmart.path"
            )
        for target in book.targets():
            if target.delivery != other.name or "://" in target.points_to:
                continue
            before = at(other, target.points_to, data)
            if before.days == here.days and before.standing(book.partitions(target)):
                raise FlagmartError(
                    f"{here.days} holds files of {other.name}, which {delivery.name} would remove; "
                    "deliver to another folder, or remove this one first"
                )
