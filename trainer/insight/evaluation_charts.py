"""Charts of how the model does on rows that it has not seen, from the sections of report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.insight import report_tables
from trainer.insight.calibration_chart import calibration_chart
from trainer.insight.chart_style import (
    GRID,
    HEAT_MIDDLE,
    INK,
    MUTED,
    SERIES,
    Chart,
    bars_height,
    drawing,
    ends_of,
    lengths_around,
    numbers,
    pair_label,
)

# Cells of a confusion matrix that still hold a readable number.
_MOST_NUMBERED_CLASSES = 10
_MOST_BARS = 12
_POINT = "the chosen threshold"

Found = Mapping[str, Any]


def charts(part: str, found: Found) -> list[Chart]:
    """Those of `evaluation.<part>`, as far as its figures are there."""
    makers = {
        "scatter": _scatter,
        "residuals_by_decile": _residuals,
        "roc": _roc,
        "pr": _precision_recall,
        "calibration": calibration_chart,
        "score_histogram": _scores,
    }
    made = [make(part, found) for key, make in makers.items() if found.get(key)]
    if found.get("classes") and found.get("confusion"):
        made.append(_confusion(part, found))
    if found.get("by_class"):
        made.append(_by_class(part, found["by_class"]))
    return made


def slices_chart(part: str, slices: Sequence[Found]) -> Chart:
    """The bias of the worst slices with its interval."""
    shown = [one for one in slices if one.get("bias") is not None][:_MOST_BARS][::-1]
    caption = f"Prediction bias of the worst slices, {part} rows, with its 95% interval"
    reading = "An interval that keeps clear of 0 is a bias beyond chance; right of 0 is too high."
    with drawing(f"slices-{part}", caption, bars_height(len(shown)), reading) as canvas:
        labels = canvas.make_room([pair_label(one["column"], one["value"]) for one in shown])
        axes, places = canvas.axes, np.arange(len(shown))
        bias = numbers(shown, "bias")
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.errorbar(
            bias,
            places,
            xerr=lengths_around(bias, numbers(shown, "bias_low"), numbers(shown, "bias_high")),
            fmt="o",
            markersize=4,
            color=SERIES[0],
        )
        axes.set_yticks(places, labels)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("mean prediction - mean label")
        return canvas.chart()


def _scatter(part: str, found: Found) -> Chart:
    grid = found["scatter"]
    x_edges, y_edges = np.asarray(grid["prediction_edges"]), np.asarray(grid["label_edges"])
    counts = np.asarray(grid["counts"], np.float64)
    caption = f"Label against prediction, {part} rows"
    reading = "Brighter cells have more rows; on the dashed line the prediction is the label."
    with drawing(f"scatter-{part}", caption, reading=reading) as canvas:
        axes = canvas.axes
        if counts.shape == (len(x_edges) - 1, len(y_edges) - 1):
            counts = counts.T
        cells = np.ma.masked_less_equal(counts, 0)
        # A raster: thousands of cells as paths would be hundreds of kilobytes.
        axes.pcolormesh(x_edges, y_edges, np.log1p(cells), rasterized=True, cmap=canvas.heat())
        ends = max(x_edges[0], y_edges[0]), min(x_edges[-1], y_edges[-1])
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
        axes.set_xlabel("prediction")
        axes.set_ylabel("label")
        return canvas.chart()


def _residuals(part: str, found: Found) -> Chart:
    bins = found["residuals_by_decile"]
    caption = f"Prediction bias by decile of the prediction, {part} rows"
    reading = (
        "Dots and their 95% intervals should lie on 0; the band holds 90% of the single errors."
    )
    with drawing(f"residuals-{part}", caption, reading=reading) as canvas:
        axes, places = canvas.axes, numbers(bins, "mean_prediction")
        bias = numbers(bins, "bias")
        axes.fill_between(
            places,
            numbers(bins, "p05"),
            numbers(bins, "p95"),
            color=GRID,
            label="5% to 95% of the errors",
        )
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.errorbar(
            places,
            bias,
            yerr=lengths_around(bias, numbers(bins, "bias_low"), numbers(bins, "bias_high")),
            fmt="o",
            markersize=4,
            color=SERIES[0],
            label="mean error",
        )
        axes.set_xlabel("mean prediction of the decile")
        axes.set_ylabel("prediction - label")
        canvas.legend()
        return canvas.chart()


def _roc(part: str, found: Found) -> Chart:
    roc = found["roc"]
    reading = (
        "Share of the positives found, by share of the negatives taken for them; the dashed line "
        "is guessing."
    )
    with drawing(f"roc-{part}", f"ROC curve, {part} rows", reading=reading) as canvas:
        axes = canvas.axes
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        axes.plot(roc["fpr"], roc["tpr"], color=SERIES[0])
        rates = _rates(found.get("confusion") or {})
        if rates:
            axes.plot(rates["fpr"], rates["tpr"], "o", color=SERIES[1], label=_POINT)
            canvas.legend()
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        return canvas.chart()


def _precision_recall(part: str, found: Found) -> Chart:
    curve = found["pr"]
    reading = (
        "Share of the decisions that are right, by share of the positives found; the dashed line "
        "is guessing."
    )
    with drawing(f"pr-{part}", f"Precision by recall, {part} rows", reading=reading) as canvas:
        axes = canvas.axes
        rates = _rates(found.get("confusion") or {})
        if rates:
            axes.axhline(rates["positives"], color=MUTED, linewidth=1, linestyle="--")
        axes.plot(curve["recall"], curve["precision"], color=SERIES[0])
        if rates.get("precision") is not None:
            axes.plot(rates["tpr"], rates["precision"], "o", color=SERIES[1], label=_POINT)
            canvas.legend()
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        return canvas.chart()


def _rates(confusion: Any) -> dict[str, float]:
    """Rates of {tp, fp, tn, fn}; {} where a class has no row."""
    if not isinstance(confusion, Mapping) or "tp" not in confusion:
        return {}
    tp, fp, tn, fn = (confusion[key] for key in ("tp", "fp", "tn", "fn"))
    if not (tp + fn) or not (fp + tn):
        return {}
    rates = {"tpr": tp / (tp + fn), "fpr": fp / (fp + tn)}
    rates["positives"] = (tp + fn) / (tp + fp + tn + fn)
    return rates | ({"precision": tp / (tp + fp)} if tp + fp else {})


def _scores(part: str, found: Found) -> Chart:
    histogram = found["score_histogram"]
    edges = np.asarray(histogram["edges"])
    caption = f"Rows by predicted probability and class, {part} rows, counts on a log scale"
    reading = "The further the two stand apart, the better; the dashed line is the threshold."
    with drawing(f"scores-{part}", caption, reading=reading) as canvas:
        axes = canvas.axes
        for name, color in (("negatives", SERIES[0]), ("positives", SERIES[1])):
            counts = np.asarray(histogram[name])
            axes.stairs(counts, edges, color=color, label=name, linewidth=1.5)
            axes.stairs(counts, edges, color=color, fill=True, alpha=0.25)
        if max(max(histogram["negatives"]), max(histogram["positives"])) > 0:
            axes.set_yscale("symlog", linthresh=1)
            axes.yaxis.set_major_formatter("{x:g}")
        threshold = (found.get("operating_point") or {}).get("threshold")
        if isinstance(threshold, float):
            axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
        axes.set_xlabel("probability")
        axes.set_ylabel("rows")
        canvas.legend()
        return canvas.chart()


def _by_class(part: str, by_class: Any) -> Chart:
    records = report_tables.class_records(by_class)
    shown = records[:_MOST_BARS]
    some = f", the {len(shown)} largest" if len(shown) < len(records) else ""
    caption = f"Precision, recall and F1 of each class, {part} rows{some}"
    reading = "Precision: share of the rows called so that are so; recall: share of those found."
    with drawing(f"by-class-{part}", caption, bars_height(len(shown)), reading) as canvas:
        labels = canvas.make_room([str(one["class"]) for one in shown])
        axes, places = canvas.axes, np.arange(len(shown))
        for key, marker, color in zip(("precision", "recall", "f1"), "<>o", SERIES, strict=False):
            axes.plot(numbers(shown, key), places, marker, color=color, label=key, markersize=5)
        axes.set_yticks(places, labels)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(-0.03, 1.03)
        canvas.legend()
        return canvas.chart()


def _confusion(part: str, found: Found) -> Chart:
    counts = np.asarray(found["confusion"], np.float64)
    names = [ends_of(name, 14) for name in found["classes"]]
    names += ["(rest)"] * (len(counts) - len(names))
    caption = f"Confusion matrix, {part} rows: classes of the label by those predicted"
    reading = (
        "Colour is the share of the label's rows; all on the diagonal would be a perfect model."
    )
    with drawing(f"confusion-{part}", caption, height=4.0, reading=reading) as canvas:
        axes = canvas.axes
        canvas.make_room_around(names)
        axes.grid(False)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        cells, colors = np.ma.masked_equal(shares, 0), canvas.heat()
        axes.pcolormesh(cells, rasterized=True, vmin=0, vmax=1, cmap=colors)
        middles = np.arange(len(counts)) + 0.5
        axes.set_xticks(middles, names[: len(counts)], rotation=90)
        axes.set_yticks(middles, names[: len(counts)])
        axes.invert_yaxis()
        if len(counts) <= _MOST_NUMBERED_CLASSES:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    color = "#000000" if shares[row, column] > HEAT_MIDDLE else "#ffffff"
                    axes.text(
                        column + 0.5,
                        row + 0.5,
                        f"{count:.0f}",
                        ha="center",
                        va="center",
                        color=color,
                        fontsize=7,
                    )
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        return canvas.chart()
