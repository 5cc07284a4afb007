"""Which raw columns the model leans on, and what it makes of their values.

Both ask the trained model for predictions of held-out rows in which one column was changed. Raw
columns are changed, not features: a datetime goes with all its parts, a coordinate with all its
distances. Axes: R rows, O outputs, G grid points.

Source: Breiman 2001, "Random Forests", section 10; Fisher et al. 2019, "All models are wrong, but
many are useful"; Friedman 2001, "Greedy function approximation", section 8.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.features import FeatureEncoder
from trainer.insight.held_out_rows import RawRows
from trainer.metrics import Metrics
from trainer.objective import Objective
from trainer.program import Program

# Rows times columns of all predictions: 1.4 us each (2-core AMD EPYC VM, November 2026), so 6 s for
# shuffled columns and 3 s for partial dependences.
MOST_CELLS, _GRID_CELLS = 4_000_000, 2_000_000
_MOST_REPETITIONS = 5
# Of a partial dependence: columns, points, rows that every point is asked for.
TOP_COLUMNS, GRID_POINTS, _GRID_ROWS, _LEAST_GRID_ROWS = 6, 16, 512, 100

Columns = Mapping[str, pa.Array]
# Some columns of known rows, replaced, to (R, O) float32 logits.
Predict = Callable[[Columns], np.ndarray]
# Rows to what predicts once some of their columns are replaced.
Predictor = Callable[[Columns], Predict]


class _Noted(dict[str, pa.Array]):
    """Columns that note which of them are read."""

    def __init__(self, columns: Columns):
        super().__init__(columns)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> pa.Array:
        self.read.add(name)
        return super().__getitem__(name)


def predictor(program: Program, encoder: FeatureEncoder) -> Predictor:
    """Predictions by the program's present weights.

    What has not been replaced is decoded once: splitting 2,048 texts into words takes 6 ms, as
    much as the rest of a prediction, and a table may have many such columns (2-core AMD EPYC VM,
    November 2026).
    """
    layout = encoder.layout
    model = tf.function(
        program.model.__call__,
        # Of any number of rows: it is traced once, which takes 0.6 s of 23 columns.
        input_signature=[
            tf.TensorSpec([None, layout.num_ids], tf.int32),
            tf.TensorSpec([None, len(layout.numbers)], tf.float32),
        ],
        autograph=False,
    )

    def of_rows(columns: Columns) -> Predict:
        base: dict[str, Any] = {}
        readers = []
        for one in encoder.encoders:
            noted = _Noted(columns)
            base |= one.decode_block(noted)
            readers.append((one, noted.read))

        def predict(replaced: Columns) -> np.ndarray:
            decoded = dict(base)
            for one, read in readers:
                if not read.isdisjoint(replaced):
                    decoded |= one.decode_block({**columns, **replaced})
            encoded = encoder.encode_decoded(decoded)
            answer = model(tf.constant(encoded.ids), tf.constant(encoded.numbers))
            return np.asarray(answer)

        return predict

    return of_rows


def permutation_importance(
    rows: RawRows,
    names: Sequence[str],
    *,
    predictor: Predictor,
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], Metrics],
    monitor: str,
    maximize: bool,
    seed: int,
) -> list[dict[str, Any]]:
    """How much worse the metric is once a column is shuffled, the worst first.

    Args:
        rows: held-out rows.
        names: raw columns of features.
        predictor: see there.
        measure: labels, logits and weight to metrics.
        monitor: of these, the one that counts.
        maximize: whether a larger one is better.
        seed: of the shuffles.

    Returns:
        [{column, mean, sd, metric}]: mean and standard deviation over the repetitions, None of a
        single one; [] where the rows do not define the metric.
    """
    predict = predictor(rows.columns)
    base = measure(rows.labels, predict({}), rows.weight).get(monitor)
    num_rows = len(rows.weight)
    if base is None or not names:
        return []
    cost = num_rows * len(names) * len(rows.columns)
    repetitions = int(np.clip(MOST_CELLS // max(1, cost), 1, _MOST_REPETITIONS))
    random = np.random.default_rng(seed)
    found = []
    for name in names:
        losses = []
        for _ in range(repetitions):
            order = pa.array(random.permutation(num_rows))
            shuffled = {name: rows.columns[name].take(order)}
            metric = measure(rows.labels, predict(shuffled), rows.weight)[monitor]
            losses.append(base - metric if maximize else metric - base)
        mean, sd = float(np.mean(losses)), float(np.std(losses)) if repetitions > 1 else None
        found.append({"column": name, "mean": mean, "sd": sd, "metric": monitor})
    return sorted(found, key=lambda item: (-item["mean"], item["column"]))


def partial_dependence(
    rows: RawRows, names: Sequence[str], *, predictor: Predictor, objective: Objective
) -> dict[str, dict[str, Any]]:
    """What the model predicts on average if a column had one value in all rows.

    Returns:
        {column: {values, prediction, low, high}}, G items each: the mean, and the 10% and 90%
        quantiles over the rows. Of several classes it is the probability of the one that is most
        probable on average, whose number is `class`.
    """
    most = _GRID_CELLS // max(1, len(names) * GRID_POINTS * len(rows.columns))
    some = rows.spread(int(np.clip(most, _LEAST_GRID_ROWS, _GRID_ROWS))).columns
    predict = predictor(some)
    scores = objective.prediction(tf.constant(predict({}))).numpy()
    output = int(scores.mean(axis=0).argmax()) if scores.ndim == 2 else None
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        column = rows.columns[name]
        means, lows, highs = [], [], []
        places = _grid_places(column)
        for place in places:
            changed = {name: column.take(pa.array(np.full(len(some[name]), place)))}
            answer = objective.prediction(tf.constant(predict(changed))).numpy()
            answer = answer if output is None else answer[:, output]
            means.append(float(answer.mean()))
            low, high = np.quantile(answer, [0.1, 0.9])
            lows.append(float(low))
            highs.append(float(high))
        values = column.take(pa.array(places, pa.int64())).to_pylist()
        found[name] = {"values": values, "prediction": means, "low": lows, "high": highs}
        found[name] |= {} if output is None else {"class": output}
    return found


def _grid_places(column: pa.Array) -> list[int]:
    """Rows whose values are the grid: quantiles of numbers and times, else the most frequent."""
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_fixed_size_list(column.type):
        return []
    present = np.flatnonzero(plain.is_valid().to_numpy(zero_copy_only=False))
    values = plain.take(pa.array(present))
    counts = pc.value_counts(values)
    is_text = pa.types.is_string(plain.type)
    if is_text and len(counts) <= len(values) / 2:
        pairs = zip(
            counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True
        )
        chosen = [value for value, _ in sorted(pairs, key=lambda p: (-p[1], p[0]))[:GRID_POINTS]]
    else:
        ordered = pc.unique(values).sort().to_pylist()
        last = len(ordered) - 1
        steps = np.linspace(0, last, min(GRID_POINTS, len(ordered)))
        if not is_text:
            ordered, last = values.sort().to_pylist(), len(values) - 1
            # The outermost hundredths are the values of outliers.
            steps = np.linspace(0.01 * last, 0.99 * last, GRID_POINTS)
        chosen = list(dict.fromkeys(ordered[round(step)] for step in steps))
    first = pc.index_in(pa.array(chosen, values.type), value_set=values).to_pylist()
    return [int(present[i]) for i in first if i is not None]
