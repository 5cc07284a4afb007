"""Charts of how the model does on rows that it has not seen, from the sections of report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.insight.chart_style import GRID, INK, MUTED, SERIES, Chart, drawing, shortened

# Cells of a confusion matrix that still hold a readable number.
_MOST_NUMBERED_CLASSES = 10
_MOST_BARS = 12
# Beyond, the ends of log-odds would squeeze what matters.
_MOST_LOG_ODDS = 12.0

Found = Mapping[str, Any]


def charts(part: str, found: Found) -> list[Chart]:
    """Those of `evaluation.<part>`, as far as its figures are there."""
    makers = {
        "scatter": _scatter,
        "residuals_by_decile": _residuals,
        "roc": _roc,
        "pr": _precision_recall,
        "calibration": _calibration,
        "score_histogram": _scores,
    }
    made = [make(part, found) for key, make in makers.items() if found.get(key)]
    if found.get("classes") and found.get("confusion"):
        made.append(_confusion(part, found))
    return made


def slices_chart(part: str, slices: Sequence[Found]) -> Chart:
    """The bias of the worst slices with its interval."""
    shown = [one for one in slices if one.get("bias") is not None][:_MOST_BARS][::-1]
    caption = f"Prediction bias of the worst slices, {part} rows, with its interval"
    with drawing(f"slices-{part}", caption, height=_height(shown)) as canvas:
        labels = canvas.make_room([f"{one['column']} = {one['value']}" for one in shown])
        axes, places = canvas.axes, np.arange(len(shown))
        bias = numbers(shown, "bias")
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.errorbar(
            bias,
            places,
            xerr=_around(bias, numbers(shown, "bias_low"), numbers(shown, "bias_high")),
            fmt="o",
            markersize=4,
            color=SERIES[0],
        )
        axes.set_yticks(places, labels)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("mean prediction - mean label")
        return canvas.chart()


def numbers(records: Sequence[Found], key: str) -> np.ndarray:
    """A column of records as float64, NaN where it is absent or None."""
    values = [record.get(key) for record in records]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _height(bars: Sequence[Any]) -> float:
    return 0.9 + 0.22 * max(len(bars), 4)


def _around(middle: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(2, B) lengths below and above, 0 where there is no interval."""
    return np.nan_to_num(np.clip([middle - low, high - middle], 0, None))


def _scatter(part: str, found: Found) -> Chart:
    grid = found["scatter"]
    x_edges, y_edges = np.asarray(grid["prediction_edges"]), np.asarray(grid["label_edges"])
    counts = np.asarray(grid["counts"], np.float64)
    caption = (
        f"Label against prediction, {part} rows; brighter cells have more rows, and on the dashed "
        "line both are equal"
    )
    with drawing(f"scatter-{part}", caption) as canvas:
        axes = canvas.axes
        if counts.shape == (len(x_edges) - 1, len(y_edges) - 1):
            counts = counts.T
        cells = np.ma.masked_less_equal(counts, 0)
        # A raster: thousands of cells as paths would be hundreds of kilobytes.
        axes.pcolormesh(x_edges, y_edges, np.log1p(cells), rasterized=True)
        ends = max(x_edges[0], y_edges[0]), min(x_edges[-1], y_edges[-1])
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
        axes.set_xlabel("prediction")
        axes.set_ylabel("label")
        return canvas.chart()


def _residuals(part: str, found: Found) -> Chart:
    bins = found["residuals_by_decile"]
    caption = (
        f"Prediction bias by decile of the prediction, {part} rows, with its interval, and the "
        "5th to 95th percentile of prediction - label"
    )
    with drawing(f"residuals-{part}", caption) as canvas:
        axes, places = canvas.axes, numbers(bins, "mean_prediction")
        bias = numbers(bins, "bias")
        axes.fill_between(
            places, numbers(bins, "p05"), numbers(bins, "p95"), color=GRID, label="5% to 95%"
        )
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.errorbar(
            places,
            bias,
            yerr=_around(bias, numbers(bins, "bias_low"), numbers(bins, "bias_high")),
            fmt="o",
            markersize=4,
            color=SERIES[0],
            label="bias",
        )
        axes.set_xlabel("mean prediction of the decile")
        axes.set_ylabel("prediction - label")
        axes.legend(loc="best")
        return canvas.chart()


