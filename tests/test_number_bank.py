"""trainer.number_bank against numpy, one number at a time."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.encoders import Number
from trainer.number_bank import NumberBank
from trainer.scaling import Scaling

RNG = np.random.default_rng(0)
NUMBERS = [
    Number("plain", fill=3.0, scaling=Scaling("none", 0.0, 2.0, 0.5), has_missing=True),
    Number("log", (0.5, 9.0), 1.0, Scaling("log", 0.75, 0.1, 2.0), edges=(1.0, 2.0)),
    Number("bucketized", edges=(-1.0, 0.0, 0.5, 1.0, 1.5, 2.5)),
    Number("skewed", None, 0.0, Scaling("log1p", 0.0, 0.3, 1.5), True, True, ()),
    Number("zero", has_zero=True, edges=(0.5, 1.0)),
    Number("clipped", (-1.0, 1.0), -7.0),
]
VALUES = RNG.normal(1, 2, (len(NUMBERS), 203)).astype(np.float32)
VALUES[RNG.random(VALUES.shape) < 0.1] = np.nan
VALUES[RNG.random(VALUES.shape) < 0.1] = 0.0
VALUES[:, :2] = [np.inf, -np.inf]


def _encode(numbers, values):
    features = NumberBank(numbers).encode([tf.constant(row) for row in values])
    return {
        kind: {name: tensor.numpy() for name, tensor in found.items()}
        for kind, found in (("ids", features.ids), ("numbers", features.numbers))
    }


@pytest.mark.parametrize("members", [[0, 1, 2, 3, 4, 5], [4, 3, 1], [0], [2], [5, 4], [1, 3]])
def test_each_number_is_encoded_by_its_own_constants(members):
    numbers, values = [NUMBERS[i] for i in members], VALUES[members]
    ids, scaled = {}, {}
    for number, row in zip(numbers, values, strict=True):
        is_finite = np.isfinite(row)
        clipped = row if number.clip is None else np.clip(row, *number.clip)
        filled = np.where(is_finite, clipped, np.float32(number.fill))
        scaled[number.name] = number.scaling(filled)
        if number.has_missing:
            scaled[f"{number.name}.missing"] = np.where(is_finite, 0.0, 1.0)
        if number.has_zero:
            scaled[f"{number.name}.zero"] = np.where(row == 0, 1.0, 0.0)
        if number.edges is not None:
            reached = np.searchsorted(np.float32(number.edges), filled, side="right")
            ids[number.name] = np.where(is_finite, 1 + reached, 0)

    encoded = _encode(numbers, values)

    assert encoded["ids"].keys() == ids.keys()
    assert encoded["numbers"].keys() == scaled.keys()
    for name, expected in ids.items():
        assert encoded["ids"][name].dtype == np.int32
        np.testing.assert_array_equal(encoded["ids"][name], expected)
    for name, expected in scaled.items():
        np.testing.assert_allclose(encoded["numbers"][name], expected, rtol=1e-6, atol=1e-6)


def test_a_row_alone_has_the_numbers_that_it_has_in_a_block():
    block = _encode(NUMBERS, VALUES)

    for row in range(0, VALUES.shape[1], 7):
        alone = _encode(NUMBERS, VALUES[:, row : row + 1])
        for kind, found in alone.items():
            for name, value in found.items():
                assert value.tolist() == [block[kind][name][row].item()], (name, row)


def test_no_number_has_no_feature():
    assert _encode([], []) == {"ids": {}, "numbers": {}}


def test_the_number_of_operations_does_not_depend_on_that_of_columns():
    def num_operations(num_columns):
        bank = NumberBank([NUMBERS[i % len(NUMBERS)] for i in range(num_columns)])
        function = tf.function(lambda *values: tuple(bank.encode(values).numbers.values()))
        graph = function.get_concrete_function(*[tf.TensorSpec([None])] * num_columns).graph
        # Each column has its input, and its output as an identity.
        return len([o for o in graph.get_operations() if o.type not in ("Placeholder", "Identity")])

    assert num_operations(600) == num_operations(12)
