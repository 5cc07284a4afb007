"""A second set of weights: those of the best evaluation, which are exported.

Imports lookups and optimizers; must not know the loop that decides what is best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.lookups import Lookup, read_rows, write_rows
from trainer.optimizers import Parameter, Untracked

# Copying a row by its number takes as long as copying so many in a row.
_ROWS_PER_NUMBER = 8


class KeptWeights(tf.Module):
    """A copy of all weights.

    Of large tables only the rows that steps have moved since the last copy are copied again: 50
    million rows of width 8 would take longer than the 64 steps between two evaluations.
    """

    def __init__(
        self, parameters: Sequence[Parameter], sparse: Mapping[int, Lookup] | None = None
    ) -> None:
        """Start from the present values.

        Args:
            parameters: of the model.
            sparse: tables of which every step reports its ids to `note`, by place.
        """
        super().__init__(name="kept_weights")
        self._weights = Untracked(tuple(p.variable for p in parameters))
        self.copies = [tf.Variable(w, trainable=False) for w in self._weights.items]
        # At first nothing is known: a checkpoint may have been restored.
        self._moved = Untracked(
            tuple(
                (i, lookup, np.ones(lookup.table.variable.shape[0], bool))
                for i, lookup in (sparse or {}).items()
            )
        )
        self._next_step: int | None = None

    def note(self, ids: np.ndarray, first_step: int) -> None:
        """Remember which rows steps have moved.

        Args:
            ids: int32 of all id features, (..., F), of steps that follow each other.
            first_step: steps done before. Where it is not the end of the steps noted last,
                something else has happened, and everything counts as moved.
        """
        for _, lookup, moved in self._moved.items:
            if first_step != self._next_step:
                moved[:] = True
            moved[ids[..., list(lookup.columns)] + lookup.offsets] = True
        self._next_step = first_step + len(ids)

    def capture(self) -> None:
        """Copy the model's weights."""
        whole = set(range(len(self.copies)))
        for i, _, moved in self._moved.items:
            if np.count_nonzero(moved) * _ROWS_PER_NUMBER < len(moved):
                ids = tf.constant(np.flatnonzero(moved), tf.int32)
                write_rows(ids, read_rows(ids, [self._weights.items[i]]), [self.copies[i]])
                whole.remove(i)
            moved[:] = False
        self._capture_whole(tuple(whole))

    @tf.function(autograph=False)
    def _capture_whole(self, places: tuple[int, ...]) -> None:
        for i in places:
            self.copies[i].assign(self._weights.items[i])

    @tf.function(autograph=False)
    def restore(self) -> None:
        """Give the model the copied weights."""
        for weight, copy in zip(self._weights.items, self.copies, strict=True):
            weight.assign(copy)
