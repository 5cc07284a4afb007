"""trainer.insight.id_counts: rows of each id."""

import numpy as np
import pytest

from trainer.config import parse_config
from trainer.encoders import IdFeature
from trainer.features import FeatureLayout
from trainer.insight import id_counts
from trainer.insight.id_counts import REST, count_ids, named_counts, some_blocks
from trainer.row_stores import BlockStore

LAYOUT = FeatureLayout(
    ids=(
        IdFeature("a", 4, wide=True, embedding_dim=0),
        IdFeature("bag", 3, wide=True, embedding_dim=0, slots=2),
        IdFeature("huge", id_counts.MOST_IDS + 1, wide=True, embedding_dim=0),
    ),
    numbers=(),
)


def test_ids_are_counted_over_blocks_and_slots():
    blocks = [
        np.array([[1, 0, 0, 9, -1], [3, 2, 0, 9, -1]], np.int32),
        np.array([[1, 1, 2, 9, -1]], np.int32),
    ]
    counts = count_ids(LAYOUT, blocks)
    assert list(counts) == ["a", "bag"]
    assert counts["a"].tolist() == [0, 2, 0, 1]
    # One row without a value; the second slot of the other row is no value.
    assert counts["bag"].tolist() == [1, 1, 2]


def test_blocks_are_taken_evenly_from_a_large_store(monkeypatch):
    monkeypatch.setattr(id_counts, "MOST_ROWS", 30)
    blocks = [np.full((10, 1), i) for i in range(10)]
    store = BlockStore(blocks, [10] * 10, "memory")
    assert [int(block[0, 0]) for block in some_blocks(store)] == [0, 3, 6]


def test_the_most_frequent_ids_are_named_and_the_rest_is_one(monkeypatch):
    monkeypatch.setattr(id_counts, "MOST_NAMES", 2)

    class Names:
        def of(self, feature, ids):
            return tuple(f"{feature}{i}" for i in ids)

    found = named_counts({"a": np.array([5, 0, 7, 1])}, ["a", "unknown"], Names())
    assert found == {"a": {"a2": 7, "a0": 5, REST: 1}}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"kind": "datetime", "parts": ["hour", "year"]}, ["c.hour", "c.year"]),
        ({"kind": "boolean"}, ["c"]),
        ({"kind": "categorical"}, []),
        ({"kind": "categorical", "hash_buckets": 7}, ["c"]),
        ({"kind": "multi_hot", "vocabulary": ["x"]}, ["c"]),
        ({"kind": "numeric"}, []),
    ],
)
def test_features_without_counted_texts_are_known(column, expected):
    schema = parse_config(
        {"columns": {"c": column}, "label": {"column": "y", "task": "regression"}}, "test"
    )
    layout = FeatureLayout(
        ids=tuple(IdFeature(n, 2, wide=True, embedding_dim=0) for n in ("c", "c.hour", "c.year")),
        numbers=(),
    )
    found = id_counts.uncounted_features(schema, layout)
    assert sorted(found) == sorted(expected)
