"""The chart library as one script: Vega, Vega-Lite and vega-embed, built into vl-convert."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flagmart import talk

if TYPE_CHECKING:
    from pathlib import Path

    from flagmart.settings import DataFolder

_SNIPPET = "window.vegaEmbed=vegaEmbed;"


def script(data: DataFolder) -> str:
    """The library's text; put together once for each version and kept, since that takes seconds."""
    from importlib.metadata import version as version_of

    import vl_convert

    version = vl_convert.get_vegalite_versions()[-1]
    path: Path = data.ensure(data.cache) / f"vega-{version_of('vl-convert-python')}-{version}.js"
    if not path.exists():
        talk.say("flagmart: putting the chart library together, once")
        bundle = vl_convert.javascript_bundle(_SNIPPET, vl_version=version)
        begun = path.with_suffix(".part")
        begun.write_text(bundle, encoding="utf-8")
        begun.replace(path)
    return path.read_text(encoding="utf-8")
