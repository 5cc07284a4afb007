"""Which rows of a file set belong to which part: shares by hash, folds, negatives that are kept.

A row's share depends on its text or on its place in its file alone: not on a seed, on the other
rows, or on how the files are read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.data_config import DataConfig
from trainer.data_files import Part
from trainer.errors import UserError
from trainer.reader import Block
from trainer.sampling import splitmix64

# Another hash than the split's, or the shares would not be kept alike.
_NEGATIVES = np.uint64(0x6E65676174697665)


class Split(NamedTuple):
    """Share of the rows by hash: those whose bucket is in [low, high) of `modulus` buckets.

    gap: buckets within that belong to another share, [low, high).
    """

    column: str | None
    low: int
    high: int
    modulus: int
    gap: tuple[int, int] = (0, 0)

    def mask(self, block: Block) -> np.ndarray:
        """(B,) bool: the rows of the block that belong to this share.

        The bucket is MOD(ABS(FARM_FINGERPRINT(column)), modulus), as BigQuery computes it; without
        a column, a hash of the row's place in its file.
        """
        if self.column is None:
            buckets = (splitmix64(row_ids(block)) % np.uint64(self.modulus)).astype(np.int64)
        else:
            buckets = fingerprint_buckets(block.columns[self.column], self.modulus)
        is_within = (buckets >= self.low) & (buckets < self.high)
        return is_within & ~((buckets >= self.gap[0]) & (buckets < self.gap[1]))


def fingerprint_buckets(texts: pa.Array, modulus: int) -> np.ndarray:
    """(B,) int64 MOD(ABS(FARM_FINGERPRINT(text)), modulus); null counts as ''.

    Source: BigQuery's FARM_FINGERPRINT is the signed 64-bit FarmHash Fingerprint64, which is what
    tf.fingerprint gives in little-endian bytes.
    """
    objects = np.asarray(pc.fill_null(texts, "").to_numpy(zero_copy_only=False), object)
    prints = tf.fingerprint(tf.constant(objects, tf.string)).numpy()
    signed = np.ascontiguousarray(prints).view("<i8").reshape(-1)
    # ABS of the smallest int64 overflows in BigQuery too; as uint64 it is its magnitude.
    return (np.abs(signed).view(np.uint64) % np.uint64(modulus)).astype(np.int64)


def splits_of(data: DataConfig) -> dict[Part, Split]:
    """Shares of the training files: train first, then validation, then test; {} if not split.

    Of folds, the one that is held out lies where its number says, and training has the rest.

    Raises:
        UserError: data.folds without the fold that is meant.
    """
    if not (data.validation_fraction or data.test_fraction or data.folds):
        return {}
    modulus = data.split_modulus
    test_from = modulus - round(data.test_fraction * modulus)
    if data.folds:
        return _fold_of(data, test_from)
    validation_from = test_from - round(data.validation_fraction * modulus)
    bounds: dict[Part, tuple[int, int]] = {"train": (0, validation_from)}
    if data.validation_fraction:
        bounds["validation"] = (validation_from, test_from)
    if data.test_fraction:
        bounds["test"] = (test_from, modulus)
    return {part: Split(data.split_column, *ends, modulus) for part, ends in bounds.items()}


def _fold_of(data: DataConfig, test_from: int) -> dict[Part, Split]:
    if not data.fold:
        raise UserError(
            "data.folds is for trainer.task and trainer.folds.cross_validate, which train each "
            "fold in turn; data.fold names one"
        )
    column, modulus = data.split_column, data.split_modulus
    ends = ((data.fold - 1) * test_from // data.folds, data.fold * test_from // data.folds)
    shares: dict[Part, Split] = {
        "train": Split(column, 0, test_from, modulus, gap=ends),
        "validation": Split(column, *ends, modulus),
    }
    if data.test_fraction:
        shares["test"] = Split(column, test_from, modulus, modulus)
    return shares


def row_ids(block: Block) -> np.ndarray:
    """(B,) uint64 that name each row of a data set: the file's number, then the row's in it."""
    return (np.uint64(block.file_index) << np.uint64(40)) + block.row_numbers.astype(np.uint64)


class KeptNegatives(NamedTuple):
    """The negatives of a binary task that are trained on: a share `rate`, each for 1 / rate."""

    rate: float

    def mask(self, block: Block, labels_B: np.ndarray) -> np.ndarray:
        """(B,) bool: all rows whose label is not 0, and of the others a share by hash."""
        if self.rate == 1:
            return np.ones(block.num_rows, bool)
        hashes = splitmix64(row_ids(block) ^ _NEGATIVES)
        is_kept: np.ndarray = hashes < np.uint64(self.rate * 2.0**64)
        return is_kept | (labels_B != 0)

    def factor(self, labels_B: np.ndarray) -> np.ndarray:
        """(B,) float32: what the rows that are kept weigh more."""
        return np.where(labels_B == 0, np.float32(1 / self.rate), np.float32(1))

    def true_mean(self, mean: float) -> float:
        """The mean of 0/1 labels of all rows, where that of the rows that are kept is `mean`.

        >>> KeptNegatives(0.1).true_mean(0.5)  # 1 of 11
        0.09090909090909091
        """
        return mean / (mean + (1 - mean) / self.rate)
