"""Integers that belong to tokens, computed once for each token that comes along.

A hash table of short texts in numpy arrays: what a block's distinct texts stand for is looked up
without a Python object for each of them. Imports sampling, numpy and
Arrow only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trainer.sampling import splitmix64

UInt64s = npt.NDArray[np.uint64]
Ints = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

# Some 80 bytes a token: 20 MB a column at most. Tokens beyond are computed each time.
MAX_TOKENS = 1 << 18
# Texts of 32 bytes and more are computed each time as well.
MAX_WORDS = 4
_WORD_BYTES = 8
# Odd numbers without a pattern, one for each word.
_FACTORS = splitmix64(np.arange(MAX_WORDS, dtype=np.uint64)) | np.uint64(1)
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
        self._slots = np.full(512, -1, np.int32)
        self._hashes = np.empty(128, np.uint64)
        self._words = np.empty((MAX_WORDS, 128), np.uint64)
        self._values = np.empty(128, dtype)
        # The batches of a row group of Parquet have one dictionary.
        self._last: tuple[pa.Array, Ints] | None = None

    def __call__(self, tokens: pa.Array) -> Ints:
        """(V,) integers of (V,) Arrow strings without nulls; not to be written to."""
        if (last := self._last) is not None and tokens.equals(last[0]):
            return last[1]
        words, is_short = _words_of(tokens)
        hashes = _hash(words)
        with self._lock:
            numbers = self._find(hashes, words, is_short)
            values = self._values[numbers]
            missing = np.flatnonzero(numbers < 0)
            if len(missing):
                values[missing] = self._compute(tokens.take(pa.array(missing)))
                self._remember(missing[is_short[missing]], hashes, words, values)
        self._last = tokens, values
        return values

    def _find(self, hashes: UInt64s, words: UInt64s, is_short: Bools) -> Ints:
        """(V,) numbers of the tokens, -1 where unknown."""
        places = self._first_slots(hashes)
        numbers = self._slots[places]
        is_other = np.zeros(len(hashes), bool)
        for mine, theirs in zip(words, self._words, strict=False):
            is_other |= theirs[numbers] != mine
        # The few whose first slot is another token's.
        rows = np.flatnonzero(is_other & (numbers >= 0))
        while len(rows):
            places[rows] = (places[rows] + 1) % len(self._slots)
            found = self._slots[places[rows]]
            numbers[rows] = found
            is_same = np.ones(len(rows), bool)
            for mine, theirs in zip(words, self._words, strict=False):
                is_same &= theirs[found] == mine[rows]
            rows = rows[(found >= 0) & ~is_same]
        return np.where(is_short, numbers, np.int32(-1))

    def _remember(self, rows: Ints, hashes: UInt64s, words: UInt64s, values: Ints) -> None:
        # One of those with equal hashes, which are most likely the same token.
        rows = rows[np.unique(hashes[rows], return_index=True)[1]]
        rows = rows[: self._max_tokens - self._num_tokens]
        numbers = np.arange(self._num_tokens, self._num_tokens + len(rows), dtype=np.int32)
        self._num_tokens += len(rows)
        if self._num_tokens > len(self._hashes):
            self._grow(2 * self._num_tokens)
        self._hashes[numbers] = hashes[rows]
        self._words[: len(words), numbers] = words[:, rows]
        self._values[numbers] = values[rows]
        self._place(numbers)

    def _grow(self, num_tokens: int) -> None:
        """Make room for so many tokens; three quarters of the slots stay free."""
        more = num_tokens - len(self._hashes)
        self._hashes = np.pad(self._hashes, (0, more))
        self._words = np.pad(self._words, ((0, 0), (0, more)))
        self._values = np.pad(self._values, (0, more))
        num_known = int((self._slots >= 0).sum())
        self._slots = np.full(1 << (4 * num_tokens - 1).bit_length(), -1, np.int32)
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


def _words_of(tokens: pa.Array) -> tuple[UInt64s, Bools]:
    """Texts as words of 8 bytes, (W, V), and which are short enough for that, (V,).

    A text is its length in one byte, its bytes, and zeros, so that different texts have different
    words, and a text has the same ones whatever W the longest needs.
    """
    offsets = np.frombuffer(tokens.buffers()[1], np.int32)[tokens.offset :][: len(tokens) + 1]
    lengths = np.diff(offsets)
    is_short = lengths < MAX_WORDS * _WORD_BYTES
    num_words = min(MAX_WORDS, int(lengths.max(initial=0)) // _WORD_BYTES + 1)
    data = np.frombuffer(tokens.buffers()[2] or b"", np.uint8)[: int(offsets[-1])]
    # One word before the data, for the byte before a text, and enough behind it.
    aligned = np.zeros(len(data) // _WORD_BYTES + 3 + num_words, np.uint64)
    aligned.view(np.uint8)[_WORD_BYTES:][: len(data)] = data
    starts = offsets[:-1] + (_WORD_BYTES - 1)
    firsts, shifts = starts // _WORD_BYTES, (8 * (starts % _WORD_BYTES)).astype(np.uint64)
    words = np.empty((num_words, len(tokens)), np.uint64)
    for k in range(num_words):
        # Shifted by 64 in two steps, for a shift by as many bits as there are is undefined.
        high = (aligned[firsts + (k + 1)] << np.uint64(1)) << (np.uint64(63) - shifts)
        num_bytes = np.minimum(np.maximum(lengths + (1 - k * _WORD_BYTES), 0), _WORD_BYTES)
        words[k] = ((aligned[firsts + k] >> shifts) | high) & _MASKS[num_bytes]
    words[0] &= ~np.uint64(0xFF)
    words[0] |= lengths.astype(np.uint8)
    return words, is_short


def _hash(words: UInt64s) -> UInt64s:
    """(V,) hashes of (W, V) words, good in their high bits; a word of 0 changes nothing."""
    hashes = np.zeros(words.shape[1], np.uint64)
    for factor, word in zip(_FACTORS, words, strict=False):
        mixed = word * factor
        mixed ^= mixed >> np.uint64(32)
        hashes += mixed
    return hashes * _FACTORS[0]
