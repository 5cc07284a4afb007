"""What a decision about one column needs to know of the table. Imports held_out and numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.insight.held_out import Task


@dataclass(frozen=True)
class TableFacts:
    """What the choice for one column needs to know of the table.

    Attributes:
        target: (N,) of the sampled rows, without missing values.
        total_rows: of the table, perhaps estimated.
        new_values: columns whose values in the validation files are mostly not among the sampled
            ones, as the date is where whole days are held out.
    """

    target: npt.NDArray[np.float64]
    task: Task
    total_rows: int
    new_values: frozenset[str] = frozenset()
    tests: int = 1  # columns that are asked whether their numbers are codes

    @property
    def least_rows(self) -> float:
        """Sampled rows that a token needs to enter the trainer's vocabulary.

        Its min_frequency auto, max(10, rows / 5000), at most 1% of the rows, at the sample's scale.
        """
        share = len(self.target) / self.total_rows
        wanted = min(max(10, self.total_rows / 5000), self.total_rows / 100) * share
        # Of a value that a sample has once, nothing is known of how often it comes.
        return wanted if share == 1 else max(2.0, wanted)

    @property
    def num_buckets(self) -> int:
        """Buckets that the trainer gives a number: 2^floor(log2(rows / 200)) within 16..128."""
        return min(128, max(16, 2 ** math.floor(math.log2(max(1.0, self.total_rows / 200)))))
