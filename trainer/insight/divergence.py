"""How far two samples of one column lie apart, and how far chance alone would put them.

The measures are those of Vertex AI Model Monitoring, which takes them from TensorFlow Data
Validation: the Jensen-Shannon divergence for numbers, by bins, and the L-infinity distance for
categories. Imports numpy only. Axes: K bins or categories, R repetitions.

Source: FeatureStatsAnomaly.distributionDeviation of the Vertex AI API; TFDV 1.13, release notes
(histograms of quantiles, missing values count); Lin 1991, "Divergence measures based on the Shannon
entropy".
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Bins and categories that are expected to have fewer rows in the smaller sample count as one: of
# 300 categories, 50 rows say nothing one by one. Source: Cochran's rule for chi-square, 1954. One
# that either sample has in as many rows as chance never makes of these stands for itself.
_LEAST_ROWS, _MANY_ROWS = 5, 20
# Pairs of samples that are drawn to see what chance does.
_REPETITIONS = 200


class Shift(NamedTuple):
    """How far apart two samples are.

    js: Jensen-Shannon divergence in bits, 0 to 1. linf: L-infinity distance, 0 to 1.
    js_by_chance, linf_by_chance: what two samples of these sizes from one source stay below with
    the probability that was asked for.
    """

    js: float
    linf: float
    js_by_chance: float
    linf_by_chance: float


def shift_between(base_K: Ints, other_K: Ints, level: float = 0.95, seed: int = 0) -> Shift:
    """The shift from one sample's counts to another's; those of few rows count as one.

    Args:
        base_K: rows of each bin or category.
        other_K: of the other sample, in the same order.
        level: share of the pairs without any shift that stay below what chance is said to do.
        seed: of the pairs that are drawn.

    Raises:
        ValueError: a sample has no rows.
    """
    num_base, num_other = int(base_K.sum()), int(other_K.sum())
    if not num_base or not num_other:
        raise ValueError("a sample without rows has no distribution")
    pooled = (base_K + other_K) / (num_base + num_other)
    most = np.maximum(base_K / num_base, other_K / num_other)
    smaller = min(num_base, num_other)
    is_rare = (pooled * smaller < _LEAST_ROWS) & (most * smaller < _MANY_ROWS)
    base_K, other_K = (
        np.append(counts[~is_rare], counts[is_rare].sum()) for counts in (base_K, other_K)
    )
    pooled = (base_K + other_K) / (num_base + num_other)
    base, other = base_K / num_base, other_K / num_other
    random = np.random.default_rng(seed)
    base_RK = random.multinomial(num_base, pooled, _REPETITIONS) / num_base
    other_RK = random.multinomial(num_other, pooled, _REPETITIONS) / num_other
    return Shift(
        js=float(jensen_shannon(base, other)),
        linf=float(l_infinity(base, other)),
        js_by_chance=_upper_bound(jensen_shannon(base_RK, other_RK), level),
        linf_by_chance=_upper_bound(l_infinity(base_RK, other_RK), level),
    )


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """(H(p || m) + H(q || m)) / 2 in bits with m = (p + q) / 2, over the last axis.

    H(p || m) = sum p log2(p / m), 0 where p is.

    >>> float(jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    1.0
    """
    middle = (p + q) / 2
    terms = np.zeros(np.broadcast_shapes(p.shape, q.shape))
    for part in (p, q):
        is_there = part > 0
        terms[is_there] += part[is_there] * np.log2(part[is_there] / middle[is_there])
    return np.asarray(np.maximum(terms.sum(-1) / 2, 0.0))


def l_infinity(p: Floats, q: Floats) -> Floats:
    """The largest difference of a share, over the last axis.

    >>> float(l_infinity(np.array([0.5, 0.5]), np.array([0.25, 0.75])))
    0.25
    """
    return np.asarray(np.abs(p - q).max(-1))


def _upper_bound(values_R: Floats, level: float) -> float:
    """The quantile of a gamma distribution with the mean and variance of the values.

    The divergence of equal sources is close to a multiple of chi-square, and 200 values alone have
    no far quantile. Source: Wilson and Hilferty 1931, "The distribution of chi-square".
    """
    mean, variance = float(values_R.mean()), float(values_R.var())
    if variance <= 0:
        return mean
    ninth = variance / (9 * mean**2)
    z = NormalDist().inv_cdf(level)
    return mean * max(0.0, 1 - ninth + z * math.sqrt(ninth)) ** 3
