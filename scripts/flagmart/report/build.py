"""`flagmart report`: everything read at one build, and written as one site."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from flagmart import talk
from flagmart.delivery.deliveries import UNFINISHED, read_relations
from flagmart.errors import FlagmartError, UsageError
from flagmart.warehouse import open_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flagmart.report.flags import Flags
    from flagmart.settings import DataFolder

_ASSETS = Path(__file__).parent / "assets"
_TEMPLATES = Path(__file__).parent / "templates"
_NEEDS = {"altair": "altair>=6", "vl_convert": "vl-convert-python>=1.9", "jinja2": "jinja2>=3.1"}


@dataclass(frozen=True)
class Written:
    """A site that was written."""

    site: str
    as_of: dict[str, str]
    """By zone; '' where there is no data."""
    flags: int
    files: int
    bytes: int
    """All files together, the chart library's aside."""
    library_bytes: int
    remarks: list[str] = field(default_factory=list)


def report(
    out: Path, zones: Sequence[str], project_dir: Path, data: DataFolder, wait_seconds: float
) -> Written:
    """Write the site to `out`, in place of the one that was there.

    Raises:
        UsageError: a zone that is none, or `out` holds other things.
        FlagmartError: the project was never built, the engine is held or away, dbt ran meanwhile,
            or a library is not installed.
    """
    from flagmart.report import site

    _require_libraries()
    _check(zones)
    site.refuse_another(out)
    found, remarks = _read(project_dir, data, wait_seconds, zones)
    with site.replaced(out) as folder:
        library_bytes = _write(folder, found, data)
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Written(
        site=str(out),
        as_of=found.as_of,
        flags=len(found.flags),
        files=len(sizes),
        bytes=sum(sizes) - library_bytes,
        library_bytes=library_bytes,
        remarks=remarks,
    )


def _require_libraries() -> None:
    missing = [package for name, package in _NEEDS.items() if find_spec(name) is None]
    if missing:
        raise FlagmartError(
            "the page needs libraries that are not installed; install them with "
            f".venv/bin/pip install {' '.join(repr(package) for package in missing)}"
        )


def _check(zones: Sequence[str]) -> None:
    for zone in zones:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, LookupError):
            raise UsageError(
                f"--timezone={zone!r} is no name of the IANA tz database like America/Chicago"
            ) from None


def _read(
    project_dir: Path, data: DataFolder, wait_seconds: float, zones: Sequence[str]
) -> tuple[Flags, list[str]]:
    from flagmart.report import flags

    relations = read_relations(project_dir)
    with open_reader(data, wait_seconds, talk.say) as reader:
        build = reader.build()
        found = flags.read(reader, relations, zones)
        if reader.build() != build:
            raise FlagmartError("dbt ran while this was reading; run it again when it is done")
    return found, [] if build.finished else [UNFINISHED]


def _write(folder: Path, found: Flags, data: DataFolder) -> int:
    """Write all files; the size of the chart library comes back."""
    import shutil

    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from flagmart.report import documents, library, specs
    from flagmart.report.site import MARK

    pages = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assets = folder / "assets"
    assets.mkdir()
    for path in sorted(_ASSETS.iterdir()):
        shutil.copyfile(path, assets / path.name)
    vega = assets / "vega.js"
    vega.write_text(library.script(data), encoding="utf-8")
    site = documents.text(documents.of_site(found, specs.specs()))
    (assets / "site.js").write_text(f"window.flagmart={site};\n", encoding="utf-8")

    def write(name: str, template: str, **values: object) -> None:
        page = pages.get_template(template).render(page=name, **values)
        (folder / name).write_text(page, encoding="utf-8")

    write("index.html", "flags.html.j2", document=documents.text(documents.of_list(found)))
    for flag in found.flags:
        write(
            documents.page_of(flag),
            "flag.html.j2",
            flag=flag,
            document=documents.text(documents.of_flag(found, flag)),
        )
    (folder / MARK).write_text(documents.text({"as_of": found.as_of}) + "\n", encoding="utf-8")
    return vega.stat().st_size
