"""How sure a difference between two models is: the paired bootstrap.

Rows, or groups of rows such as days, are drawn with replacement; both models are measured on the
same draw. Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13
(percentile intervals).

Axes: R rows, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# (label, score, weight), each (R,) -> metrics by name
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, float]]

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A difference and its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether 0 lies outside."""
        return self.low > 0 or self.high < 0


def paired_differences(
    measure: Measure,
    label: np.ndarray,
    weight: np.ndarray,
    *,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    groups: np.ndarray | None = None,
    num_draws: int = 400,
    seed: int = 1,
) -> dict[str, Interval]:
    """Metrics of `first` less those of `second`, each the mean over its seeds.

    Args:
        measure: of one model; takes weights, 0 for rows that are not drawn.
        label: (R,).
        weight: (R,).
        first: scores (R,) of each seed.
        second: as `first`; another number of seeds is fine.
        groups: (R,) integers 0 .. G-1, rows of one group are drawn together; None: each row alone.
        num_draws: bootstrap samples.
        seed: of the draws.
    """

    def difference(weight: np.ndarray) -> dict[str, float]:
        found = [mean_metrics(measure, label, scores, weight) for scores in (first, second)]
        return {name: value - found[1][name] for name, value in found[0].items()}

    rng = np.random.default_rng(seed)
    num_groups = len(label) if groups is None else int(groups.max()) + 1
    drawn = []
    for _ in range(num_draws):
        counts = np.bincount(rng.integers(num_groups, size=num_groups), minlength=num_groups)
        drawn.append(difference(weight * (counts if groups is None else counts[groups])))
    tail = (1 - CONFIDENCE) / 2
    return {
        name: Interval(value, *np.nanquantile([d[name] for d in drawn], [tail, 1 - tail]).tolist())
        for name, value in difference(weight).items()
    }


def mean_metrics(
    measure: Measure, label: np.ndarray, scores: Sequence[np.ndarray], weight: np.ndarray
) -> dict[str, float]:
    """Each metric as its mean over the seeds."""
    found = [measure(label, score, weight) for score in scores]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def trimmed_rmse(
    label: np.ndarray, prediction: np.ndarray, weight: np.ndarray, share: float = 0.01
) -> float:
    """RMSE without the rows of the largest errors that have `share` of all weight.

    >>> round(trimmed_rmse(np.zeros(100), np.array([1.0] * 99 + [50.0]), np.ones(100)), 6)
    1.0
    """
    squares = np.square(prediction - label)
    order = np.argsort(squares, kind="stable")
    ordered = weight[order]
    room = (1 - share) * ordered.sum() - (np.cumsum(ordered) - ordered)
    kept = np.clip(room, 0.0, ordered)
    return float(np.sqrt((squares[order] * kept).sum() / kept.sum()))
