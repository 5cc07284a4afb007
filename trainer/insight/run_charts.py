"""Charts of training and of what was learned, from the sections of report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.insight.chart_style import GRID, INK, MUTED, SERIES, Chart, drawing, shortened

_MOST_BARS = 15
_MOST_NAMED_POINTS = 24

Found = Mapping[str, Any]


def curve_charts(curves: Found, monitor: str) -> list[Chart]:
    """Losses, the monitored metric, and the learning rates by step; the kept step is marked."""
    made = []
    if any(value is not None for value in curves.get("loss", [])):
        made.append(_curve(curves, "loss", ["loss"], "training loss"))
    if f"val_{monitor}" in curves:
        made.append(_curve(curves, "monitored", [f"val_{monitor}"], f"validation {monitor}"))
    rates = [name for name in ("wide_learning_rate", "deep_learning_rate") if name in curves]
    if rates:
        made.append(_curve(curves, "rates", rates, "learning rate", is_log=True))
    return made


def _curve(
    curves: Found, name: str, columns: Sequence[str], title: str, is_log: bool = False
) -> Chart:
    caption = f"{title[0].upper()}{title[1:]} by step; the dashed line is the step that was kept"
    with drawing(f"curve-{name}", caption) as canvas:
        axes, steps = canvas.axes, curves["step"]
        for column, color in zip(columns, SERIES, strict=False):
            values = np.array([np.nan if v is None else v for v in curves[column]], np.float64)
            label = column.removeprefix("val_").replace("_learning_rate", "")
            axes.plot(steps, values, color=color, label=label, marker="o", markersize=2)
            if is_log and np.nanmin(values) > 0:
                canvas.set_log()
        axes.axvline(curves["kept_step"], color=MUTED, linewidth=1, linestyle="--")
        axes.set_xlabel("step")
        axes.set_ylabel(title)
        if len(columns) > 1:
            axes.legend(loc="best")
        return canvas.chart()


def seconds_chart(seconds: Mapping[str, float]) -> Chart:
    """Where the time went, by phase."""
    phases = {name: value for name, value in seconds.items() if name != "total"}
    return _bars(
        "seconds", "Seconds by phase of the run", list(phases), list(phases.values()), "seconds"
    )


def importance_chart(importance: Sequence[Found]) -> Chart:
    """What the metric loses where a column is shuffled."""
    shown = importance[:_MOST_BARS]
    metric = shown[0].get("metric", "the metric")
    return _bars(
        "importance",
        f"Permutation importance: change of {metric} where a column is shuffled, and its sd",
        [str(one["column"]) for one in shown],
        [one["mean"] for one in shown],
        f"change of {metric}",
        sd=[one.get("sd") or 0.0 for one in shown],
    )


def wide_weights_chart(weights: Found) -> Chart:
    """The strongest weights of the wide part, positive and negative."""
    shown = [*weights["positive"][:8], *weights["negative"][:8]]
    shown.sort(key=lambda one: -one["weight"])
    return _bars(
        "wide-weights",
        "Strongest weights of the wide part by feature and value",
        [f"{one['feature']} = {one['value']}" for one in shown],
        [one["weight"] for one in shown],
        "weight",
    )


def _bars(
    name: str,
    caption: str,
    labels: Sequence[str],
    values: Sequence[float],
    unit: str,
    sd: Sequence[float] | None = None,
) -> Chart:
    with drawing(name, caption, height=0.9 + 0.22 * max(len(labels), 4)) as canvas:
        shown = canvas.make_room(list(labels))
        axes, places = canvas.axes, np.arange(len(labels))
        axes.barh(places, values, color=SERIES[0], height=0.65)
        if sd is not None:
            axes.errorbar(values, places, xerr=sd, fmt="none", ecolor=INK, elinewidth=1)
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(places, shown)
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        return canvas.chart()


def dependence_charts(dependence: Mapping[str, Found]) -> list[Chart]:
    """The mean prediction where a column has each value in all rows."""
    return [
        _dependence(place, column, found)
        for place, (column, found) in enumerate(dependence.items())
    ]


def _dependence(place: int, column: str, found: Found) -> Chart:
    caption = f"Mean prediction where {shortened(column)} has this value in all rows"
    values, mean = found["values"], np.array(found["prediction"], np.float64)
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    with drawing(f"dependence-{place}", caption) as canvas:
        axes = canvas.axes
        places = np.array(values, np.float64) if is_number else np.arange(len(values))
        if "low" in found and "high" in found:
            low, high = (np.array(found[end], np.float64) for end in ("low", "high"))
            if is_number:
                axes.fill_between(places, low, high, color=GRID)
            else:
                lengths = np.clip([mean - low, high - mean], 0, None)
                axes.errorbar(places, mean, yerr=lengths, fmt="none", ecolor=MUTED, elinewidth=1)
        axes.plot(places, mean, "-o" if is_number else "o", color=SERIES[0], markersize=3)
        if not is_number:
            axes.set_xticks(places, [shortened(v, 13) for v in values], rotation=60, ha="right")
            canvas.make_room_below()
        axes.set_xlabel(shortened(column))
        axes.set_ylabel("prediction")
        return canvas.chart()


def embedding_charts(maps: Mapping[str, Found]) -> list[Chart]:
    """The values of each embedded feature in two dimensions, the most frequent ones named."""
    return [_embedding(place, name, found) for place, (name, found) in enumerate(maps.items())]


def _embedding(place: int, name: str, found: Found) -> Chart:
    caption = f"Embedding of {shortened(name)} in two dimensions; larger dots have more rows"
    with drawing(f"embedding-{place}", caption, height=3.6) as canvas:
        axes = canvas.axes
        x, y = np.asarray(found["x"]), np.asarray(found["y"])
        rows = np.asarray(found.get("rows") or np.ones(len(x)), np.float64)
        sizes = 8 + 60 * np.sqrt(rows / max(rows.max(initial=0), 1))
        axes.scatter(x, y, s=sizes, color=SERIES[0], alpha=0.55, linewidths=0)
        for i in np.argsort(-rows, kind="stable")[:_MOST_NAMED_POINTS]:
            axes.annotate(
                shortened(found["names"][i], 16),
                (x[i], y[i]),
                xytext=(3, 2),
                textcoords="offset points",
                fontsize=7,
            )
        axes.set_xlabel("first component")
        axes.set_ylabel("second component")
        return canvas.chart()


def health_charts(health: Found) -> list[Chart]:
    """Dead units, weight norms and gradient norms of each layer by step."""
    titles = {
        "dead": "share of dead units",
        "gradient_norm": "gradient norm",
        "weight_norm": "weight norm",
    }
    layers = health.get("layers", [])
    steps = health.get("steps", [])
    return [
        _layers(key, title, [one for one in layers if any(one.get(key) or [])], steps)
        for key, title in titles.items()
        if any(any(one.get(key) or []) for one in layers)
    ]


def _layers(key: str, title: str, layers: Sequence[Found], steps: Sequence[int]) -> Chart:
    caption = f"{title[0].upper()}{title[1:]} of each layer by step"
    with drawing(f"health-{key.replace('_', '-')}", caption) as canvas:
        axes = canvas.axes
        for i, layer in enumerate(layers):
            values = np.array([np.nan if v is None else v for v in layer[key]], np.float64)
            axes.plot(
                steps[-len(values) :] if len(steps) >= len(values) else range(len(values)),
                values,
                color=SERIES[i % len(SERIES)],
                linestyle=["-", "--", ":", "-."][i // len(SERIES) % 4],
                label=shortened(layer["name"], 16),
            )
        if key != "dead":
            canvas.set_log()
        axes.set_xlabel("step")
        axes.set_ylabel(title)
        axes.legend(loc="best", ncols=2)
        return canvas.chart()
