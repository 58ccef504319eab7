"""Draw the charts of a report with Vega-Lite: one definition for the live page, static pictures and PNG.

Every chart reads the records of `points` as the data set "lines", and two parameters that the page sets:
`on`, "test" or "valid", is the score to show; `hidden` holds the points that the filter leaves out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ntkrun.report.collect import Sheet

DATA = "lines"
CURVES = 8  # most curves with a colour each
THEMES = {
    "light": {
        "text": "#1c1c1c",
        "grid": "#e3e3e3",
        "quiet": "#6b6b6b",
        "range": ["#0072b2", "#d55e00", "#009e73", "#b4508e", "#a67c00", "#3a8fc7", "#7f3c8d", "#6b6b6b"],
    },
    "dark": {
        "text": "#e8e8e8",
        "grid": "#34383d",
        "quiet": "#9a9a9a",
        "range": ["#4fb0f0", "#ff9a57", "#3fd0a4", "#e7a3cc", "#f0c24b", "#9bd3ff", "#c49ae0", "#b8b8b8"],
    },
}
NAMES = {"mse": "mean squared error"}


def theme(name: str) -> dict[str, Any]:
    """Return the Vega-Lite configuration of a theme, "light" or "dark"."""
    colors = THEMES[name]
    axis = {"labelColor": colors["text"], "titleColor": colors["text"], "gridColor": colors["grid"]}
    axis |= {"domainColor": colors["quiet"], "tickColor": colors["quiet"], "titleFontWeight": "normal"}
    legend = {"labelColor": colors["text"], "titleColor": colors["text"], "orient": "bottom", "columns": 2}
    return {
        "background": None,
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        "legend": legend | {"title": None, "labelLimit": 300},
        "range": {"category": colors["range"]},
        "rule": {"color": colors["quiet"]},
        "text": {"color": colors["text"]},
        "style": {
            "front": {"color": colors["quiet"], "stroke": colors["quiet"]},
            "ring": {"color": colors["text"], "stroke": colors["text"]},
            "note": {"color": colors["quiet"], "fill": colors["quiet"], "fontSize": 11},
        },
    }


def charts(sheet: Sheet, records: list[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (name, caption, Vega-Lite) of every chart that these points allow, without their data."""
    makers: list[tuple[str, str, Callable[..., Any]]] = [
        (
            "dim",
            "{score} against the number of columns; bands: one standard deviation over seeds",
            against_columns,
        ),
        ("time", "{score} against time; the stairs show the best score reached within a time", against_time),
        ("learning", "learning curves: {score} against the number of training rows", learning_curves),
        ("error", "error of the kernel on held-out rows, relative Frobenius norm", kernel_error),
        ("degree", "error of the kernel against the degree of the polynomials", error_against_degree),
        ("phases", "time per phase", phases),
    ]
    drawn = [(name, caption, make(sheet, records)) for name, caption, make in makers]
    return [(name, caption, _spec(chart)) for name, caption, chart in drawn if chart is not None]


