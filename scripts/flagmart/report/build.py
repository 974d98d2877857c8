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

    from flagmart.delivery.status import Status
    from flagmart.report.experiments import Experiments
    from flagmart.report.flags import Flags
    from flagmart.report.health import Health
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


@dataclass(frozen=True)
class Found:
    """All that the site says."""

    flags: Flags
    health: Health
    experiments: Experiments
    deliveries: Status | None
    remarks: list[str]


def report(
    out: Path,
    zones: Sequence[str],
    project_dir: Path,
    data: DataFolder,
    wait_seconds: float,
    *,
    with_lineage: bool = False,
) -> Written:
    """Write the site to `out`, in place of the one that was there.

    Args:
        out: its folder.
        zones: the first is shown first.
        project_dir: as built.
        data: the data folder.
        wait_seconds: how long to wait while another process holds DuckDB's file.
        with_lineage: whether dbt shall write its own page of models beside it.

    Raises:
        UsageError: a zone that is none, or `out` holds other things.
        FlagmartError: the project was never built, the engine is held or away, dbt ran meanwhile
            or could not write the lineage, or a library is not installed.
    """
    from flagmart.report import lineage, site

    _require_libraries()
    _check(zones)
    site.refuse_another(out)
    found = _read(project_dir, data, wait_seconds, zones)
    with site.replaced(out) as folder:
        if with_lineage:
            lineage.write(folder, project_dir)
        library_bytes = _write(folder, found, data, with_lineage=with_lineage)
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Written(
        site=str(out),
        as_of=found.flags.as_of,
        flags=len(found.flags.flags),
        files=len(sizes),
        bytes=sum(sizes) - library_bytes,
        library_bytes=library_bytes,
        remarks=found.remarks,
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


def _read(project_dir: Path, data: DataFolder, wait_seconds: float, zones: Sequence[str]) -> Found:
    from flagmart.delivery import status
    from flagmart.report import experiments, flags, health

    relations = read_relations(project_dir)
    with open_reader(data, wait_seconds, talk.say) as reader:
        build = reader.build()
        drawn = flags.read(reader, relations, zones)
        judged = health.read(reader, relations, data)
    tried = experiments.read(project_dir, data, wait_seconds, drawn)
    remarks = [] if build.finished else [UNFINISHED]
    try:
        delivered = status.status([], project_dir, data, wait_seconds)
    except FlagmartError as error:
        delivered = None
        remarks.append(str(error))
    with open_reader(data, wait_seconds, talk.say) as reader:
        if reader.build() != build:
            raise FlagmartError("dbt ran while this was reading; run it again when it is done")
    return Found(drawn, judged, tried, delivered, remarks)


def _write(folder: Path, found: Found, data: DataFolder, *, with_lineage: bool) -> int:
    """Write all files; the size of the chart library comes back."""
    import shutil

    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from flagmart.report import documents, library, lineage, specs
    from flagmart.report.health import LATENESS, OUTCOMES
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
    flags = found.flags
    site = documents.text(documents.of_site(flags, specs.specs()))
    menu = [
        ("index.html", "Flags"),
        ("experiments.html", "Experiments"),
        ("health.html", "Data health"),
        ("deliveries.html", "Deliveries"),
        *([(lineage.PAGE, "Lineage")] if with_lineage else []),
    ]
    (assets / "site.js").write_text(f"window.flagmart={site};\n", encoding="utf-8")

    def write(name: str, template: str, document: object = None, **values: object) -> None:
        json = Markup(documents.text(document))  # noqa: S704 - nothing in it is markup any more
        page = pages.get_template(template).render(page=name, menu=menu, document=json, **values)
        (folder / name).write_text(page, encoding="utf-8")

    write("index.html", "flags.html.j2", documents.of_list(flags))
    for flag in flags.flags:
        write(documents.page_of(flag), "flag.html.j2", documents.of_flag(flags, flag), flag=flag)
    write(
        "experiments.html",
        "experiments.html.j2",
        {"experiments": [shown.chart for shown in found.experiments.shown]},
        experiments=found.experiments,
        page_of=documents.page_of,
        flags=flags.flags,
    )
    write(
        "health.html",
        "health.html.j2",
        {"health": found.health.chart},
        health=found.health,
        outcomes=OUTCOMES,
        lateness=LATENESS,
    )
    write(
        "deliveries.html",
        "deliveries.html.j2",
        {},
        status=found.deliveries,
        accounts=[
            {
                "name": account.name,
                "text": account.text,
                "result": "holds" if account.holds else "DOES NOT HOLD",
            }
            for account in (found.deliveries.accounts if found.deliveries else [])
        ],
    )
    (folder / MARK).write_text(documents.text({"as_of": flags.as_of}) + "\n", encoding="utf-8")
    return vega.stat().st_size
