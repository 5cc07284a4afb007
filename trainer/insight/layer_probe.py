"""What training does to each layer: dead units, norms of gradients and of weights.

Looked at beside the compiled loop, on rows that stay the same for the whole run, so that what
changes from one evaluation to the next is the model. Nothing moves. Under parameter servers only
the units are looked at: there a gradient or a norm would fetch whole tables.

Axes: B rows, W words of a row, H units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from trainer.input import training_rows, unpack_rows
from trainer.network import WideAndDeep
from trainer.program import Program
from trainer.row_stores import RowStore

# Enough to tell a unit that fires for one row in a hundred from a dead one.
MOST_ROWS = 1024
# Blocks of rows that are read for them.
_WINDOW_ROWS = 8192
# A norm reads its table as a whole; larger tables (16 MB) have none.
MOST_NUMBERS = 1 << 22
# Weights of a layer that a histogram is made of.
MOST_SAMPLED = 20_000


class LayerProbe:
    """Measures the layers of a program on fixed training rows.

    Attributes:
        layers: names of the groups of weights: wide, embeddings, piecewise, h1, h2, ..., cross,
            output.
    """

    def __init__(self, program: Program, rows_BW: np.ndarray, batch_size: int):
        """Take the rows.

        Args:
            program: whose model is looked at.
            rows_BW: packed int32 training rows; at least one.
            batch_size: rows of a training step, whose mean loss the gradients are of.
        """
        self._program = program
        self._rows = tf.constant(rows_BW)
        self._scale = batch_size / len(rows_BW)
        names = layer_names(program.model)
        self._groups: dict[str, list[int]] = {}
        for place, parameter in enumerate(program.parameters):
            if parameter.kind != "statistic":
                self._groups.setdefault(names[id(parameter.variable)], []).append(place)
        self.layers = list(self._groups)
        self._has_gradients = program.distribution.coordinator is None
        self._names: list[str] = []
        self._measure = tf.function(self._values, autograph=False)

    def measure(self, number: int) -> dict[str, float]:
        """By layer, as `dead/h1`; {} at the evaluations that `is_probed` leaves out.

        dead: share of the hidden units that are 0 for all rows.
        zeros: share of zeros among the activations.
        gradient_norm: of the mean loss over the rows, neither clipped nor penalized.
        weight_norm: Euclidean, over all weights of the layer.

        All as in a training step, with its dropout, which is always that of the first step.

        Args:
            number: of the evaluation, from 1.
        """
        if not is_probed(number):
            return {}
        values = self._measure(self._rows).numpy()
        return {name: float(v) for name, v in zip(self._names, values, strict=True)}

    def weights(self, number: int) -> dict[str, np.ndarray]:
        """The weights of each layer, flat, of large ones an even sample; {} as `measure`."""
        if not (is_probed(number) and self._has_gradients):
            return {}
        found = {}
        for name, places in self._groups.items():
            variables = [self._program.parameters[i].variable for i in places]
            sizes = [v.shape.num_elements() for v in variables]
            if max(sizes) <= MOST_NUMBERS:
                stride = -(-sum(sizes) // MOST_SAMPLED)
                found[name] = np.concatenate([v.numpy().ravel() for v in variables])[::stride]
        return found

    def _values(self, rows_BW: tf.Tensor) -> tf.Tensor:
        """The numbers, whose names are noted while this is traced."""
        program, values = self._program, {}
        with _watched(program.model) as activations:
            if self._has_gradients:
                gradients = program.step.gradients(rows_BW)
            else:
                batch = unpack_rows(rows_BW, program.layout)
                program.model(batch.ids, batch.numbers)
        for number, active_BH in enumerate(activations, 1):
            is_zero_BH = tf.cast(tf.equal(active_BH, 0), tf.float32)
            values[f"dead/h{number}"] = tf.reduce_mean(tf.reduce_min(is_zero_BH, axis=0))
            values[f"zeros/h{number}"] = tf.reduce_mean(is_zero_BH)
        for name, places in self._groups.items() if self._has_gradients else ():
            norm = _norm([_merged(gradients[i]) for i in places])
            values[f"gradient_norm/{name}"] = self._scale * norm
            weights = [program.parameters[i].variable for i in places]
            if all(weight.shape.num_elements() <= MOST_NUMBERS for weight in weights):
                values[f"weight_norm/{name}"] = _norm(weights)
        self._names = list(values)
        return tf.stack(list(values.values())) if values else tf.zeros(0)


def is_probed(number: int) -> bool:
    """Whether an evaluation, counted from 1, is one that looks at the layers.

    The first eight are, then four between each number and its double: of 100 there are 22, of
    1,000 there are 35. One costs as much as some training steps that are not compiled.

    >>> [number for number in range(1, 70) if is_probed(number)]
    [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    """
    return number % (1 << max(0, (number - 1).bit_length() - 3)) == 0


def fixed_rows(store: RowStore, seed: int, batch_size: int) -> np.ndarray:
    """(B, W) rows of the first batch of a run whose window is small: the same at each start.

    Args:
        store: the training rows.
        seed: of the run.
        batch_size: rows of a step; as many are taken, at most `MOST_ROWS` and all that the first
            blocks have.
    """
    window = next(training_rows(store, seed=seed, first_row=0, window_rows=_WINDOW_ROWS))
    return window.source.take(window.order[: min(batch_size, MOST_ROWS)], axis=0)


def layer_names(model: WideAndDeep) -> dict[int, str]:
    """The layer of each weight, by the identity of its variable."""
    layers = {"wide": model.wide}
    if model.deep is not None:
        tower = model.deep.tower
        layers |= {"embeddings": model.deep, "piecewise": model.deep.encoding}
        layers |= {f"h{number}": layer for number, layer in enumerate(tower.hidden, 1)}
        layers |= {"cross": tower.cross, "output": tower.output_layer}
    # Later layers are parts of the earlier ones: what is left to the deep part are its embeddings.
    return {
        id(weight.value): name
        for name, layer in layers.items()
        if layer is not None
        for weight in layer.trainable_variables
    }


@contextlib.contextmanager
def _watched(model: WideAndDeep) -> Iterator[list[tf.Tensor]]:
    """A block in which the activations of the hidden layers, (B, H) each, are noted."""
    layers = [] if model.deep is None else model.deep.tower.hidden
    found: list[tf.Tensor] = []
    for layer in layers:
        layer.watch = found.append
    try:
        yield found
    finally:
        for layer in layers:
            layer.watch = None


def _merged(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    """The gradient, of a table the rows that have one, each once."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    ids, place = tf.unique(gradient.indices)
    return tf.math.unsorted_segment_sum(gradient.values, place, tf.size(ids))


def _norm(tensors: Sequence[tf.Tensor | tf.Variable]) -> tf.Tensor:
    return tf.linalg.global_norm([tf.convert_to_tensor(t) for t in tensors])
