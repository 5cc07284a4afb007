"""Integers that belong to tokens, computed once for each token that comes along.

A hash table of short texts in numpy arrays: what a block's distinct texts stand for is looked up
without a Python object for each of them. Imports numpy and Arrow only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

UInt64s = npt.NDArray[np.uint64]
Ints = npt.NDArray[Any]

# Some 60 bytes a token: 16 MB a column at most. Tokens beyond are computed each time.
MAX_TOKENS = 1 << 18
# Longer texts are computed each time as well.
MAX_WORDS = 4
_WORD_BYTES = 8
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
# _MASKS[n] keeps the first n bytes of a little-endian word.
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD_BYTES + 1)], np.uint64)


class TokenMemory:
    """`compute` of tokens, remembered. Any number of threads may call it."""

    def __init__(
        self,
        compute: Callable[[pa.Array], Ints],
        dtype: npt.DTypeLike = np.int32,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        """Remember nothing yet.

        Args:
            compute: (V,) Arrow strings to (V,) integers, each a function of its own string alone.
            dtype: of the integers.
            max_tokens: to remember at most.
        """
        self._compute = compute
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._num_tokens = 0
        # A slot holds the number of a token, -1 for none; a token is in the first slot that was
        # free from the one on that the high bits of its hash name.
        self._slots = np.full(256, -1, np.int32)
        self._hashes = np.empty(128, np.uint64)
        self._lengths = np.empty(128, np.int32)
        self._words = np.empty((MAX_WORDS, 128), np.uint64)
        self._values = np.empty(128, dtype)

    def __call__(self, tokens: pa.Array) -> Ints:
        """(V,) integers of (V,) Arrow strings without nulls."""
        lengths, words = _words_of(tokens)
        hashes = _hash(lengths, words)
        with self._lock:
            numbers = self._find(hashes, lengths, words)
            values = self._values[numbers]
            missing = np.flatnonzero(numbers < 0)
            if len(missing):
                values[missing] = self._compute(tokens.take(pa.array(missing)))
                self._remember(missing, hashes, lengths, words, values)
        return values

    def _find(self, hashes: UInt64s, lengths: Ints, words: UInt64s) -> Ints:
        """(V,) numbers of the tokens, -1 where unknown."""
        numbers = np.full(len(hashes), -1, np.int32)
        rows = np.arange(len(hashes))
        places = self._first_slots(hashes)
        while len(rows):
            found = self._slots[places]
            is_same = (self._hashes[found] == hashes[rows]) & (found >= 0)
            is_same &= self._lengths[found] == lengths[rows]
            for mine, theirs in zip(words, self._words, strict=False):
                is_same &= theirs[found] == mine[rows]
            numbers[rows[is_same]] = found[is_same]
            goes_on = np.flatnonzero((found >= 0) & ~is_same)
            rows, places = rows[goes_on], (places[goes_on] + 1) % len(self._slots)
        return numbers

    def _remember(
        self, rows: Ints, hashes: UInt64s, lengths: Ints, words: UInt64s, values: Ints
    ) -> None:
        rows = rows[lengths[rows] <= MAX_WORDS * _WORD_BYTES]
        # One of those with equal hashes, which are most likely the same token.
        rows = rows[np.unique(hashes[rows], return_index=True)[1]]
        rows = rows[: self._max_tokens - self._num_tokens]
        numbers = np.arange(self._num_tokens, self._num_tokens + len(rows), dtype=np.int32)
        self._num_tokens += len(rows)
        if self._num_tokens > len(self._hashes):
            self._grow(2 * self._num_tokens)
        self._hashes[numbers] = hashes[rows]
        self._lengths[numbers] = lengths[rows]
        self._words[: len(words), numbers] = words[:, rows]
        self._values[numbers] = values[rows]
        self._place(numbers)

    def _grow(self, num_tokens: int) -> None:
        """Make room for so many tokens; half of the slots stay free."""
        more = num_tokens - len(self._hashes)
        self._hashes = np.pad(self._hashes, (0, more))
        self._lengths = np.pad(self._lengths, (0, more))
        self._words = np.pad(self._words, ((0, 0), (0, more)))
        self._values = np.pad(self._values, (0, more))
        num_known = int((self._slots >= 0).sum())
        self._slots = np.full(1 << (2 * num_tokens - 1).bit_length(), -1, np.int32)
        self._place(np.arange(num_known, dtype=np.int32))

    def _place(self, numbers: Ints) -> None:
        places = self._first_slots(self._hashes[numbers])
        while len(numbers):
            is_free = self._slots[places] < 0
            # Of several that want a slot, one has it in the end.
            self._slots[places[is_free]] = numbers[is_free]
            left = np.flatnonzero(self._slots[places] != numbers)
            numbers, places = numbers[left], (places[left] + 1) % len(self._slots)

    def _first_slots(self, hashes: UInt64s) -> Ints:
        num_bits = len(self._slots).bit_length() - 1
        return (hashes >> np.uint64(64 - num_bits)).view(np.int64)


def _words_of(tokens: pa.Array) -> tuple[Ints, UInt64s]:
    """(V,) bytes of each text, and its first words, (W, V), W <= MAX_WORDS, filled up with 0."""
    offsets = np.frombuffer(tokens.buffers()[1], np.int32)[tokens.offset :][: len(tokens) + 1]
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    num_words = min(MAX_WORDS, -(-longest // _WORD_BYTES))
    data = np.frombuffer(tokens.buffers()[2] or b"", np.uint8)[: int(offsets[-1])]
    aligned = np.zeros(len(data) // _WORD_BYTES + 2 + num_words, np.uint64)
    aligned.view(np.uint8)[: len(data)] = data
    firsts, shifts = np.divmod(offsets[:-1], _WORD_BYTES)
    low_shifts = (8 * shifts).astype(np.uint64)
    # By 64 in two steps, for a shift by as many bits as there are has no defined result.
    high_shifts = np.uint64(63) - low_shifts
    words = np.empty((num_words, len(tokens)), np.uint64)
    for k in range(num_words):
        low, high = aligned[firsts + k], aligned[firsts + (k + 1)]
        words[k] = (low >> low_shifts) | ((high << np.uint64(1)) << high_shifts)
        words[k] &= _MASKS[np.clip(lengths - k * _WORD_BYTES, 0, _WORD_BYTES)]
    return lengths, words


def _hash(lengths: Ints, words: UInt64s) -> UInt64s:
    """Multiplication by the golden ratio after each word, the high bits folded down."""
    hashes = lengths.astype(np.uint64) * _FACTOR
    for word in words:
        hashes ^= word
        hashes *= _FACTOR
        hashes ^= hashes >> np.uint64(32)
    return hashes * _FACTOR
