"""Encoded rows, packed.

A row is packed into one line of int32: F ids, N numbers, label, weight, the floats bit for bit.
So a batch is one gather of lines, crosses into TensorFlow as one tensor, and a scratch file needs
no format. May import numpy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RowLayout(NamedTuple):
    """Widths of the parts of a packed row: F ids, N numbers, one label, one weight."""

    num_ids: int
    num_numbers: int

    @property
    def width(self) -> int:
        """Words of 32 bits in a row."""
        return self.num_ids + self.num_numbers + 2


def pack_rows(
    ids_BF: np.ndarray, numbers_BN: np.ndarray, label_B: np.ndarray, weight_B: np.ndarray
) -> np.ndarray:
    """Rows as (B, F + N + 2) int32, floats kept bit for bit."""
    num_ids, num_numbers = ids_BF.shape[1], numbers_BN.shape[1]
    rows = np.empty((len(label_B), RowLayout(num_ids, num_numbers).width), np.int32)
    rows[:, :num_ids] = ids_BF
    floats = rows.view(np.float32)
    floats[:, num_ids : num_ids + num_numbers] = numbers_BN
    floats[:, -2] = label_B
    floats[:, -1] = weight_B
    return rows


def labels_of(rows: np.ndarray) -> np.ndarray:
    """(B,) float32 labels of packed rows."""
    return rows.view(np.float32)[:, -2]


def weights_of(rows: np.ndarray) -> np.ndarray:
    """(B,) float32 weights of packed rows."""
    return rows.view(np.float32)[:, -1]
