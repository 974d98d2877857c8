"""The charts of the page as Vega-Lite specifications, without their data.

Rows come to a chart in the browser as named data, with a colour in each row: palettes belong to the
page's style sheet, one for light and one for dark. `labels` is what an axis says of an interval.
"""

from __future__ import annotations

from typing import Any

import altair as alt

_HEIGHT = 320
_HATCH_OVER = "url(#hatch-over)"
_HATCH_BEHIND = "url(#hatch-behind)"
"""Patterns of the page for what is cut short: over bars, and behind lines."""
_COLOUR: Any = alt.Color("color:N", scale=None, legend=None)


def specs() -> dict[str, dict[str, Any]]:
    """Every chart by its name."""
    return {
        "stacked": _over_time(_bars("evaluations", "~s"), _cut("total")),
        "share": _over_time(_bars("share", ".0%", alt.Scale(domain=[0, 1])), _cut("total_share")),
        "users": _over_time(_band(), _lines("users")),
        "spark": _spark(),
    }


def _data(name: str) -> alt.Chart:
    chart: alt.Chart = alt.Chart(alt.NamedData(name=name))
    return chart


def _interval(**more: float) -> Any:  # noqa: ANN401 - Altair's own classes are loosely typed
    """The axis of intervals, in the order in which they come."""
    return alt.X(
        "start:O",
        sort=None,
        scale=alt.Scale(type="band", paddingInner=0.12, paddingOuter=0.06),
        axis=alt.Axis(
            title=None,
            grid=False,
            ticks=False,
            labelAngle=0,
            labelOverlap="greedy",
            labelSeparation=12,
            labelFlush=True,
            labelExpr="labels[datum.value] || ''",
        ),
        **more,
    )


def _over_time(*layers: alt.LayerChart | alt.Chart) -> dict[str, Any]:
    """Layers on one axis of intervals, with a strip on top that the pointer finds anywhere."""
    hover = alt.selection_point(
        name="hover", on="pointerover", clear="pointerout", fields=["start"], empty=False
    )
    strips = (
        _data("intervals")
        .mark_rect(tooltip=alt.TooltipContent("data"), fill="gray", cursor="crosshair")
        .encode(x=_interval(), opacity=alt.condition(hover, alt.value(0.13), alt.value(0)))
        .add_params(hover)
    )
    labels = alt.param(name="labels", value={})
    chart = alt.layer(*layers, strips).add_params(labels)
    return _plain(chart.properties(width="container", height=_HEIGHT))


def _bars(column: str, form: str, scale: alt.Scale | None = None) -> alt.Chart:
    chart: alt.Chart = (
        _data("points")
        .mark_bar()
        .encode(
            x=_interval(),
            y=alt.Y(
                f"{column}:Q",
                stack="zero",
                scale=scale or alt.Scale(nice=True),
                axis=alt.Axis(title=None, format=form, tickMinStep=0 if scale else 1, tickCount=5),
            ),
            color=_COLOUR,
            order=alt.Order("rank:Q"),
        )
    )
    return chart


def _cut(column: str) -> alt.Chart:
    """Hatching over the bar that the newest data cut short."""
    chart: alt.Chart = (
        _data("partial").mark_bar(fill=_HATCH_OVER).encode(x=_interval(), y=alt.Y(f"{column}:Q"))
    )
    return chart


def _band() -> alt.Chart:
    """Hatching behind the interval that the newest data cut short."""
    cut = alt.Opacity("cut:Q", scale=None, legend=None)
    chart: alt.Chart = (
        _data("partial").mark_rect(fill=_HATCH_BEHIND).encode(x=_interval(), opacity=cut)
    )
    return chart


def _lines(column: str) -> alt.LayerChart:
    base = _data("points").encode(
        x=_interval(bandPosition=0.5),
        y=alt.Y(f"{column}:Q", axis=alt.Axis(title=None, format="~s", tickMinStep=1, tickCount=5)),
        color=_COLOUR,
        detail=alt.Detail("rank:O"),
    )
    dash = alt.StrokeDash("dash:N", scale=None, legend=None)
    chart: alt.LayerChart = alt.layer(
        base.mark_line(strokeWidth=2, interpolate="linear").encode(strokeDash=dash),
        base.mark_point(filled=True, size=22, opacity=1),
    )
    return chart


def _spark() -> dict[str, Any]:
    chart = (
        _data("points")
        .mark_bar()
        .encode(
            x=alt.X(
                "index:O",
                axis=None,
                sort=None,
                scale=alt.Scale(type="band", paddingInner=0.15, paddingOuter=0),
            ),
            y=alt.Y("evaluations:Q", axis=None),
            color=_COLOUR,
        )
        .properties(width=128, height=28)
    )
    return _plain(chart)


def _plain(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The specification as a document, without Altair's own theme: the page brings one."""
    document: dict[str, Any] = chart.to_dict()
    for left_out in ("config", "usermeta"):
        document.pop(left_out, None)
    return document
