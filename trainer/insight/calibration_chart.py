"""How often what has a probability comes true, in log-odds, where rare and common look alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.insight.chart_style import MUTED, SERIES, Chart, drawing, lengths_around, numbers

# Beyond, the ends of log-odds would squeeze what matters.
_MOST_LOG_ODDS = 12.0
# What people read, the first ones first.
_TICKS = (0.5, 0.1, 0.9, 0.01, 0.99, 0.001, 0.999, 0.0001, 0.9999, 0.25, 0.75, 0.05, 0.95)

Found = Mapping[str, Any]


def calibration_chart(part: str, found: Found) -> Chart:
    """The share that was right in each bin of `evaluation.<part>.calibration`."""
    bins = [one for one in found["calibration"] if one.get("rows")]
    share_of = "right classes" if found.get("classes") else "positives"
    caption = f"Share of {share_of} by predicted probability, {part} rows, in log-odds"
    reading = (
        "On the dashed line the model means what it says; below it is too sure. Bars are 95% "
        "intervals, triangles a share of 0 or 1, beyond the axis."
    )
    with drawing(f"calibration-{part}", caption, reading=reading) as canvas:
        axes, share = canvas.axes, _log_odds(numbers(bins, "share"))
        place = _log_odds(numbers(bins, "mean_probability"))
        low, high = (_log_odds(numbers(bins, f"share_{end}")) for end in ("low", "high"))
        # A share of 0 or 1 has no log-odds: the axis ends where the others do.
        inner = [v for v in np.concatenate([place, share, low, high]) if abs(v) < _MOST_LOG_ODDS]
        bottom, top = (min(inner) - 0.3, max(inner) + 0.3) if inner else (-1.0, 1.0)
        bounded = np.clip(share, bottom, top)
        lengths = lengths_around(bounded, np.clip(low, bottom, top), np.clip(high, bottom, top))
        axes.errorbar(place, bounded, yerr=lengths, fmt="none", color=SERIES[0])
        for marker, is_shown in (
            ("o", bounded == share),
            ("v", share < bottom),
            ("^", share > top),
        ):
            axes.plot(place[is_shown], bounded[is_shown], marker, color=SERIES[0], markersize=4)
        ends = [min([*place, bottom]), max([*place, top])]
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
        axes.set_ylim(bottom - 0.1, top + 0.1)
        for axis, (first, last) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            shown = _probability_ticks(first, last)
            axis.set_ticks([float(_log_odds(p)) for p in shown], [f"{p:g}" for p in shown])
        axes.set_xlabel("mean probability")
        axes.set_ylabel(f"share of {share_of}")
        return canvas.chart()


def _probability_ticks(first: float, last: float) -> list[float]:
    """Probabilities that people read, between two log-odds, none too near to another.

    >>> _probability_ticks(-3, 3), _probability_ticks(-8, 8)
    ([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95], [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    """
    shown: list[float] = []
    for p in _TICKS:
        place = float(_log_odds(p))
        gaps = [abs(place - float(_log_odds(other))) for other in shown]
        if first <= place <= last and min(gaps, default=np.inf) >= (last - first) / 9:
            shown.append(p)
    return sorted(shown)


def _log_odds(share: Any) -> np.ndarray:
    # Ends of intervals may lie beyond by a rounding.
    share = np.clip(np.asarray(share, np.float64), 0, 1)
    with np.errstate(divide="ignore"):
        odds = np.log(share) - np.log1p(-share)
    return np.clip(odds, -_MOST_LOG_ODDS, _MOST_LOG_ODDS)
