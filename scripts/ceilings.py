"""What this machine can do at most: matrix products of a model's step, memory, random rows.

Functions for scripts/benchmark.py; each takes the median of several rounds and the better of two
libraries, numpy (OpenBLAS) and TensorFlow (Eigen or oneDNN) with all cores, so that no weakness of
ours lowers the bar. Axes: B rows of a batch, I inputs and O outputs of a layer.
"""

from __future__ import annotations

import concurrent.futures
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

ROUNDS = 7
_TABLE_WIDTH = 8
_REST_SECONDS = 0.1


class Layer(NamedTuple):
    """A linear map in a model.

    num_inputs, num_outputs: I and O.
    copies: maps of this shape beside each other, each with inputs of its own.
    inputs_learn: whether the backward pass needs the gradient of the inputs: not where they are
        numbers of the data.
    """

    num_inputs: int
    num_outputs: int
    copies: int = 1
    inputs_learn: bool = True


def layers_of(model: tf.keras.Model) -> list[Layer]:
    """The linear maps of a `trainer.network.WideAndDeep`."""
    layers = []
    if model.wide is not None and model.wide.number_weights is not None:
        num_inputs, num_outputs = model.wide.number_weights.shape
        layers.append(Layer(num_inputs, num_outputs, inputs_learn=False))
    if model.deep is not None:
        if model.deep.encoding.columns:
            copies, num_bins, width = model.deep.encoding.kernel_FKD.shape
            layers.append(Layer(num_bins, width, copies, inputs_learn=False))
        tower = model.deep.tower
        dense = [*(layer.dense for layer in tower.hidden), tower.output_layer]
        layers += [Layer(*layer.kernel.shape) for layer in dense]
    return layers


def gemm_examples_per_second(layers: Sequence[Layer], batch_size: int) -> float:
    """Examples of a step that would only multiply: forward, weight and input gradients of `layers`.

    Each product is timed alone and counts with the faster library.
    """
    seconds = sum(
        _product_seconds(a, b) for layer in layers for a, b in _products(layer, batch_size)
    )
    return batch_size / seconds


def copy_bytes_per_second(num_bytes: int = 1 << 29) -> float:
    """Bytes read plus bytes written while all cores copy `num_bytes` that no cache holds."""
    source, target = np.ones(num_bytes // 4, np.float32), np.zeros(num_bytes // 4, np.float32)
    num_threads = os.cpu_count() or 1
    parts = list(
        zip(np.array_split(target, num_threads), np.array_split(source, num_threads), strict=True)
    )
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        threads = _median_seconds(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
    return 2 * num_bytes / min(threads, _median_seconds(lambda: np.copyto(target, source)))


def gather_rows_per_second(num_rows: int, num_ids: int = 1 << 20) -> float:
    """Rows of 8 float32 read per second at random places of a table of `num_rows` rows."""
    table = np.ones((num_rows, _TABLE_WIDTH), np.float32)
    ids = np.random.default_rng(0).integers(0, num_rows, num_ids).astype(np.int32)
    out = np.empty((num_ids, _TABLE_WIDTH), np.float32)
    variable, tensor = tf.Variable(table), tf.constant(ids)
    seconds = _median_seconds(lambda: np.take(table, ids, axis=0, out=out, mode="clip"))
    gather = tf.function(lambda: tf.gather(variable, tensor), autograph=False)
    return num_ids / min(seconds, _median_seconds(lambda: gather()[0].numpy()))


def _products(layer: Layer, batch_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The factors of a layer's products, transposed as a step has them."""
    rng = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return rng.random((layer.copies, *shape) if layer.copies > 1 else shape, np.float32)

    inputs = random(batch_size, layer.num_inputs)
    weights = random(layer.num_inputs, layer.num_outputs)
    gradients = random(batch_size, layer.num_outputs)
    products = [(inputs, weights), (inputs.swapaxes(-1, -2), gradients)]
    if layer.inputs_learn:
        products.append((gradients, weights.swapaxes(-1, -2)))
    return products


def _product_seconds(a: np.ndarray, b: np.ndarray) -> float:
    # TensorFlow gets the arrays as they lie in memory, and is told which one is transposed.
    is_turned = [not x.flags.c_contiguous for x in (a, b)]
    tensors = [
        tf.constant(x.swapaxes(-1, -2) if turned else x)
        for x, turned in zip((a, b), is_turned, strict=True)
    ]

    def multiply() -> tf.Tensor:
        return tf.matmul(*tensors, transpose_a=is_turned[0], transpose_b=is_turned[1])

    return min(_median_seconds(lambda: a @ b), _median_seconds(multiply))


def _median_seconds(work: Callable[[], object]) -> float:
    # OpenBLAS' threads spin for 25 ms after their work and would take half of what comes next.
    time.sleep(_REST_SECONDS)
    work()  # wakes threads, fills caches
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
