"""What columns tell about the target on rows that they were not fitted on.

Rows are cut into blocks of neighbours, and every other block makes a half: each half is judged by
what was fitted on the other. Neighbours stay together because rows that lie side by side are often
of one day, person or place, and would otherwise vouch for each other. Source: Roberts et al. 2017,
"Cross-validation strategies for data with temporal, spatial, hierarchical structure". Imports
sampling and numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainer.sampling import splitmix64

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Task = Literal["regression", "binary"]

# Enough blocks for a mean of blocks to be close to normal, few enough that one is long.
NUM_BLOCKS = 40
_PASSES = 4
# As many as the trainer's piecewise-linear encoding of a number has.
CURVE_BINS = 16
# Share of the rows at either end whose target is moved to the quantile, or a few rows of a heavy
# tail would decide.
_TAIL = 0.01


@dataclass(frozen=True)
class Halves:
    """The (N,) block of each row; even blocks are one half, odd ones the other."""

    blocks: Ints

    @classmethod
    def of(cls, num_rows: int) -> Halves:
        """Blocks of consecutive rows."""
        return cls(np.arange(num_rows, dtype=np.int64) * NUM_BLOCKS // max(1, num_rows))

    @classmethod
    def shuffled(cls, num_rows: int) -> Halves:
        """Blocks of rows chosen by a hash, so that values that lie together are in both halves."""
        hashes = splitmix64(np.arange(num_rows, dtype=np.uint64))
        return cls((hashes % np.uint64(NUM_BLOCKS)).astype(np.int64))

    @property
    def is_second(self) -> Bools:
        """(N,) whether a row is of the second half."""
        return self.blocks % 2 == 1

    def t_value(self, gains: Floats) -> float:
        """Mean over standard error of the blocks' mean gains; 0 where all are 0."""
        sizes = np.bincount(self.blocks, minlength=1)
        sums = np.bincount(self.blocks, gains, minlength=1)
        means = sums[sizes > 0] / sizes[sizes > 0]
        spread = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else 0.0
        return float(means.mean() / spread) if spread > 0 else 0.0


def t_bound(num_tests: int, level: float = 0.01) -> float:
    """What a t value of NUM_BLOCKS blocks has to pass in one of `num_tests` tests, one-sided.

    Bonferroni's bound, with the first term of Cornish and Fisher's expansion of Student's t.

    >>> round(t_bound(1), 2), round(t_bound(100), 2)
    (2.42, 4.07)
    """
    z = -NormalDist().inv_cdf(level / max(1, num_tests))
    return z + (z**3 + z) / (4 * (NUM_BLOCKS - 1))


def bounded_target(target: Floats, task: Task) -> Floats:
    """The target with its tails moved to the 1% and 99% quantiles, then to mean 0 and sd 1.

    Binary targets stay.
    """
    if task == "binary":
        return target
    low, high = np.quantile(target, [_TAIL, 1 - _TAIL])
    # A target of one value in more than 98% of the rows keeps its tails, which are all it has.
    bounded = np.clip(target, low, high) if low < high else target
    spread = bounded.std()
    return np.asarray((bounded - bounded.mean()) / spread if spread > 0 else bounded * 0.0)


def quantile_cells(values: Floats, num_cells: int) -> Ints:
    """(N,) cells of about equal row counts, 0 for NaN."""
    present = values[np.isfinite(values)]
    if not len(present):
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(present, np.arange(1, num_cells) / num_cells))
    cells = np.searchsorted(edges, values, side="right") + 1
    return np.where(np.isfinite(values), cells, 0).astype(np.int64)


def frequent_cells(codes: Ints, counts: Ints, least: float) -> Ints:
    """(N,) a cell for each code of at least `least` rows, 1 for the rest, 0 for missing (-1)."""
    places = np.ones(len(counts) + 1, np.int64)
    frequent = np.flatnonzero(counts >= least)
    places[frequent] = np.arange(len(frequent)) + 2
    places[-1] = 0
    return places[codes]


def out_of_fold(target: Floats, cells: Sequence[Ints], halves: Halves, task: Task) -> Floats:
    """(N,) logits or values of an additive model of the cells, fitted on the other half.

    Backfitting of shrunken cell effects, by Newton steps of the task's loss.
    """
    logits = np.zeros(len(target))
    for second in (False, True):
        fitted = halves.is_second == second
        logits[~fitted] = _fit_additive(target, cells, fitted, task)[~fitted]
    return logits


def out_of_fold_curve(target: Floats, values: Floats, halves: Halves, task: Task) -> Floats:
    """(N,) logits or values of a piecewise-linear curve of a number, fitted on the other half.

    Linear between CURVE_BINS + 1 quantiles of the values, with a level of its own for NaN, by
    Newton steps of the task's loss.
    """
    present = np.isfinite(values)
    knots = np.unique(np.quantile(values[present], np.linspace(0, 1, CURVE_BINS + 1)))
    place = np.interp(values[present], knots, np.arange(len(knots)))
    # Hats over the knots: a row has the two beside it, shared by how near they are.
    design = np.zeros((len(values), len(knots) + 1))
    left = np.minimum(place.astype(np.int64), len(knots) - 2)
    rows = np.flatnonzero(present)
    design[rows, left], design[rows, left + 1] = left + 1 - place, place - left
    design[~present, -1] = 1.0
    logits = np.zeros(len(target))
    for second in (False, True):
        fitted = halves.is_second == second
        logits[~fitted] = design[~fitted] @ _newton(design[fitted], target[fitted], task)
    return logits


