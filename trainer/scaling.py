"""How a number is scaled and filled, from its options and the statistics of the training rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trainer.columns import NumericOptions
from trainer.errors import UserError
from trainer.number_statistics import NumberStatistics

# `scale: auto` takes log1p where the maximum is above that many upper quartiles.
SKEWED_QUARTILES = 20.0


@dataclass(frozen=True)
class Scaling:
    """value -> (curve(max(value, floor)) - shift) * factor; only logarithms have a floor.

    `number_bank.NumberBank` computes it for tensors, a call for the constants of a column.
    """

    curve: str = "none"  # or log, log1p
    floor: float = 0.0
    shift: float = 0.0
    factor: float = 1.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Scaled float32 values."""
        values = values.astype(np.float32)
        if self.curve != "none":
            values = np.maximum(values, np.float32(self.floor))
            values = np.log(values) if self.curve == "log" else np.log1p(values)
        return (values - np.float32(self.shift)) * np.float32(self.factor)


def choose_scaling(name: str, options: NumericOptions, found: NumberStatistics) -> Scaling:
    """The scaling that `options.scale` means for a column with these statistics.

    Raises:
        UserError: a logarithm of values that it cannot take.
    """
    low, high = clipped(options, found.minimum), clipped(options, found.maximum)
    scale = options.scale
    if scale == "auto":
        upper_quartile = clipped(options, quantile(found, 0.75))
        is_skewed = low >= 0 and high > SKEWED_QUARTILES * upper_quartile
        scale = "log1p" if is_skewed else "zscore"
    if (scale == "log" and low <= 0) or (scale == "log1p" and low <= -1):
        raise UserError(
            f"columns.{name}.scale: {scale} needs values above {0 if scale == 'log' else -1}; the "
            f"smallest training value is {low:g}. Use zscore, or clip"
        )
    if scale == "none":
        return Scaling("none", low, 0.0, 1.0)
    if scale == "minmax":
        return Scaling("none", low, low, _inverse(high - low))
    if scale == "maxabs":
        return Scaling("none", low, 0.0, _inverse(max(abs(low), abs(high))))
    if scale == "zscore":
        mean, sd = found.mean, found.sd
        if options.clip is not None:
            mean, sd = _moments(_grid(options, found))
        return Scaling("none", low, mean, _inverse(sd))
    # The mean of logarithms is no function of the moments; the quantiles give it closely.
    curve = np.log if scale == "log" else np.log1p
    mean, sd = _moments(curve(_grid(options, found)))
    return Scaling(scale, low, mean, _inverse(sd))


def clipped(options: NumericOptions, value: float) -> float:
    """`value`, or the bound of `options.clip` that it exceeds."""
    if options.clip is None:
        return value
    return min(max(value, options.clip[0]), options.clip[1])


def quantile(found: NumberStatistics, share: float) -> float:
    """The value that `share` of the values do not exceed, between points of the grid."""
    return float(np.interp(share, np.linspace(0.0, 1.0, len(found.quantiles)), found.quantiles))


def fill_value(options: NumericOptions, found: NumberStatistics) -> float:
    """What replaces a missing value, before scaling."""
    if options.missing == "constant":
        return options.missing_value
    if options.missing == "median":
        return clipped(options, quantile(found, 0.5))
    return found.mean if options.clip is None else _moments(_grid(options, found))[0]


def _grid(options: NumericOptions, found: NumberStatistics) -> np.ndarray:
    return np.array([clipped(options, value) for value in found.quantiles])


def _moments(grid: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of a distribution that is uniform between its quantiles."""
    low, high = grid[:-1], grid[1:]
    mean = float(np.mean((low + high) / 2))
    # Around the mean, or large values with a small spread would lose their digits.
    low, high = low - mean, high - mean
    return mean, math.sqrt(float(np.mean((low * low + low * high + high * high) / 3)))


def _inverse(spread: float) -> float:
    """1 / spread; a constant is only shifted."""
    return 1.0 / spread if spread > 0 else 1.0
