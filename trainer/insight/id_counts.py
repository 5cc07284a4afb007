"""How many rows have each id of a feature, from encoded rows.

Says of kinds of column without counted texts (hours, hash buckets, booleans) how they are
distributed. Imports features, rows and row_stores. Axes: V ids, B rows, C columns of ids, S slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from trainer.columns import BagColumn, Boolean, Categorical, Datetime, Identity, MultiHot
from trainer.feature_names import FeatureNames
from trainer.features import FeatureEncoder, FeatureLayout
from trainer.row_stores import RowStore
from trainer.schema import Schema

# Of larger features nothing is counted, for the counts alone would be 8 MB each.
MOST_IDS = 1 << 20
# Rows that are looked at: evenly spread blocks, of streamed rows the first.
MOST_ROWS = 2_000_000
# Named counts of a feature: the most frequent ids and the rest.
MOST_NAMES = 1000
REST = "(rest)"

NamedCounts = dict[str, dict[str, int]]


def count_ids(layout: FeatureLayout, blocks: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """(V,) int64 rows of each id, by feature of at most `MOST_IDS` ids.

    Of a feature with several ids in a row each counts; rows without any count for id 0.

    Args:
        layout: of the features.
        blocks: (B, C or more) int32, the ids in the first columns.
    """
    placed = [(i, f) for i, f in layout.placed_ids if f.size <= MOST_IDS]
    counts = {feature.name: np.zeros(feature.size, np.int64) for _, feature in placed}
    for block in blocks:
        for i, feature in placed:
            ids_BS = block[:, i : i + feature.slots]
            found = np.bincount(ids_BS.reshape(-1), minlength=feature.size)
            if feature.slots > 1:
                found[0] = int((~ids_BS.any(axis=1)).sum())
            counts[feature.name] += found
    return counts


def some_blocks(store: RowStore) -> Iterator[np.ndarray]:
    """Blocks of packed rows, of about `MOST_ROWS` rows at most."""
    stride = max(1, store.num_rows // MOST_ROWS) if store.kind != "stream" else 1
    num_rows = 0
    for i, block in enumerate(store.in_order()):
        if i % stride == 0:
            yield block
            num_rows += len(block)
        if num_rows >= MOST_ROWS:
            return


def uncounted_ids(schema: Schema, encoder: FeatureEncoder, store: RowStore) -> NamedCounts:
    """Rows by name of the features whose raw columns the statistics do not cover."""
    features = uncounted_features(schema, encoder.layout)
    if not features:
        return {}
    counts = count_ids(encoder.layout, some_blocks(store))
    return named_counts(counts, features, FeatureNames(schema, encoder))


def uncounted_features(schema: Schema, layout: FeatureLayout) -> list[str]:
    """Features of ids whose raw column the statistics say nothing about."""
    names: list[str] = []
    for name, column in schema.columns.items():
        if isinstance(column, Datetime):
            names += [f"{name}.{part}" for part in column.parts]
        elif isinstance(column, Boolean | Identity | Categorical | BagColumn):
            has_counts = isinstance(column, Categorical | MultiHot) and column.needs_counts
            names += [] if has_counts else [name]
    present = {feature.name for feature in layout.ids}
    return [name for name in names if name in present]


def named_counts(
    counts: Mapping[str, np.ndarray], features: Iterable[str], names: FeatureNames
) -> NamedCounts:
    """Rows by name of the `MOST_NAMES` most frequent ids of features, and of the rest."""
    found: NamedCounts = {}
    for feature in features:
        if feature not in counts:
            continue
        of_ids = counts[feature]
        order = np.argsort(-of_ids, kind="stable")
        ids = [int(i) for i in order[:MOST_NAMES] if of_ids[i]]
        named = dict(zip(names.of(feature, ids), of_ids[ids].tolist(), strict=True))
        rest = int(of_ids[order[MOST_NAMES:]].sum())
        found[feature] = named | ({REST: rest} if rest else {})
    return found
