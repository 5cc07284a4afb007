"""What the tables of a trained model say: the strongest weights by value, and maps of embeddings.

Axes: V ids of a feature, N of them with names, E embedding width, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainer.errors import UserError, nearest
from trainer.feature_names import FeatureNames
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.id_counts import count_ids, some_blocks
from trainer.program import Program
from trainer.trained_embeddings import LearnedRows, LearnedTables, TrainedEmbeddings

# Weights of either sign; features with a map; values on it, of which each may be a neighbor; values
# whose neighbors are told, and how many of them.
TOP_WEIGHTS, MOST_MAPS, MOST_VALUES, MOST_ASKED, NUM_NEIGHBORS = 25, 20, 200, 10, 5


class Neighbor(NamedTuple):
    """A value of the same column, and the cosine between the two embeddings."""

    name: str
    similarity: float


def produce(evidence: Evidence) -> Sections:
    """`wide_weights` and `embedding_map`."""
    datasets = evidence.datasets
    tables = LearnedTables(datasets.encoder.layout, table_variables(evidence.program))
    names = FeatureNames(evidence.config, datasets.encoder)
    counts = count_ids(datasets.encoder.layout, some_blocks(datasets.stores["train"]))
    sections: Sections = {}
    if tables.wide_weights:
        classes = getattr(evidence.program.objective.head, "classes", ())
        sections["wide_weights"] = wide_weights(tables.wide_weights, names, counts, classes)
    maps: dict[str, dict[str, Any]] = {}
    for feature, rows in tables.embeddings.items():
        if len(maps) < MOST_MAPS and feature in counts and rows.shape[1] > 1:
            found = embedding_map(feature, rows, names, counts[feature])
            maps |= {feature: found} if found else {}
    return sections | ({"embedding_map": maps} if maps else {})


def table_variables(program: Program) -> dict[str, np.ndarray]:
    """Tables of the present weights, and the bias of the wide part, for `LearnedTables`."""
    variables = [*(p.variable for p in program.parameters), *program.model.frozen]
    named = {variable.name.split(":")[0]: variable for variable in variables}
    return {
        name: tf.convert_to_tensor(variable).numpy()
        for name, variable in named.items()
        if name.endswith("/table") or name == "wide/bias"
    }


def wide_weights(
    tables: Mapping[str, np.ndarray],
    names: FeatureNames,
    counts: Mapping[str, np.ndarray],
    classes: Sequence[str] = (),
) -> dict[str, list[dict[str, Any]]]:
    """The strongest weights: {positive, negative: [{feature, value, weight, rows}]}.

    Args:
        tables: (V, O) by feature; with several outputs an item has the `class` of its own.
        names: of ids.
        counts: (V,) training rows of each id, by feature, where they are known.
        classes: O names, where there are several outputs.
    """
    candidates: list[tuple[float, str, int, int]] = []
    for feature, weights in tables.items():
        num_outputs = weights.shape[1]
        flat = weights.reshape(-1)
        order = np.argsort(flat, kind="stable")
        for place in {*order[:TOP_WEIGHTS].tolist(), *order[-TOP_WEIGHTS:].tolist()}:
            candidates.append((float(flat[place]), feature, *divmod(place, num_outputs)))

    def entry(weight: float, feature: str, i: int, output: int) -> dict[str, Any]:
        found: dict[str, Any] = {"feature": feature, "value": names.of(feature, [i])[0]}
        found |= {"weight": weight, "rows": None}
        if feature in counts:
            found["rows"] = int(counts[feature][i])
        return found | ({"class": classes[output]} if tables[feature].shape[1] > 1 else {})

    candidates.sort(key=lambda found: (-found[0], found[1:]))
    positive = [c for c in candidates if c[0] > 0][:TOP_WEIGHTS]
    negative = [c for c in reversed(candidates) if c[0] < 0][:TOP_WEIGHTS]
    return {
        "positive": [entry(*found) for found in positive],
        "negative": [entry(*found) for found in negative],
    }


def embedding_map(
    feature: str, rows: np.ndarray, names: FeatureNames, counts: np.ndarray
) -> dict[str, Any] | None:
    """The most frequent values of a feature in two dimensions, and the nearest of some of them.

    The dimensions are the first two principal components of the embeddings of these values; of each
    the largest coordinate is positive.

    Args:
        feature: its name.
        rows: (V, E) embeddings.
        names: of ids.
        counts: (V,) training rows of each id.

    Returns:
        {names, x, y, rows, neighbors}; None where fewer than three values occur.
    """
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    ids = [int(i) for i in order if counts[i]]
    if len(ids) < 3:
        return None
    values = LearnedRows(names.of(feature, ids), rows[ids])
    x, y = principal_components(values.rows)
    return {
        "names": list(values.names),
        "x": x,
        "y": y,
        "rows": counts[ids],
        "neighbors": {
            name: [n._asdict() for n in neighbors(values, i)]
            for i, name in enumerate(values.names[:MOST_ASKED])
        },
    }


def principal_components(rows_NE: np.ndarray) -> np.ndarray:
    """(2, N) float64 coordinates of rows along the two directions of the largest variance."""
    centred = rows_NE.astype(np.float64) - rows_NE.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    found = (centred @ directions[:2].T).T
    found = np.concatenate([found, np.zeros((2 - len(found), len(centred)))])
    largest = np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, np.newaxis], axis=1)
    return np.asarray(np.where(largest < 0, -found, found))


def neighbors(
    values: LearnedRows, place: int, num_neighbors: int = NUM_NEIGHBORS
) -> list[Neighbor]:
    """The values whose embeddings have the largest cosine with that of one, itself left out."""
    rows = values.rows.astype(np.float64)
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    cosines = rows @ rows[place] / (lengths * lengths[place])
    order = [int(i) for i in np.argsort(-cosines, kind="stable") if i != place]
    return [Neighbor(values.names[i], float(cosines[i])) for i in order[:num_neighbors]]


def find_neighbors(path: str, column: str, value: str, num_neighbors: int) -> list[Neighbor]:
    """The nearest values of a value in an exported model.

    Args:
        path: folder of a complete run, or of an exported model; local, gs:// or /gcs/.
        column: feature with an embedding: a column, a date part, a cross.
        value: as it is in the data.
        num_neighbors: how many at most.

    Raises:
        UserError: there is no such model, column or value.
    """
    embeddings = TrainedEmbeddings(path).embeddings()
    if column not in embeddings:
        raise UserError(
            f"--column: the model in {path} has no embedding of {column!r}"
            f"{nearest(column, embeddings)}; it has {', '.join(embeddings) or 'none'}"
        )
    values = embeddings[column]
    if value not in values.names:
        raise UserError(
            f"--value: {column} has no {value!r} of its own{nearest(value, values.names)}; what "
            "is rare in training shares the row (other)"
        )
    return neighbors(values, values.names.index(value), num_neighbors)