def _spec(chart: Any) -> dict[str, Any]:
    import altair as alt

    sized = chart.properties(width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    found: dict[str, Any] = sized.to_dict()
    found.pop("config", None)
    return found


def fixed(spec: dict[str, Any], records: list[dict[str, Any]], look: str) -> dict[str, Any]:
    """Return the Vega-Lite of a static picture in the theme `look`, with its data."""
    config = theme(look)
    # a browser may have wider letters than those that the picture was measured with
    config |= {
        "legend": config["legend"] | {"columns": 1},
        "padding": {"left": 40, "right": 15, "top": 5, "bottom": 5},
    }
    return spec | {"width": 600, "datasets": {DATA: records}, "config": config}


def svg(spec: dict[str, Any], records: list[dict[str, Any]], look: str = "light") -> str:
    """Return a chart as SVG text, identical for identical runs."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(fixed(spec, records, look)))


def png(spec: dict[str, Any], records: list[dict[str, Any]]) -> bytes:
    """Return a chart as PNG on white."""
    import vl_convert

    look = fixed(spec, records, "light")
    return bytes(vl_convert.vegalite_to_png(look | {"background": "white"}, scale=2))


@cache
def script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, which sets `vegaEmbed`."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _base(needs: str) -> Any:
    """Return a chart of the points that have a value in `needs`, with the chosen score as `score`."""
    import altair as alt

    on, hidden = alt.param(name="on", value="test"), alt.param(name="hidden", value={})
    chart = alt.Chart(alt.NamedData(DATA), height=300).add_params(on, hidden)
    return chart.transform_calculate(
        score="datum[on]", low="datum[on + '_low']", high="datum[on + '_high']"
    ).transform_filter(f"!hidden[datum.id] && isValid(datum.{needs})")


def _looks(records: list[dict[str, Any]], field: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the look of dots, and of lines and bands: by curve, or by method if curves are many."""
    import altair as alt

    for by in (field, "method"):
        exact = {r[by]: r["exact"] for r in records}
        names = sorted(exact, key=lambda name: (exact[name], name))  # a curve has one colour in all charts
        if len(names) <= CURVES:
            scale = alt.Scale(domain=names)  # the same for both, so that they share a legend
            color = alt.Color(by, type="nominal", scale=scale)
            shape = alt.Shape(by, type="nominal", scale=scale)
            return {"color": color, "shape": shape}, {"color": color.copy().legend(None)}
    return {}, {}


def _score(sheet: Sheet) -> Any:
    import altair as alt

    title = NAMES.get(sheet.metric, sheet.metric)
    return alt.Y("score:Q", title=title, scale=alt.Scale(zero=False, nice=True))


def _hover() -> list[Any]:
    import altair as alt

    shown = {
        "what": "configuration",
        "test_shown": "test",
        "interval": "95 % interval",
        "valid_shown": "held-out",
        "time_shown": "time",
        "runs": "runs",
    }
    return [alt.Tooltip(field, type="nominal", title=title) for field, title in shown.items()]


def _columns(
    records: list[dict[str, Any]], field: str = "columns", title: str = "columns (feature_dim)"
) -> Any:
    """Return a logarithmic axis with ticks at the values, if they are few."""
    import altair as alt

    values = sorted({r[field] for r in records if r.get(field)})
    axis = (
        alt.Axis(values=values, format="d", labelOverlap=True) if len(values) <= 12 else alt.Axis(format="d")
    )
    return alt.X(field, type="quantitative", title=title, scale=_log(), axis=axis)


def _log() -> Any:
    import altair as alt

    return alt.Scale(type="log", nice=False, padding=14)


def _curves(base: Any, x: Any, y: Any, records: list[dict[str, Any]], curve: str) -> Any:
    """Return curves with their points; the curve's name is that of a field."""
    dots, lines = _looks(records, curve)
    drawn = base.mark_line().encode(x=x, y=y, detail=f"{curve}:N", **lines) + _dots(base, x, y, dots)
    return drawn.resolve_legend(color="independent", shape="independent")


def _dots(base: Any, x: Any, y: Any, look: dict[str, Any]) -> Any:
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, tooltip=_hover(), **look)
    ring = base.transform_filter("datum.best").mark_point(size=220, filled=False, strokeWidth=2, style="ring")
    return dots + ring.encode(x=x, y=y, tooltip=_hover())


def _distinct(records: list[dict[str, Any]], field: str) -> int:
    return len({r[field] for r in records if r.get(field) is not None})


