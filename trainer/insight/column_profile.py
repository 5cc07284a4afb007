"""What a column holds, from its sampled texts: distinct values, missing ones, numbers.

Imports cells, config, numpy and Arrow; must not decide what the column is for.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trainer.cells import ReadColumn, convert_text
from trainer.data_config import DataConfig

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEFAULT_NULLS: tuple[str, ...] = DataConfig().null_values
# Besides those that the trainer takes for missing by itself; counted as such among numbers only,
# since among texts they may be a category like any other.
_NULL_SPELLING = re.compile(
    r"[?*.]|--?|#?n/?a|#null!|\\n|nil|nan|none|null|missing|unknown|unk|undefined"
    r"|not (?:available|applicable)",
    re.I,
)
# A column of numbers may have so many other texts, of so few kinds, before it counts as text.
MOST_STRAY_SHARE, MOST_STRAY_TEXTS = 0.01, 20


@dataclass(frozen=True)
class ColumnProfile:
    """A column of N sampled rows with K distinct values.

    Attributes:
        codes: (N,) place of the value in `tokens`, -1 where it is missing.
        tokens: the K texts, in the order of their first row.
        counts: (K,) rows of each.
        numbers: (K,) values of the tokens; None where the column is no number.
        null_texts: texts besides the trainer's default ones that are counted as missing.
        stray_texts: of these, the ones that are no known spelling of a missing value.
    """

    name: str
    codes: Ints
    tokens: tuple[str, ...]
    counts: Ints
    numbers: Floats | None
    null_texts: tuple[str, ...] = ()
    stray_texts: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """Rows, missing ones included."""
        return len(self.codes)

    @property
    def num_present(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum())

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value."""
        return 1.0 - self.num_present / max(1, self.num_rows)

    @property
    def distinct(self) -> int:
        """Distinct values in the sample."""
        return len(self.tokens)

    @functools.cached_property
    def is_whole(self) -> bool:
        """Whether it holds numbers without fractions only."""
        return self.numbers is not None and bool((self.numbers == np.floor(self.numbers)).all())

    @functools.cached_property
    def values(self) -> Floats:
        """(N,) numbers, NaN where missing.

        Raises:
            ValueError: the column is no number.
        """
        if self.numbers is None:
            raise ValueError(f"{self.name} is no number")
        return np.append(self.numbers, np.nan)[self.codes]

    def estimate_distinct(self, total_rows: int) -> int:
        """Distinct values in all rows of the table.

        sqrt(N / n) values for each that was seen once, one for any other. Source: Charikar et al.
        2000, "Towards estimation error guarantees for distinct values", the GEE estimator.
        """
        once = int((self.counts == 1).sum())
        scale = math.sqrt(max(1.0, total_rows / max(1, self.num_rows)))
        return min(total_rows, round(self.distinct - once + once * scale))


def profile_column(name: str, texts: pa.Array, *, has_spelled_nulls: bool = True) -> ColumnProfile:
    """The profile of (N,) strings.

    Args:
        name: of the column.
        texts: null and "" are missing.
        has_spelled_nulls: whether a text can stand for a missing value; in Parquet none does.
    """
    encoded = texts.dictionary_encode()
    tokens = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    default = DEFAULT_NULLS if has_spelled_nulls else ("",)
    counts = np.bincount(codes[codes >= 0], minlength=len(tokens))
    is_null = np.array([token in default for token in tokens], bool)
    numbers, is_number = _numbers(tokens, is_null)
    null_texts: list[str] = []
    stray: list[str] = []
    is_other = ~is_number & ~is_null
    if is_number.any() and is_other.any() and has_spelled_nulls:
        null_texts, stray = _null_texts(tokens, counts, is_number, is_other)
        is_null |= np.isin(np.arange(len(tokens)), [tokens.index(t) for t in null_texts])
    is_numeric = bool(is_number.any()) and bool((is_number | is_null).all())
    if not is_numeric:
        # Among texts only the trainer's own spellings mean missing.
        is_null = np.array([token in default for token in tokens], bool)
        null_texts, stray = [], []
    kept = np.flatnonzero(~is_null)
    places = np.full(len(tokens) + 1, -1)
    places[kept] = np.arange(len(kept))
    return ColumnProfile(
        name=name,
        codes=places[codes],
        tokens=tuple(tokens[i] for i in kept),
        counts=counts[kept],
        numbers=numbers[kept] if is_numeric else None,
        null_texts=tuple(null_texts),
        stray_texts=tuple(stray),
    )


def _numbers(tokens: list[str], is_null: Bools) -> tuple[Floats, Bools]:
    """Values of the tokens as the trainer reads them, NaN where it would not."""
    numbers = np.full(len(tokens), np.nan)
    places = np.flatnonzero(~is_null)
    # Of a column of texts a look at some is enough, for the check of each takes a microsecond.
    if len(places) > 4000:
        some = places[:: len(places) // 1000]
        if np.isfinite(_convert([tokens[i] for i in some])).mean() < 0.5:
            return numbers, np.zeros(len(tokens), bool)
    numbers[places] = _convert([tokens[i] for i in places])
    return numbers, np.isfinite(numbers)


def _convert(tokens: list[str]) -> Floats:
    texts = pa.array(tokens, pa.string())
    found, _ = convert_text(texts, ReadColumn("", "float"), ())
    is_number = np.isfinite(found.to_numpy(zero_copy_only=False).astype(np.float64))
    # As doubles, since float32 would make one of two ids or times that lie side by side.
    if is_number.all():
        with contextlib.suppress(pa.ArrowInvalid):
            trimmed = pc.utf8_trim(texts, characters=" \t")
            return np.asarray(trimmed.cast(pa.float64()).to_numpy(zero_copy_only=False))
    pairs = zip(tokens, is_number, strict=True)
    return np.array([float(text) if fits else np.nan for text, fits in pairs], np.float64)


def _null_texts(
    tokens: list[str], counts: Ints, is_number: Bools, is_other: Bools
) -> tuple[list[str], list[str]]:
    """Texts among numbers that mean missing, and which of them are no known spelling."""
    others = [tokens[i] for i in np.flatnonzero(is_other)]
    stray = [text for text in others if not _NULL_SPELLING.fullmatch(text.strip())]
    is_stray = np.array([token in set(stray) for token in tokens], bool)
    num_numbers = int(counts[is_number].sum())
    if not stray:
        return others, []
    is_rare = counts[is_stray].sum() <= MOST_STRAY_SHARE * num_numbers
    return (others, stray) if is_rare and len(stray) <= MOST_STRAY_TEXTS else ([], [])
