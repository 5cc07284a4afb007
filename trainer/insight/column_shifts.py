"""How far the columns of one set of rows lie from those of another, column by column.

From statistics that merge: quantiles of numbers, counts of texts, counts of ids. Imports
statistics, divergence and id_counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from trainer.insight.divergence import Ints, Shift, shift_between
from trainer.insight.id_counts import REST, NamedCounts
from trainer.number_statistics import NumberStatistics
from trainer.quantiles import interpolate
from trainer.statistics import TableStatistics, sample_size

# Bins of a number: tenths of the base's rows, as the histograms of quantiles in TFDV.
NUM_BINS = 10
# Categories that are looked at one by one; the others count as one.
MOST_CATEGORIES = 1000
MISSING = "(missing)"

Kind = Literal["number", "category"]


class TableProfile(NamedTuple):
    """What is known of a set of rows.

    statistics: of the raw columns. ids: rows by name of each feature that these do not cover.
    """

    statistics: TableStatistics
    ids: NamedCounts


class ColumnShift(NamedTuple):
    """A column that both sets have."""

    kind: Kind
    shift: Shift

    @property
    def distance(self) -> float:
        """The measure of its kind: js of a number, linf of a category."""
        return self.shift.js if self.kind == "number" else self.shift.linf

    @property
    def by_chance(self) -> float:
        """What chance does to that measure."""
        return self.shift.js_by_chance if self.kind == "number" else self.shift.linf_by_chance


def column_shifts(
    base: TableProfile, other: TableProfile, *, level: float = 0.95
) -> dict[str, ColumnShift]:
    """The shift of each column that both have, the label's at last if both have it.

    Args:
        base: the training rows; their quantiles are the bounds of bins.
        other: the rows that are compared with them, at least one.
        level: share of the unshifted columns that stay below what chance is said to do.
    """
    found: dict[str, ColumnShift] = {}
    numbers, other_numbers = dict(base.statistics.numbers), dict(other.statistics.numbers)
    sizes = [sample_size(len(p.statistics.numbers) + 1) for p in (base, other)]
    if base.statistics.label is not None and other.statistics.label is not None:
        numbers["(label)"] = base.statistics.label
        other_numbers["(label)"] = other.statistics.label
    for name, number in numbers.items():
        if name in other_numbers:
            counts = _bin_counts(number, other_numbers[name], sizes)
            found[name] = ColumnShift("number", shift_between(*counts, level))
    pairs = {**category_counts(other)}
    for name, counted in category_counts(base).items():
        if sum(counted.values()) and sum(pairs.get(name, {}).values()):
            shift = shift_between(*_aligned(counted, pairs[name]), level)
            found[name] = ColumnShift("category", shift)
    return found


def category_counts(profile: TableProfile) -> dict[str, dict[str, int]]:
    """Rows by value of each column of categories, missing ones by `MISSING`."""
    statistics = profile.statistics
    found: dict[str, dict[str, int]] = {
        name: dict(pairs) | _if_any(statistics.missing_tokens[name])
        for name, pairs in statistics.tokens.items()
    }
    for name, bag in statistics.bags.items():
        if bag.tokens:
            found[name] = dict(bag.tokens) | _if_any(bag.lengths[0] if bag.lengths else 0)
    found |= profile.ids
    if statistics.classes:
        found["(label)"] = {name: round(count) for name, count in statistics.classes}
    return found


def _if_any(missing: int) -> dict[str, int]:
    return {MISSING: missing} if missing else {}


def _bin_counts(
    base: NumberStatistics, other: NumberStatistics, sizes: Sequence[int]
) -> tuple[Ints, Ints]:
    """Rows of both in the bins of the base, and at last the missing ones.

    As many rows as the samples behind the quantiles have: so much is known of the shares.
    """
    edges = np.unique(interpolate(base.quantiles, NUM_BINS))
    if base.minimum == base.maximum:
        edges = np.array([base.minimum, np.nextafter(base.minimum, np.inf)])
    counts = []
    for number, most in zip((base, other), sizes, strict=True):
        total = number.count + number.missing
        num_rows = min(total, most)
        shares = np.array([0.0, *_share_below(number.quantiles, edges), 1.0])
        below = np.append(shares * number.count / max(1, total), 1.0) * num_rows
        counts.append(np.diff(np.rint(below)).astype(np.int64))
    return counts[0], counts[1]


def _share_below(quantiles: Sequence[float], edges: np.ndarray) -> np.ndarray:
    """The share of values below each edge, between the points of a grid of quantiles.

    At a value that many rows have, the share of those that are smaller.
    """
    grid = np.array(quantiles)
    if not len(grid):
        return np.zeros(len(edges))
    last = len(grid) - 1
    right = np.searchsorted(grid, edges, side="left")
    left = np.clip(right - 1, 0, last)
    step = grid[np.minimum(right, last)] - grid[left]
    part = np.where(step > 0, (edges - grid[left]) / np.where(step > 0, step, 1.0), 0.0)
    part = np.where(grid[np.minimum(right, last)] == edges, 1.0, part)
    inside = (left + np.clip(part, 0.0, 1.0)) / max(1, last)
    return np.where(right == 0, 0.0, np.where(right > last, 1.0, inside))


def _aligned(base: Mapping[str, int], other: Mapping[str, int]) -> tuple[Ints, Ints]:
    """Counts of both by the same categories: those most frequent in the two together."""
    num_base, num_other = sum(base.values()), sum(other.values())
    shares = {
        name: base.get(name, 0) / num_base + other.get(name, 0) / num_other
        for name in {*base, *other} - {REST}
    }
    names = sorted(shares, key=lambda name: (-shares[name], name))[:MOST_CATEGORIES]
    counts = [
        np.array([*(counted.get(name, 0) for name in names), 0], np.int64)
        for counted in (base, other)
    ]
    for found, total in zip(counts, (num_base, num_other), strict=True):
        found[-1] = total - found.sum()
    return counts[0], counts[1]
