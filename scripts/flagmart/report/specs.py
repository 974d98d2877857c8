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


_IN_SIGHT: Any = alt.Scale(domain=alt.ExprRef("sight"), nice=True)
"""The first days' intervals are so wide that the others would be flat lines beside them."""
_UNITS = {"share": "+.1%", "number": "+~g"}
"""How an effect is written: relative or in percentage points, or in the metric's own unit."""


def specs() -> dict[str, dict[str, Any]]:
    """Every chart by its name."""
    return {
        "stacked": _over_time(_bars("evaluations", "~s"), _cut("total")),
        "share": _over_time(_bars("share", ".0%", alt.Scale(domain=[0, 1])), _cut("total_share")),
        "users": _over_time(_band(), _lines("users")),
        "spark": _spark(),
        **{f"forest-{unit}": _forest(form) for unit, form in _UNITS.items()},
        **{f"curve-{unit}": _curve(form) for unit, form in _UNITS.items()},
    }


def _data(name: str) -> alt.Chart:
    chart: alt.Chart = alt.Chart(alt.NamedData(name=name))
    return chart


def _interval(**more: Any) -> Any:
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


def _over_time(*layers: Any) -> dict[str, Any]:
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
                axis=_amounts(form, least_step=0 if scale else 1),
            ),
            color=_COLOUR,
            order=alt.Order("rank:Q"),
        )
    )
    return chart


def _amounts(form: str, least_step: int = 0) -> alt.Axis:
    # the prefix or sign of the other ticks, which Vega gives zero as well, says nothing there
    zero = "datum.value === 0 ? '0' : datum.label"
    return alt.Axis(title=None, format=form, tickMinStep=least_step, tickCount=5, labelExpr=zero)


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


def _lines(column: str) -> Any:
    base = _data("points").encode(
        x=_interval(bandPosition=0.5),
        y=alt.Y(f"{column}:Q", axis=_amounts("~s", least_step=1)),
        color=_COLOUR,
        detail=alt.Detail("rank:O"),
    )
    dash = alt.StrokeDash("dash:N", scale=None, legend=None)
    chart: Any = alt.layer(
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


def _forest(form: str) -> dict[str, Any]:
    """Variations below each other, an effect with its two intervals each."""
    name = alt.Y("name:N", sort=None, axis=alt.Axis(title=None, labelLimit=150, grid=False))
    effects = _data("effects")

    def interval(low: str, high: str, width: float, opacity: float) -> Any:
        x = alt.X(f"{low}:Q", axis=_amounts(form))
        return effects.mark_rule(strokeWidth=width, opacity=opacity, strokeCap="round").encode(
            x=x, x2=alt.X2(f"{high}:Q"), y=name, color=_COLOUR
        )

    zero = _data("one").mark_rule(strokeDash=[3, 3], opacity=0.6).encode(x=alt.datum(0))
    point = effects.mark_point(filled=True, size=70, opacity=1, tooltip=alt.TooltipContent("data"))
    chart = alt.layer(
        zero.encode(color=_COLOUR),
        interval("wideLow", "wideHigh", 2, 0.8),
        interval("low", "high", 8, 0.4),
        point.encode(x=alt.X("value:Q"), y=name, color=_COLOUR),
    )
    # as high as there are rows, which only the page knows
    return _plain(chart.properties(width="container", height=_HEIGHT))


def _curve(form: str) -> dict[str, Any]:
    """Effects so far by the end of each day, with the interval that allows for looking."""
    x = _interval(bandPosition=0.5)
    axis = _amounts(form)
    zero = _data("one").mark_rule(strokeDash=[3, 3], opacity=0.6).encode(y=alt.datum(0))
    band = (
        _data("effects")
        .mark_area(opacity=0.18, clip=True)
        .encode(
            x=x,
            y=alt.Y("wideLow:Q", axis=axis, scale=_IN_SIGHT),
            y2=alt.Y2("wideHigh:Q"),
            color=_COLOUR,
        )
    )
    line = (
        _data("effects")
        .mark_line(strokeWidth=2, clip=True)
        .encode(x=x, y=alt.Y("value:Q", axis=axis, scale=_IN_SIGHT), color=_COLOUR)
    )
    document = _over_time(zero.encode(color=_COLOUR), band, line)
    document["params"].append({"name": "sight", "value": [-1, 1]})
    return document


def _plain(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The specification as a document, without Altair's own theme: the page brings one."""
    document: dict[str, Any] = chart.to_dict()
    for left_out in ("config", "usermeta"):
        document.pop(left_out, None)
    return document