def against_columns(sheet: Sheet, records: list[dict[str, Any]]) -> Any:
    """Draw the score against the number of columns, with exact kernels as dashed lines."""
    import altair as alt

    if _distinct(records, "columns") < 2:
        return None
    mine = [r for r in records if r["columns"]]
    x, y, base = _columns(mine), _score(sheet), _base("score")
    features, exact = base.transform_filter("!datum.exact"), base.transform_filter("datum.exact")
    _, look = _looks(mine, "curve")
    band = features.mark_area(opacity=0.16).encode(x=x, y="low:Q", y2="high:Q", detail="curve:N", **look)
    drawn = band + _curves(features, x, y, mine, "curve")
    if any(r["exact"] and r["test"] is not None for r in records):
        name = exact.mark_text(align="right", dy=-6, style="note")
        drawn += exact.mark_rule(strokeDash=[5, 4]).encode(y=y, tooltip=_hover())
        drawn += name.encode(x=alt.value("width"), y=y, text=alt.Text("curve:N"))
    return drawn.resolve_legend(color="independent", shape="independent")


def against_time(sheet: Sheet, records: list[dict[str, Any]]) -> Any:
    """Draw the score against the time to featurize, solve and predict, with the Pareto front as stairs."""
    import altair as alt

    mine = [r for r in records if r["test"] is not None]
    if len(mine) < 2:
        return None
    title = "seconds: featurize + solve + predict"
    x = alt.X("time:Q", title=title, scale=_log(), axis=alt.Axis(format="~g"))
    y, base = _score(sheet), _base("score")
    best = "max(score)" if sheet.higher_is_better else "min(score)"
    order = [alt.SortField("time"), alt.SortField("score", order="descending")]
    front = base.transform_window(best_yet=best, sort=order, frame=[None, 0])
    stairs = front.mark_line(interpolate="step-after", style="front").encode(x=x, y=alt.Y("best_yet:Q"))
    return stairs + _dots(base, x, y, _looks(mine, "curve")[0])


def learning_curves(sheet: Sheet, records: list[dict[str, Any]]) -> Any:
    """Draw the score against the number of training rows."""
    if "dataset.n_train" not in sheet.keys or _distinct(records, "n_train") < 2:
        return None
    x = _columns(records, "n_train", "training rows")
    return _curves(_base("score"), x, _score(sheet), records, "learner")


def _error(x: Any, records: list[dict[str, Any]], curve: str) -> Any:
    import altair as alt

    title = "relative error of the kernel"
    y = alt.Y("error:Q", title=title, scale=_log(), axis=alt.Axis(format="~g"))
    return _curves(_base("error"), x, y, records, curve)


def kernel_error(sheet: Sheet, records: list[dict[str, Any]]) -> Any:
    """Draw the kernel's error against the number of columns."""
    mine = [r for r in records if r.get("error")]
    return None if _distinct(mine, "columns") < 2 else _error(_columns(mine), mine, "curve")


def error_against_degree(sheet: Sheet, records: list[dict[str, Any]]) -> Any:
    """Draw the kernel's error against degree, one curve per configuration that differs in nothing else."""
    import altair as alt

    mine = [r for r in records if r.get("error")]
    if _distinct(mine, "degree") < 2:
        return None
    return _error(alt.X("degree:O", axis=alt.Axis(labelAngle=0)), mine, "bender")


def phases(sheet: Sheet, records: list[dict[str, Any]]) -> Any:
    """Draw the time per phase of the points that took longest, a bar each."""
    import altair as alt

    mine = [r for r in records if r["long"] and r.get("featurize") is not None]
    if not mine:
        return None
    order = [r["what"] for r in sorted(mine, key=lambda r: r["time"])]
    base = _base("featurize").transform_filter("datum.long")
    bars = base.transform_fold(["featurize", "solve", "predict"], as_=["phase", "seconds"])
    names = alt.Y("what:N", sort=order, title=None, axis=alt.Axis(labelLimit=230))
    color = alt.Color("phase:N", sort=["featurize", "solve", "predict"])
    hover = [alt.Tooltip("what:N", title="configuration"), "phase:N", alt.Tooltip("seconds:Q", format=".3g")]
    return (
        bars.mark_bar()
        .encode(y=names, x=alt.X("seconds:Q", title="seconds"), color=color, tooltip=hover, order="index:Q")
        .properties(height=18 * len(mine))
    )
