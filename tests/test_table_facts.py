"""trainer.init.table_facts: bounds that are the trainer's own."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.columns import Categorical
from trainer.init.table_facts import TableFacts
from trainer.number_encoders import auto_buckets
from trainer.statistics import StatisticsBuilder
from trainer.vocabularies import choose_vocabulary


@pytest.mark.parametrize("num_rows", [300, 2000, 60_000])
def test_bounds_are_the_trainers(num_rows):
    """A token of just so many rows enters the trainer's vocabulary, one row less does not."""
    known = TableFacts(np.zeros(num_rows), "regression", num_rows)
    least = int(np.ceil(known.least_rows))
    tokens = ["enters"] * least + ["stays out"] * (least - 1)
    tokens += [f"x{i}" for i in range(num_rows - len(tokens))]
    builder = StatisticsBuilder([], ["c"], "y")
    columns = {"c": pa.array(tokens), "y": np.zeros(num_rows)}
    builder.add(columns, np.arange(num_rows, dtype=np.uint64))
    assert choose_vocabulary({"c": Categorical()}, builder.finalize()) == ["enters"]
    assert known.num_buckets == auto_buckets(num_rows)