def mean_gain(target: Floats, before: Floats, after: Floats, task: Task) -> float:
    """Bits a row about the target by which one prediction is better than another."""
    if task == "binary":
        losses = [(np.logaddexp(0, x) - target * x).mean() / math.log(2) for x in (before, after)]
        return float(losses[0] - losses[1])
    losses = [max(((target - x) ** 2).mean(), 1e-12) for x in (before, after)]
    return float(np.log2(losses[0] / losses[1]) / 2)


def cell_gains(target: Floats, logits: Floats, cells: Ints, halves: Halves, task: Task) -> Floats:
    """(N,) how much less a row's loss is once its cell, fitted on the other half, is added.

    Bits of information about the target per row: log loss to base 2, and for a regression the
    logarithm of the residual's variance, by its derivative.
    """
    adjusted = logits.copy()
    for second in (False, True):
        fitted = halves.is_second == second
        effects = _cell_effects(
            target[fitted], logits[fitted], cells[fitted], cells.max() + 1, task
        )
        adjusted[~fitted] += effects[cells[~fitted]]
    if task == "binary":
        before, after = (np.logaddexp(0, x) - target * x for x in (logits, adjusted))
        return np.asarray((before - after) / math.log(2))
    before, after = ((target - x) ** 2 for x in (logits, adjusted))
    return np.asarray((before - after) / (2 * math.log(2) * max(before.mean(), 1e-12)))


def _newton(design: Floats, target: Floats, task: Task) -> Floats:
    """(K,) weights of the columns of `design`, which sum up to 1 in every row."""
    weights = np.zeros(design.shape[1])
    for _ in range(8 if task == "binary" else 1):
        logits = design @ weights
        share = 1 / (1 + np.exp(-logits))
        curvature = share * (1 - share) if task == "binary" else np.ones(len(target))
        residual = target - share if task == "binary" else target - logits
        # As one more row of no effect at each knot, for knots that no row is near to.
        matrix = design.T @ (design * curvature[:, None]) + np.eye(len(weights)) * 1e-3
        step = np.linalg.solve(matrix, design.T @ residual - 1e-3 * weights)
        weights += _bounded(step) if task == "binary" else step
    return weights


def _bounded(step: npt.NDArray[np.floating]) -> Floats:
    """Newton's step of logits, at most 2 long.

    From a share of 1% to one of 20% the whole step is 19, from where the next one goes to -37,000:
    such a cell would be taken for one without the class.
    """
    return np.clip(step, -2.0, 2.0)


def _fit_additive(target: Floats, cells: Sequence[Ints], fitted: Bools, task: Task) -> Floats:
    """(N,) logits for all rows of a model fitted on some."""
    mean = target[fitted].mean() if fitted.any() else 0.0
    if task == "binary":
        mean = min(max(mean, 1e-6), 1 - 1e-6)
        mean = math.log(mean / (1 - mean))
    logits = np.full(len(target), float(mean))
    for _ in range(_PASSES):
        for column in cells:
            effects = _cell_effects(
                target[fitted], logits[fitted], column[fitted], column.max() + 1, task
            )
            logits += effects[column]
    return logits


def _cell_effects(
    target: Floats, logits: Floats, cells: Ints, num_cells: int, task: Task
) -> Floats:
    """(C,) what to add to the logits of each cell, shrunken towards 0 by how much cells differ.

    With residuals r of curvature h, a cell's effect is sum r / (sum h + 1 / v), v being the
    variance of the true effects by moments. Source: Robbins 1956; DerSimonian and Laird 1986.
    """
    if task == "binary":
        share = 1 / (1 + np.exp(-logits))
        residual, curvature = target - share, share * (1 - share)
    else:
        residual = target - logits
        # In units of the noise, so that one formula serves both tasks.
        curvature = np.ones(len(target))
    sums = np.bincount(cells, residual, minlength=num_cells)
    weights = np.bincount(cells, curvature, minlength=num_cells)
    noise = 1.0 if task == "binary" else float((residual**2).mean()) if len(residual) else 1.0
    used = weights > 1e-9
    total = weights[used].sum()
    if not total:
        return np.zeros(num_cells)
    # E[sum s^2 / w] = noise * cells + v * sum w, less what the mean takes.
    excess = float((sums[used] ** 2 / weights[used]).sum()) - noise * float(used.sum())
    variance = excess / max(1e-12, total - float((weights[used] ** 2).sum()) / total)
    if variance <= 0 and used.sum() > 1:
        return np.zeros(num_cells)
    ridge = noise / variance if variance > 0 else 0.0
    effects = np.where(used, sums / np.maximum(weights + ridge, 1e-9), 0.0)
    return _bounded(effects) if task == "binary" else effects