def _roc(part: str, found: Found) -> Chart:
    roc = found["roc"]
    with drawing(f"roc-{part}", f"ROC curve, {part} rows, with the operating point") as canvas:
        axes = canvas.axes
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
        axes.plot(roc["fpr"], roc["tpr"], color=SERIES[0])
        rates = _rates(found.get("confusion") or {})
        if rates:
            axes.plot(rates["fpr"], rates["tpr"], "o", color=SERIES[1], label="operating point")
            axes.legend(loc="lower right")
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        return canvas.chart()


def _precision_recall(part: str, found: Found) -> Chart:
    curve = found["pr"]
    caption = f"Precision by recall, {part} rows, with the operating point"
    with drawing(f"pr-{part}", caption) as canvas:
        axes = canvas.axes
        axes.plot(curve["recall"], curve["precision"], color=SERIES[0])
        rates = _rates(found.get("confusion") or {})
        if rates.get("precision") is not None:
            point = rates["tpr"], rates["precision"]
            axes.plot(*point, "o", color=SERIES[1], label="operating point")
            axes.legend(loc="lower left")
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
    return rates | ({"precision": tp / (tp + fp)} if tp + fp else {})


def _calibration(part: str, found: Found) -> Chart:
    bins = [one for one in found["calibration"] if one.get("rows")]
    share_of = "right classes" if found.get("classes") else "positives"
    caption = (
        f"Share of {share_of} by predicted probability, {part} rows, in log-odds, with its "
        "interval; on the dashed line the model is calibrated"
    )
    with drawing(f"calibration-{part}", caption) as canvas:
        axes, share = canvas.axes, _log_odds(numbers(bins, "share"))
        place = _log_odds(numbers(bins, "mean_probability"))
        low, high = (_log_odds(numbers(bins, f"share_{end}")) for end in ("low", "high"))
        axes.errorbar(
            place, share, yerr=_around(share, low, high), fmt="o", markersize=4, color=SERIES[0]
        )
        ends = [np.nanmin([place, share]), np.nanmax([place, share])] if len(bins) else [-1, 1]
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
        # Ticks that people read, where log-odds are.
        shown = [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999]
        within = [p for p in shown if ends[0] - 1 <= _log_odds(p) <= ends[1] + 1]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([float(_log_odds(p)) for p in within], [f"{p:g}" for p in within])
        axes.set_xlabel("mean probability")
        axes.set_ylabel(f"share of {share_of}")
        return canvas.chart()


def _log_odds(share: Any) -> np.ndarray:
    with np.errstate(divide="ignore"):
        odds = np.log(share) - np.log1p(-np.asarray(share, np.float64))
    return np.clip(odds, -_MOST_LOG_ODDS, _MOST_LOG_ODDS)


def _scores(part: str, found: Found) -> Chart:
    histogram = found["score_histogram"]
    edges = np.asarray(histogram["edges"])
    caption = f"Rows by predicted probability and class, {part} rows"
    with drawing(f"scores-{part}", caption) as canvas:
        axes = canvas.axes
        for name, color in (("negatives", SERIES[0]), ("positives", SERIES[1])):
            counts = np.asarray(histogram[name])
            axes.stairs(counts, edges, color=color, label=name, linewidth=1.5)
            axes.stairs(counts, edges, color=color, fill=True, alpha=0.25)
        if max(max(histogram["negatives"]), max(histogram["positives"])) > 0:
            axes.set_yscale("symlog", linthresh=1)
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("probability")
        axes.set_ylabel("rows")
        axes.legend(loc="upper center", ncols=2)
        return canvas.chart()


def _confusion(part: str, found: Found) -> Chart:
    counts = np.asarray(found["confusion"], np.float64)
    names = [shortened(name, 14) for name in found["classes"]]
    names += ["(rest)"] * (len(counts) - len(names))
    caption = f"Confusion matrix, {part} rows: classes of the label by those predicted"
    with drawing(f"confusion-{part}", caption, height=4.0) as canvas:
        axes = canvas.axes
        axes.set_position((0.26, 0.26, 0.70, 0.70))
        axes.grid(False)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.pcolormesh(np.ma.masked_equal(shares, 0), rasterized=True, vmin=0, vmax=1)
        middles = np.arange(len(counts)) + 0.5
        axes.set_xticks(middles, names[: len(counts)], rotation=90)
        axes.set_yticks(middles, names[: len(counts)])
        axes.invert_yaxis()
        if len(counts) <= _MOST_NUMBERED_CLASSES:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    color = "#000000" if shares[row, column] > 0.5 else "#ffffff"
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
