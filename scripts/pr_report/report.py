"""The report: what is compared, and how it is said in Markdown."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pr_report import git
from pr_report.findings import Finding, find
from pr_report.project import Side
from pr_report.rows import Difference, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# what may change rows without dbt's state telling: vars, the engine's settings, what lands
_BEYOND_DBT = ("dbt_project.yml", "profiles.yml", "scripts/flagmart/")


@dataclass(frozen=True)
class Report:
    """What a change does, by unique id where it is about nodes."""

    base: str
    """The commit, for people."""
    sample: str
    """The sample data, for people."""
    models: dict[str, Difference]
    """Models that both states have and that may differ."""
    models_come: list[str]
    models_gone: list[str]
    deliveries: dict[str, dict[str, Any]]
    """Exposures that are touched, or whose rows differ."""
    deliveries_gone: dict[str, dict[str, Any]]
    findings: list[Finding] = field(default_factory=list)


def report(root: Path, base: str | None, events: int, seed: int) -> Report:
    """Build both states and compare them.

    Args:
        root: of the repository; its working tree is the change.
        base: see git.commit.
        events: of the sample data.
        seed: of the sample data.

    Raises:
        FlagmartError: a state does not build; says which and why.
        UsageError: there is no such base.
    """
    commit_id = git.commit(root, base)
    work = root / "target" / "pr-report"
    shutil.rmtree(work, ignore_errors=True)
    with git.checked_out(root, commit_id, work / "code") as code:
        before, after = Side("base", code, work / "base"), Side("head", root, work / "head")
        before.parse()
        touched = after.touched(before)
        if any(path.startswith(_BEYOND_DBT) for path in git.changed_paths(root, commit_id)):
            touched |= after.relations.keys()
        models = sorted(touched & after.relations.keys())
        shared = [model for model in models if model in before.relations]
        sample = work / "events.jsonl.gz"
        if models:
            after.flagmart(
                "generate",
                *("--events", str(events), "--seed", str(seed), "--dirty", "0.05"),
                *("--out", str(sample)),
            )
            with ThreadPoolExecutor() as pool:
                done = (
                    pool.submit(before.build, sample, _names(shared)),
                    pool.submit(after.build, sample, _names(models)),
                )
            for one in done:
                one.result()
        differences = compare(before, after, shared, work / "rows.duckdb") if shared else {}
        return Report(
            base=git.short(root, commit_id),
            sample=f"{events:,} events of the generator, seed {seed}",
            models=differences,
            models_come=[m for m in models if m not in before.relations],
            models_gone=sorted(before.relations.keys() - after.relations.keys()),
            deliveries={
                key: exposure
                for key, exposure in after.deliveries.items()
                if key in touched or any(_differs(differences.get(m)) for m in _relations(exposure))
            },
            deliveries_gone={
                key: exposure
                for key, exposure in before.deliveries.items()
                if key not in after.deliveries
            },
            findings=find(after, git.changed_lines(root, commit_id)),
        )


def markdown(found: Report) -> str:
    """The report for people, as GitHub shows it."""
    parts = [
        "## What this change does",
        f"Compared with {_code(found.base)}; rows of {found.sample}.",
        "### Deliveries",
        _deliveries(found),
        "### Models",
        _models(found),
        "### sqlfluff on the lines that changed",
        _findings(found.findings),
    ]
    return "\n\n".join(parts) + "\n"


def _deliveries(found: Report) -> str:
    rows = [
        (*_goes(exposure), _rows_of(exposure, found.models))
        for exposure in found.deliveries.values()
    ]
    rows += [
        (*_goes(exposure), "is no delivery any more") for exposure in found.deliveries_gone.values()
    ]
    return _table(("delivery", "destination", "rows that go out otherwise"), rows) or (
        "None is touched."
    )


def _goes(exposure: Mapping[str, Any]) -> tuple[str, str]:
    settings = exposure["config"]["meta"]["flagmart"]
    return _code(exposure["name"]), f"{settings.get('destination')} ({settings.get('sink')})"


def _relations(exposure: Mapping[str, Any]) -> list[str]:
    return [key for key in exposure["depends_on"]["nodes"] if key.startswith("model.")]


def _rows_of(exposure: Mapping[str, Any], models: Mapping[str, Difference]) -> str:
    known = [models[key] for key in _relations(exposure) if key in models]
    if not known:
        return "a new relation"
    gone, come = sum(d.gone for d in known), sum(d.come for d in known)
    columns = any(d.columns_gone or d.columns_come for d in known)
    if not (gone or come or columns):
        return "none"
    return f"{gone:,} gone, {come:,} come" + (", and other columns" if columns else "")


def _models(found: Report) -> str:
    rows = [
        (
            _code(_name(key)),
            f"{one.rows_at_base:,}",
            f"{one.rows_at_head:,}",
            f"{one.gone:,}",
            f"{one.come:,}",
            _columns(one),
        )
        for key, one in found.models.items()
        if _differs(one)
    ]
    rows += [(_code(_name(key)), "–", "new", "–", "–", "") for key in found.models_come]
    rows += [(_code(_name(key)), "is gone", "–", "–", "–", "") for key in found.models_gone]
    same = [_code(_name(key)) for key, one in found.models.items() if not _differs(one)]
    header = ("model", "rows before", "rows after", "rows gone", "rows come", "columns")
    said = [part for part in (_table(header, rows),) if part]
    if same:
        said.append(f"Looked at, and the same row for row: {', '.join(same)}.")
    return "\n\n".join(said) or "None is touched."


def _columns(one: Difference) -> str:
    return ", ".join(
        [f"without {_code(name)}" for name in one.columns_gone]
        + [f"with {_code(name)}" for name in one.columns_come]
    )


def _differs(one: Difference | None) -> bool:
    return one is not None and bool(one.gone or one.come or one.columns_gone or one.columns_come)


def _findings(findings: list[Finding]) -> str:
    rows = [(_code(f"{f.path}:{f.line}"), _code(f.rule), _text(f.text)) for f in findings]
    return _table(("where", "rule", "what"), rows) or "Nothing."


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *lines])


def _name(unique_id: str) -> str:
    """`model.flagmart.orders.v2` is called orders.v2 by people, and by dbt's selection."""
    return unique_id.split(".", 2)[2]


def _names(unique_ids: list[str]) -> list[str]:
    return [_name(key) for key in unique_ids]


def _code(text: str) -> str:
    return f"`{_text(text).replace('`', chr(39))}`"


def _text(text: str) -> str:
    """On one line of a table: names and subjects are other people's text."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
