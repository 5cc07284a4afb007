"""Expected values: the recurrence in a numpy loop."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.averaging import MovingAverage
from trainer.optimizers import Parameter


def _parameters() -> list[Parameter]:
    return [
        Parameter(tf.Variable([[1.0, 2.0]]), "deep", "matrix"),
        Parameter(tf.Variable([[3.0], [4.0]]), "wide", "table", dense_update=True),
        Parameter(tf.Variable([[5.0], [6.0]]), "wide", "table", dense_update=False),
    ]


@pytest.mark.parametrize("compiled", [False, True])
def test_average_follows_the_recurrence_with_its_warmup(compiled):
    parameters = _parameters()
    average = MovingAverage(parameters, 0.5)

    @tf.function(jit_compile=compiled)
    def train(step):
        for parameter in parameters:
            parameter.variable.assign_add(tf.ones_like(parameter.variable))
        average.update(step)

    expected = [p.variable.numpy().astype(np.float64) for p in parameters[:2]]
    weights = [value.copy() for value in expected]
    for step in range(20):
        train(tf.constant(step, tf.int64))
        # (1 + t) / (10 + t) is .1 at step 0 and passes .5 at step 8.
        decay = (1 + step) / (10 + step) if step < 8 else 0.5
        weights = [w + 1 for w in weights]
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, weights, strict=True)]
    assert len(average.shadows) == 2, "a table with sparse updates is used as it is"
    for shadow, value in zip(average.shadows, expected, strict=True):
        np.testing.assert_allclose(shadow, value, rtol=1e-6)


def test_swap_exchanges_and_exchanges_back():
    parameters = _parameters()
    average = MovingAverage(parameters, 0.5)
    parameters[0].variable.assign([[7.0, 8.0]])
    parameters[2].variable.assign([[9.0], [9.0]])
    average.swap()
    np.testing.assert_array_equal(parameters[0].variable, [[1.0, 2.0]])
    np.testing.assert_array_equal(average.shadows[0], [[7.0, 8.0]])
    np.testing.assert_array_equal(parameters[2].variable, [[9.0], [9.0]])
    average.swap()
    np.testing.assert_array_equal(parameters[0].variable, [[7.0, 8.0]])
    np.testing.assert_array_equal(average.shadows[0], [[1.0, 2.0]])


def test_checkpoint_brings_the_averages_back_and_holds_no_weights(tmp_path):
    average = MovingAverage(_parameters(), 0.9)
    average.shadows[1].assign([[0.1], [0.2]])
    path = tf.train.Checkpoint(average=average).write(str(tmp_path / "c"))
    restored = MovingAverage(_parameters(), 0.9)
    tf.train.Checkpoint(average=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(restored.shadows[1], average.shadows[1])
    names = [name for name, _ in tf.train.list_variables(path) if "OBJECT_GRAPH" not in name]
    assert len(names) == 2


@pytest.mark.parametrize("compiled", [False, True])
def test_a_weight_that_is_held_at_zero_is_zero_in_the_average(compiled):
    held, free = (tf.Variable([[4.0, 8.0]]) for _ in range(2))
    statistic = tf.Variable([1.0])
    parameters = [
        Parameter(held, "wide", "matrix"),
        Parameter(statistic, "deep", "statistic"),
        Parameter(free, "wide", "matrix"),
    ]
    average = MovingAverage(parameters, 0.5, [True, False, False])
    assert len(average.shadows) == 2, "a statistic is an average already"
    update = tf.function(average.update, jit_compile=compiled)
    course = [[[0.0, 6.0]], [[0.0, 2.0]], [[3.0, 0.0]]]
    expected = {True: np.array([[4.0, 8.0]]), False: np.array([[4.0, 8.0]])}
    for step, values in enumerate(course):
        for weight in (held, free):
            weight.assign(values)
        update(tf.constant(step, tf.int64))
        decay = (1 + step) / (10 + step)
        for holds, shadow in expected.items():
            shadow += (1 - decay) * (values - shadow)
            shadow[:] = np.where(holds & np.equal(values, 0), 0, shadow)
        np.testing.assert_allclose(average.shadows[0], expected[True], rtol=1e-6)
        np.testing.assert_allclose(average.shadows[1], expected[False], rtol=1e-6)
    # After two steps at 0 the shadow starts again from 0: 3 / 4 of the way to 3.
    np.testing.assert_allclose(average.shadows[0], [[0.75 * 3, 0.0]], rtol=1e-6)
