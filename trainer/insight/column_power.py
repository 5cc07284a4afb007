"""What a column alone tells about the target, which columns say it too well, and which twice.

Imports column_profile, held_out and numpy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from trainer.insight.column_profile import ColumnProfile
from trainer.insight.held_out import Halves, Task, frequent_cells, out_of_fold, quantile_cells

Floats = npt.NDArray[np.float64]

# From here on a column is left out as a leak: of the ranks of a regression's target it explains
# this share, of a binary one's it has this Gini coefficient, on rows that it was not fitted on.
# No single column of an honest table was seen above 0.96 (diamonds: carat and price).
LEAK_POWER = 0.99
# From here on it is worth a look whether the column is known when a prediction is made.
SUSPECT_POWER = 0.95
# Cells of a number: fine enough for a leak, and each with some rows.
_MOST_CELLS, _ROWS_PER_CELL = 128, 20


def column_power(profile: ColumnProfile, target: Floats, halves: Halves, task: Task) -> float:
    """Share of the target that the column alone explains on held-out rows, 0 to 1.

    regression: R^2 on the ranks of the target, which no outlier can decide; binary: the Gini
    coefficient, 2 AUC - 1. Of a number, the better of cells and (regression) a line from neighbour
    to neighbour, which finds any function of the target however skewed.

    Args:
        profile: of the N rows.
        target: (N,) without missing values.
        halves: of the N rows.
        task: of the target.
    """
    goal = target if task == "binary" else ranks(target)
    predictions = []
    by_token = frequent_cells(profile.codes, profile.counts, least=2)
    if profile.numbers is not None:
        num_cells = min(_MOST_CELLS, max(2, len(target) // _ROWS_PER_CELL))
        cells = quantile_cells(profile.values, num_cells)
        predictions.append(out_of_fold(goal, [cells], halves, task))
        if task == "regression":
            predictions.append(_neighbour_line(profile.values, goal, halves))
    if profile.distinct <= len(target) / 2:
        predictions.append(out_of_fold(goal, [by_token], halves, task))
    powers = [_power(goal, prediction, task) for prediction in predictions]
    return max([0.0, *powers])


def find_twins(profiles: Mapping[str, ColumnProfile]) -> dict[str, str]:
    """Columns that say the same as an earlier one, value for value: {column: the earlier one}.

    Only columns whose values come back, on average at least twice: of others every one would
    stand for every other.
    """
    seen: dict[bytes, str] = {}
    twins: dict[str, str] = {}
    for name, profile in profiles.items():
        if not 2 <= profile.distinct <= profile.num_present / 2:
            continue
        # Codes count values by their first row, so equal codes are a one-to-one relation.
        first = seen.setdefault(profile.codes.tobytes(), name)
        if first != name:
            twins[name] = first
    return twins


def ranks(values: Floats) -> Floats:
    """(N,) ranks from 0 to 1, equal values with their mean rank.

    >>> ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [0.75, 0.0, 0.75]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means = (ends - counts + ends - 1) / 2
    return np.asarray(means[places] / max(1, len(values) - 1))


def gini(target: Floats, scores: Floats) -> float:
    """2 AUC - 1 of scores for a target of 0 and 1; 0 where there is one class.

    >>> gini(np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 2.0, 2.0, 3.0]))
    0.75
    """
    num_positive = target.sum()
    num_negative = len(target) - num_positive
    if not num_positive or not num_negative:
        return 0.0
    places = ranks(scores) * (len(target) - 1) + 1
    auc = (places[target == 1].sum() - num_positive * (num_positive + 1) / 2) / (
        num_positive * num_negative
    )
    return float(2 * auc - 1)


def _power(goal: Floats, prediction: Floats, task: Task) -> float:
    if task == "binary":
        return gini(goal, prediction)
    total = float(((goal - goal.mean()) ** 2).mean())
    return 1.0 - float(((goal - prediction) ** 2).mean()) / total if total > 0 else 0.0


def _neighbour_line(values: Floats, goal: Floats, halves: Halves) -> Floats:
    """(N,) the goal of the other half's neighbours in `values`, on the line between them."""
    prediction = np.full(len(goal), float(goal.mean()))
    for second in (False, True):
        fitted = (halves.is_second == second) & np.isfinite(values)
        asked = (halves.is_second != second) & np.isfinite(values)
        if not fitted.any():
            continue
        known, places, counts = np.unique(values[fitted], return_inverse=True, return_counts=True)
        prediction[asked] = np.interp(
            values[asked], known, np.bincount(places, goal[fitted]) / counts
        )
    return prediction
