"""Charts of training and of what was learned, from the sections of report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.insight.chart_style import (
    GRID,
    INK,
    MUTED,
    SERIES,
    Canvas,
    Chart,
    bars_height,
    drawing,
    num_cells,
    pair_label,
    shortened,
)

_MOST_BARS = 15
_MOST_LINES = 12

Found = Mapping[str, Any]


def curve_charts(
    curves: Found,
    monitor: str,
    references: Mapping[str, float | None] | None = None,
    towers: Sequence[str] = ("wide", "deep"),
) -> list[Chart]:
    """Losses, the monitored metric, and the learning rates by step; the kept step is marked.

    Args:
        towers: parts that the model has.
        references: the monitored metric of other models on the validation rows.
    """
    made = []
    if any(value is not None for value in curves.get("loss", [])):
        made.append(_curve(curves, "loss", ["loss"], "training loss", _LOSS))
    if f"val_{monitor}" in curves:
        title = f"validation {monitor}"
        made.append(
            _curve(curves, "monitored", [f"val_{monitor}"], title, _MONITORED, references or {})
        )
    rates = [f"{part}_learning_rate" for part in ("wide", "deep") if part in towers]
    rates = [name for name in rates if name in curves]
    if rates:
        made.append(_curve(curves, "rates", rates, "learning rate", "By part, as scheduled."))
    return made


_LOSS = (
    "What the steps minimise, on a scale of its own. It should fall and level off; where it still "
    "falls, more epochs may help."
)
_MONITORED = (
    "The vertical line is the step that was kept. A curve that turns while the training loss goes "
    "on falling is overfitting."
)


def _curve(
    curves: Found,
    name: str,
    columns: Sequence[str],
    title: str,
    reading: str,
    references: Mapping[str, float | None] | None = None,
) -> Chart:
    caption = f"{title[0].upper()}{title[1:]} by step"
    with drawing(f"curve-{name}", caption, reading=reading) as canvas:
        axes, steps = canvas.axes, curves["step"]
        for column, color in zip(columns, SERIES, strict=False):
            values = np.array([np.nan if v is None else v for v in curves[column]], np.float64)
            label = column.removeprefix("val_").replace("_learning_rate", "")
            axes.plot(steps, values, color=color, label=label, marker="o", markersize=2)
        if name == "rates" and axes.dataLim.y0 > 0:
            canvas.set_log()
        axes.axvline(curves["kept_step"], color=MUTED, linewidth=1, linestyle="--")
        _mark_near(canvas, references or {})
        axes.set_xlabel("step")
        axes.set_ylabel(title)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            canvas.legend()
        return canvas.chart()


def _mark_near(canvas: Canvas, references: Mapping[str, float | None]) -> None:
    """A line for each reference that does not squeeze the curve into a corner."""
    low, high = canvas.axes.get_ylim()
    for (name, value), style in zip(references.items(), (":", "-."), strict=False):
        if value is not None and low - (high - low) <= value <= high + (high - low):
            label = name.replace("_", " ")
            canvas.axes.axhline(value, color=SERIES[1], linewidth=1, linestyle=style, label=label)


def seconds_chart(seconds: Mapping[str, float]) -> Chart:
    """Where the time went, by phase."""
    phases = {name: value for name, value in seconds.items() if name != "total"}
    return _bars(
        "seconds",
        "Seconds by phase of the run",
        [name.replace("_", " ") for name in phases],
        list(phases.values()),
        "seconds",
    )


def importance_chart(importance: Sequence[Found]) -> Chart:
    """What the metric loses where a column is shuffled."""
    shown = importance[:_MOST_BARS]
    metric = shown[0].get("metric", "the metric")
    return _bars(
        "importance",
        f"Permutation importance: change of {metric} where a column is shuffled",
        [str(one["column"]) for one in shown],
        [one["mean"] for one in shown],
        f"change of {metric}",
        sd=[one.get("sd") or 0.0 for one in shown],
        reading="What the model would lose without the column, and the sd over shuffles; columns "
        "that say the same share it.",
    )


def wide_weights_chart(weights: Found) -> Chart:
    """The strongest weights of the wide part, positive and negative."""
    shown = [*weights["positive"][:8], *weights["negative"][:8]]
    shown.sort(key=lambda one: -one["weight"])
    return _bars(
        "wide-weights",
        "Strongest weights of the wide part by feature and value",
        [_weight_label(one) for one in shown],
        [one["weight"] for one in shown],
        "weight",
        reading="To the right the prediction goes up, to the left down.",
    )


def _weight_label(one: Found) -> str:
    """What a weight belongs to, and to which class where there are several.

    >>> _weight_label({"feature": "zone", "value": "z" * 40, "class": "red"})
    'zone = zzzzzzzz... for red'
    """
    ending = f" for {shortened(one['class'], 10)}" if "class" in one else ""
    return pair_label(one["feature"], one["value"], 30 - num_cells(ending)) + ending


def _bars(
    name: str,
    caption: str,
    labels: Sequence[str],
    values: Sequence[float],
    unit: str,
    sd: Sequence[float] | None = None,
    reading: str = "",
) -> Chart:
    with drawing(name, caption, bars_height(len(labels)), reading) as canvas:
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


def dependence_charts(dependence: Mapping[str, Found], task: str = "") -> list[Chart]:
    """The mean prediction where a column has each value in all rows."""
    unit = "prediction" if task in ("", "regression") else "probability"
    return [
        (_dependence_of_number if _is_number(found["values"]) else _dependence_of_token)(
            f"dependence-{place}", column, found, _unit(found, unit)
        )
        for place, (column, found) in enumerate(dependence.items())
    ]


def _unit(found: Found, unit: str) -> str:
    return f"{unit} of {shortened(found['class'], 16)}" if "class" in found else unit


_BAND = "The mean over rows; the band is where 80% of the rows lie."


def _is_number(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _dependence_of_number(name: str, column: str, found: Found, unit: str) -> Chart:
    caption = f"Mean prediction where {shortened(column)} has this value in all rows"
    with drawing(name, caption, reading=_BAND) as canvas:
        axes, places = canvas.axes, np.array(found["values"], np.float64)
        if "low" in found and "high" in found:
            axes.fill_between(places, _numbers(found["low"]), _numbers(found["high"]), color=GRID)
        axes.plot(places, _numbers(found["prediction"]), "-o", color=SERIES[0], markersize=3)
        axes.set_xlabel(shortened(column, 40))
        axes.set_ylabel(unit)
        return canvas.chart()


def _dependence_of_token(name: str, column: str, found: Found, unit: str) -> Chart:
    caption = f"Mean prediction where {shortened(column)} has this value in all rows"
    mean, places = _numbers(found["prediction"]), np.arange(len(found["values"]))
    with drawing(name, caption, bars_height(len(places)), _BAND.replace("band", "line")) as canvas:
        axes, shown = canvas.axes, canvas.make_room([str(v) for v in found["values"]])
        if "low" in found and "high" in found:
            ends = mean - _numbers(found["low"]), _numbers(found["high"]) - mean
            axes.errorbar(
                mean, places, xerr=np.clip(ends, 0, None), fmt="none", ecolor=MUTED, elinewidth=1
            )
        axes.plot(mean, places, "o", color=SERIES[0], markersize=4)
        axes.set_yticks(places, shown)
        axes.set_ylim(len(places) - 0.4, -0.6)
        axes.set_xlabel(unit)
        return canvas.chart()


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], np.float64)


def health_charts(health: Found) -> list[Chart]:
    """Dead units, weight norms and gradient norms of each layer by step."""
    layers, steps = health.get("layers", []), health.get("steps", [])
    return [
        _layers(key, title, reading, [one for one in layers if any(one.get(key) or [])], steps)
        for key, (title, reading) in _HEALTH.items()
        if any(any(one.get(key) or []) for one in layers)
    ]


_HEALTH = {
    "dead": ("share of dead units", "Units that are 0 for every row; they no longer learn."),
    "gradient_norm": (
        "gradient norm",
        "Layers within a few powers of ten of each other learn; one far below has vanishing "
        "gradients, growth without end is exploding.",
    ),
    "weight_norm": ("weight norm", "It should level off."),
}


def _layers(
    key: str, title: str, reading: str, layers: Sequence[Found], steps: Sequence[int]
) -> Chart:
    # Of more layers than a chart can tell apart, some from first to last.
    places = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), _MOST_LINES)).astype(int))
    some = f"; {len(places)} of {len(layers)} layers" if len(places) < len(layers) else ""
    caption = f"{title[0].upper()}{title[1:]} of each layer by step{some}"
    with drawing(f"health-{key.replace('_', '-')}", caption, reading=reading) as canvas:
        axes = canvas.axes
        for i, layer in enumerate(layers[place] for place in places):
            values = _numbers(layer[key])
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
        canvas.legend()
        return canvas.chart()
