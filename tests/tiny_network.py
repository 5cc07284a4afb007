"""A small network, and its logits again in numpy, from its weights."""

import itertools

import numpy as np
import tensorflow as tf
from tiny_table import LAYOUT, make_features

from trainer.model_config import ModelConfig
from trainer.network import WideAndDeep

WIDE_IDS = [0, 2, 4]
EMBEDDED = {2: [2], 3: [1, 3]}  # width: columns


def build(layout=LAYOUT, *, num_outputs=1, offset=0.5, seed=3, precision="float32", **options):
    config = ModelConfig(**{"hidden_units": (6, 4), "dropout": 0, "input_dropout": 0} | options)
    return WideAndDeep(
        layout,
        config,
        batch_size=8,
        num_outputs=num_outputs,
        offset=offset,
        seed=seed,
        precision=precision,
    )


def short_name(weight):
    """Layer and weight: `hidden_1/kernel`."""
    return "/".join(weight.path.split("/")[-2:])


def randomize(model, seed=11):
    """Other weights than the initial ones, of which many are zero; float64 by short name."""
    rng = np.random.default_rng(seed)
    weights = {}
    for weight in model.weights:
        value = rng.normal(0, 0.5, weight.shape).astype(np.float32)
        weight.assign(value)
        weights[short_name(weight)] = value.astype(np.float64)
    return weights


def wide_logits(weights, ids, numbers):
    """Bias, one weight per wide id, and the bounded wide numbers age and flag."""
    starts = {0: 0, 2: 5, 4: 5 + 7}
    logits = np.tile(weights["wide/bias"], (len(ids), 1))
    for column in WIDE_IDS:
        logits += weights["table/table"][starts[column] + ids[:, column]]
    return logits + np.clip(numbers[:, [0, 1]], -5, 5) @ weights["wide/numbers"]


def piecewise(x, edges):
    components = [(x - a) / (b - a) for a, b in itertools.pairwise(edges)]
    return np.clip(np.stack(components, axis=1), 0, 1)


def deep_inputs(weights, ids, numbers):
    """Bounded age and price; encoded age and price; embeddings by rising width."""
    inputs = [np.clip(numbers[:, [0, 2]], -5, 5)]
    for row, column in enumerate([0, 2]):
        bins = piecewise(numbers[:, column], LAYOUT.numbers[column].piecewise_edges)
        kernel = weights["piecewise_linear/kernel"][row, : bins.shape[1]]
        inputs.append(np.maximum(bins @ kernel + weights["piecewise_linear/bias"][row], 0))
    for width, columns in EMBEDDED.items():
        table, start = weights[f"embedding_{width}/table"], 0
        for column in columns:
            inputs.append(table[start + ids[:, column]])
            start += LAYOUT.ids[column].size
    return np.concatenate(inputs, axis=1)


def deep_logits(weights, ids, numbers, activation=lambda x: np.maximum(x, 0)):
    x = deep_inputs(weights, ids, numbers)
    for layer in ("hidden_1", "hidden_2"):
        x = activation(x @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"])
    return x @ weights["output/kernel"] + weights["output/bias"]


def train_call(model, seed, num_rows=30):
    ids, numbers = map(tf.constant, make_features(num_rows))
    return model(ids, numbers, training=True, seed=tf.constant(seed, tf.int32)).numpy()


def weights_of(program):
    """The model's weights in float64, by layer and name."""
    return {short_name(w): w.numpy().astype(np.float64) for w in program.model.weights}
