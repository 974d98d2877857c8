"""Where file deliveries lie, what of them is still there, and that no two share a folder."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flagmart import destinations
from flagmart.delivery import buckets
from flagmart.delivery.buckets import Bucket, ObjectStore
from flagmart.delivery.ledger import without_userinfo
from flagmart.delivery.store import Folder
from flagmart.errors import FlagmartError, UsageError

if TYPE_CHECKING:
    from datetime import date

    from flagmart.delivery.deliveries import Delivery
    from flagmart.delivery.ledger import Ledger, Partition
    from flagmart.delivery.store import Store
    from flagmart.destinations.layouts import Layout
    from flagmart.settings import DataFolder


@dataclass(frozen=True)
class Place:
    """A folder or a bucket, and how a delivery's days lie in it."""

    location: Path | Bucket
    layout: Layout

    @property
    def days(self) -> str:
        """Where its days lie: the same text for the same place, however its path is written."""
        if isinstance(self.location, Path):
            return os.path.normpath(self.location.resolve() / self.layout.folder)
        below = posixpath.normpath(posixpath.join(self.location.prefix, self.layout.folder))
        return str(replace(self.location, prefix=below))

    def store(self) -> Store:
        """What lies there, open."""
        if isinstance(self.location, Path):
            return Folder(self.location)
        return ObjectStore(self.location)

    def points_to(self, data: DataFolder) -> str:
        """What the ledger calls it.

        A folder inside the data folder is remembered relative to it, so that the whole may be
        moved.
        """
        if not isinstance(self.location, Path):
            return str(self.location)
        root, folder = data.root.resolve(), self.location.resolve()
        return (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()

    @property
    def where(self) -> str:
        """For people."""
        return str(self.location)

    def standing(
        self, known: dict[date, Partition], store: Store | None = None
    ) -> dict[date, Partition]:
        """Those of the ledger's partitions that are there.

        One of which a file is missing has no digest; one of which all are missing is left out.
        """
        folders = {day: self.layout.folder_of(day) for day in known}
        if not known:
            return {}
        names_in = (store or self.store()).names_in(folders.values())
        found = {}
        for day, partition in known.items():
            names = {self.layout.file_of(part) for part in range(partition.files)}
            if self.layout.success is not None:
                names.add(self.layout.success)
            there = names & set(names_in[folders[day]])
            if there == names:
                found[day] = partition
            elif there:
                found[day] = replace(partition, digest=None)
        return found


def place(delivery: Delivery, data: DataFolder, to: str | None = None) -> Place:
    """Where a file delivery goes.

    Args:
        delivery: its settings name a folder, relative to the data folder or absolute, or an
            address in an object store.
        data: the data folder.
        to: another folder or address in place of it, as the command line has it.

    Raises:
        FlagmartError: a setting is missing or wrong.
    """
    layout = _layout(delivery)
    path = delivery.settings.need("path")
    if to is not None:
        if "://" not in to:
            return Place(Path(to).absolute(), layout)
        return Place(buckets.parse(to, f"--to {_shown(to)}"), layout)
    if "://" not in path:
        return Place(data.root / path, layout)
    bucket = buckets.parse(
        path,
        f"exposure {delivery.name}: meta.flagmart.path {_shown(path)}",
        endpoint=delivery.settings.optional("endpoint"),
        region=delivery.settings.optional("region"),
    )
    return Place(bucket, layout)


def refuse_no_bucket(to: str) -> None:
    """See that an address from the command line is one of an object store.

    Raises:
        UsageError: it is not.
    """
    try:
        buckets.parse(to, f"--to {_shown(to)}")
    except FlagmartError as error:
        raise UsageError(str(error)) from None


def _shown(address: str) -> str:
    return without_userinfo(address.partition("?")[0])


def at(delivery: Delivery, points_to: str, data: DataFolder) -> Place:
    """A place the ledger knows, for the delivery as it is now.

    Raises:
        FlagmartError: a setting is missing or wrong.
    """
    layout = _layout(delivery)
    if not buckets.is_bucket(points_to):
        return Place(data.root / points_to, layout)
    region = delivery.settings.optional("region")
    return Place(buckets.parse(points_to, points_to, endpoint=None, region=region), layout)


def is_files(points_to: str) -> bool:
    """Whether what the ledger calls a place is one of files, and no URL of messages."""
    return "://" not in points_to or buckets.is_bucket(points_to)


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
            if target.delivery != other.name or not is_files(target.points_to):
                continue
            before = at(other, target.points_to, data)
            if before.days == here.days and before.standing(book.partitions(target)):
                raise FlagmartError(
                    f"{here.days} holds files of {other.name}, which {delivery.name} would remove; "
                    "deliver to another folder, or remove this one first"
                )
