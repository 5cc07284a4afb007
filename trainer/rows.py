"""Encoded rows, packed.

A row is packed into one line of int32: F ids, N numbers, L labels, weight, the floats bit for bit.
So a batch is one gather of lines, crosses into TensorFlow as one tensor, and a scratch file needs
no format. May import numpy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class RowLayout(NamedTuple):
    """Widths of the parts of a packed row: F ids, N numbers, L labels, one weight."""

    num_ids: int
    num_numbers: int
    num_labels: int = 1

    @property
    def width(self) -> int:
        """Words of 32 bits in a row."""
        return self.num_ids + self.num_numbers + self.num_labels + 1


def pack_rows(
    ids_BF: np.ndarray, numbers_BN: np.ndarray, labels_BL: np.ndarray, weight_B: np.ndarray
) -> np.ndarray:
    """Rows as (B, F + N + L + 1) int32, floats kept bit for bit."""
    layout = RowLayout(ids_BF.shape[1], numbers_BN.shape[1], labels_BL.shape[1])
    num_features = layout.num_ids + layout.num_numbers
    rows = np.empty((len(labels_BL), layout.width), np.int32)
    rows[:, : layout.num_ids] = ids_BF
    floats = rows.view(np.float32)
    floats[:, layout.num_ids : num_features] = numbers_BN
    floats[:, num_features:-1] = labels_BL
    floats[:, -1] = weight_B
    return rows


def labels_of(rows: np.ndarray, num_labels: int = 1) -> np.ndarray:
    """(B, L) float32 labels of packed rows."""
    return rows.view(np.float32)[:, -1 - num_labels : -1]


def weights_of(rows: np.ndarray) -> np.ndarray:
    """(B,) float32 weights of packed rows."""
    return rows.view(np.float32)[:, -1]
