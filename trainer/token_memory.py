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
_MAX_BYTES = MAX_WORDS * _WORD_BYTES
# Odd numbers without a pattern, one for each word.
_FACTORS = splitmix64(np.arange(MAX_WORDS, dtype=np.uint64)) | np.uint64(1)
# _MASKS[k, n] keeps of the k-th word what belongs to a text of n bytes, behind a first byte that is
# left free.
_MASKS = np.array(
    [
        [
            (1 << 8 * min(max(n + 1 - _WORD_BYTES * k, 0), _WORD_BYTES)) - 1
            for n in range(_MAX_BYTES)
        ]
        for k in range(MAX_WORDS)
    ],
    np.uint64,
)
_MASKS[0] &= ~np.uint64(0xFF)


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
        self._words = np.zeros((MAX_WORDS, 128), np.uint64)
        self._values = np.empty(128, dtype)
        # The batches of a row group of Parquet have one dictionary.
        self._last: tuple[pa.Array, Ints] | None = None

    def __call__(self, texts: pa.Array) -> Ints:
        """(B,) integers of (B,) Arrow strings; null is what "" is, or anything."""
        words, lengths = _words_of(texts)
        hashes = _hash(words)
        with self._lock:
            numbers = self._find(hashes, words, lengths)
            values = self._values.take(numbers)
            missing = np.flatnonzero(numbers < 0)
            if len(missing):
                values[missing] = self._learn(texts.take(pa.array(missing)))
        return values

    def of_dictionary(self, tokens: pa.Array) -> Ints:
        """The same of the tokens of a dictionary, which may come again; not to be written to."""
        if (last := self._last) is not None and tokens.equals(last[0]):
            return last[1]
        values = self(tokens)
        self._last = tokens, values
        return values

    def _find(self, hashes: UInt64s, words: UInt64s, lengths: Ints) -> Ints:
        """(B,) numbers of the texts, -1 where unknown."""
        # `take` reads at half the cost of brackets.
        places = self._first_slots(hashes)
        numbers = self._slots.take(places)
        is_other = np.zeros(len(hashes), bool)
        for mine, theirs in zip(words, self._words, strict=False):
            is_other |= theirs.take(numbers) != mine
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
        numbers[lengths >= _MAX_BYTES] = -1
        return numbers

    def _learn(self, texts: pa.Array) -> Ints:
        """(B,) integers of texts that are not known, of which many may be the same."""
        encoded = texts.fill_null("").dictionary_encode()
        values = self._compute(encoded.dictionary)
        words, lengths = _words_of(encoded.dictionary)
        rows = np.flatnonzero(lengths < _MAX_BYTES)[: self._max_tokens - self._num_tokens]
        numbers = np.arange(self._num_tokens, self._num_tokens + len(rows), dtype=np.int32)
        self._num_tokens += len(rows)
        if self._num_tokens > len(self._hashes):
            self._grow(2 * self._num_tokens)
        self._hashes[numbers] = _hash(words)[rows]
        self._words[: len(words), numbers] = words[:, rows]
        self._values[numbers] = values[rows]
        self._place(numbers)
        return values[encoded.indices.to_numpy()]

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


def _words_of(texts: pa.Array) -> tuple[UInt64s, Ints]:
    """Texts as words of 8 bytes, (W, B), and how many bytes they have, (B,) int64.

    A text is its length in one byte, its bytes, and zeros, so that different texts have different
    words, and a text has the same ones whatever W the longest needs. Only texts of less than
    MAX_WORDS words have all of theirs.
    """
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    # Of the width of an index, or each of the gathers below would widen it.
    ends = offsets.astype(np.int64)
    lengths = np.diff(ends)
    longest = int(lengths.max(initial=0))
    num_words = min(MAX_WORDS, longest // _WORD_BYTES + 1)
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    # One word before the data, for the byte before a text, and enough behind it.
    aligned = np.zeros(len(data) // _WORD_BYTES + 3 + num_words, np.uint64)
    aligned.view(np.uint8)[_WORD_BYTES:][: len(data)] = data
    starts = ends[:-1] + (_WORD_BYTES - 1 - ends[0])
    shifts = ((starts & 7) << 3).view(np.uint64)
    # Shifted by 64 in two steps, for a shift by as many bits as there are is undefined.
    rests = shifts ^ np.uint64(63)
    starts >>= 3
    sizes = np.minimum(lengths, _MAX_BYTES - 1) if longest >= _MAX_BYTES else lengths
    words = np.empty((num_words, len(texts)), np.uint64)
    low = aligned.take(starts)
    for k, word in enumerate(words):
        high = aligned[k + 1 :].take(starts)
        np.left_shift(high, np.uint64(1), out=word)
        word <<= rests
        low >>= shifts
        word |= low
        word &= _MASKS[k].take(sizes)
        low = high
    words[0] |= sizes.view(np.uint64)
    return words, lengths


def _hash(words: UInt64s) -> UInt64s:
    """(V,) hashes of (W, V) words, good in their high bits; a word of 0 changes nothing."""
    hashes = np.zeros(words.shape[1], np.uint64)
    for factor, word in zip(_FACTORS, words, strict=False):
        mixed = word * factor
        mixed ^= mixed >> np.uint64(32)
        hashes += mixed
    hashes *= _FACTORS[0]
    return hashes
