"""Deterministic samples that merge: the k items of lowest priority, whatever order they came in.

A priority is a bijective hash, so equal priorities mean equal items. Imports numpy only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2 = np.uint64(0x94D049BB133111EB)
# Their inverses modulo 2^64, so that a value can be had back from its hash.
_INVERSE_1 = np.uint64(pow(0xBF58476D1CE4E5B9, -1, 1 << 64))
_INVERSE_2 = np.uint64(pow(0x94D049BB133111EB, -1, 1 << 64))


def splitmix64(values: UInt64s) -> UInt64s:
    """The output of the splitmix64 generator for each state, a bijection of 64-bit integers.

    Source: https://prng.di.unimi.it/splitmix64.c (Vigna, 2015).

    >>> [hex(h) for h in splitmix64(np.array([0, 1], np.uint64)).tolist()]
    ['0xe220a8397b1dcdaf', '0x910a2dec89025cc1']
    """
    mixed = values + _GAMMA
    mixed ^= mixed >> np.uint64(30)
    mixed *= _FACTOR_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _FACTOR_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


def invert_splitmix64(hashes: UInt64s) -> UInt64s:
    """The values whose splitmix64 hashes these are.

    >>> invert_splitmix64(splitmix64(np.array([0, 1, 2**64 - 1], np.uint64))).tolist()
    [0, 1, 18446744073709551615]
    """
    mixed = _invert_xor_shift(hashes, 31) * _INVERSE_2
    mixed = _invert_xor_shift(mixed, 27) * _INVERSE_1
    return _invert_xor_shift(mixed, 30) - _GAMMA


def _invert_xor_shift(mixed: UInt64s, shift: int) -> UInt64s:
    return mixed ^ (mixed >> np.uint64(shift)) ^ (mixed >> np.uint64(2 * shift))


class DistinctSample:
    """The `size` distinct numbers with the lowest hashes of all numbers that were added."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._hashes = np.empty(0, np.uint64)
        self._pending: list[UInt64s] = []
        self._num_pending = 0
        self._has_overflowed = False
        # The hash that a new number has to stay below once numbers were turned away, else None.
        self._bound: np.uint64 | None = None
        # Hashes that were taken in before, each at the place of its low bits, where a later one
        # overwrites it: turns most repeated numbers away at 5 ns each, where sorting them takes 45
        # (2 CPU cores, 2026-11). Place 0 starts with a hash that belongs elsewhere.
        self._recent = np.zeros(1 << (2 * size - 1).bit_length(), np.uint64)
        self._recent[0] = 1

    def add(self, values: Floats) -> None:
        """Take numbers in, none of them NaN; 0.0 and -0.0 are one number."""
        self.take(self.candidates(values))

    def candidates(self, values: Floats) -> UInt64s:
        """Hashes of the numbers that may belong to the sample, for `take`.

        Any number of threads may ask; what they are given they have to hand to `take`, once, in any
        order: a number that another thread was given is not given again.
        """
        hashes = splitmix64((values + 0.0).view(np.uint64))
        if self._bound is not None:
            hashes = hashes[hashes < self._bound]
        places = (hashes & np.uint64(len(self._recent) - 1)).view(np.int64)
        is_new = self._recent[places] != hashes
        hashes = hashes[is_new]
        self._recent[places[is_new]] = hashes
        return hashes

    def take(self, hashes: UInt64s) -> None:
        """Take in what `candidates` gave."""
        self._pending.append(hashes)
        self._num_pending += len(hashes)
        # Sorting once per four samples' worth of candidates keeps the cost per number flat.
        if self._num_pending > 4 * self.size:
            self._compact()

    def merge(self, other: DistinctSample) -> None:
        """Take in what `other` holds."""
        other._compact()
        self._has_overflowed |= other._has_overflowed
        self.take(other._hashes)

    def values(self) -> Floats:
        """The sampled numbers, increasing, (N,) float64 with N <= size."""
        self._compact()
        return np.sort(invert_splitmix64(self._hashes).view(np.float64))

    def estimate(self) -> int:
        """Distinct numbers in all: exact while they fit the sample.

        A full sample estimates (size - 1) / (highest kept hash / 2^64), with a relative standard
        error of 1 / sqrt(size - 2). Source: Bar-Yossef et al. 2002, "Counting distinct elements in
        a data stream".
        """
        self._compact()
        if not self._has_overflowed:
            return len(self._hashes)
        return round((self.size - 1) / ((float(self._hashes[-1]) + 1) / 2.0**64))

    def _compact(self) -> None:
        if not self._num_pending:
            return
        merged = np.sort(np.concatenate([self._hashes, *self._pending]))
        is_first = np.ones(len(merged), bool)
        np.not_equal(merged[1:], merged[:-1], out=is_first[1:])
        distinct = merged[is_first]
        self._has_overflowed |= len(distinct) > self.size
        # A copy, or the whole sorted array would stay in memory behind the slice.
        self._hashes = distinct[: self.size].copy()
        if self._has_overflowed:
            self._bound = self._hashes[-1]
        self._pending, self._num_pending = [], 0


class RowSample:
    """The `size` rows with the lowest hashes of their ids; ids are unique."""

    def __init__(self, size: int, num_columns: int) -> None:
        self.size = size
        self._hashes = np.empty(0, np.uint64)
        self._rows = np.empty((num_columns, 0), np.float64)
        self._pending: list[tuple[UInt64s, Floats]] = []
        self._num_pending = 0
        self._bound: np.uint64 | None = None

    def add(self, row_ids: UInt64s, columns: list[Floats]) -> None:
        """Take rows in: ids (B,) and one (B,) array a column."""
        self.take(*self.candidates(row_ids, columns))

    def candidates(self, row_ids: UInt64s, columns: list[Floats]) -> tuple[UInt64s, Floats]:
        """Hashes and numbers of the rows that may belong to the sample, for `take`.

        Any number of threads may ask.
        """
        hashes = splitmix64(row_ids)
        if self._bound is None:
            return hashes, np.array(columns).reshape(len(columns), len(hashes))
        chosen = np.flatnonzero(hashes < self._bound)
        return hashes[chosen], np.array([column[chosen] for column in columns])

    def take(self, hashes: UInt64s, rows: Floats) -> None:
        """Take in what `candidates` gave, in any order."""
        self._pending.append((hashes, rows))
        self._num_pending += len(hashes)
        if self._num_pending > 2 * self.size:
            self._compact()

    def merge(self, other: RowSample) -> None:
        """Take in what `other` holds."""
        other._compact()
        self.take(other._hashes, other._rows)

    def columns(self) -> Floats:
        """The sampled rows in the order of their hashes, (columns, N) float64 with N <= size."""
        self._compact()
        return self._rows

    def _compact(self) -> None:
        if not self._num_pending:
            return
        hashes = np.concatenate([self._hashes, *(h for h, _ in self._pending)])
        rows = np.concatenate([self._rows, *(r for _, r in self._pending)], axis=1)
        order = np.argsort(hashes)[: self.size]
        self._hashes, self._rows = hashes[order], rows[:, order]
        # Only a full sample can turn a row away.
        self._bound = self._hashes[-1] if len(order) == self.size else None
        self._pending, self._num_pending = [], 0
