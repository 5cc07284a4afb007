"""trainer.training_step: a step against gradients by differences of a loss in numpy."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_network import deep_logits, randomize, short_name, weights_of, wide_logits
from tiny_table import DESCENT, make_config, make_program, make_rows, unpack


def numpy_loss(weights, rows, mean_weight, loss):
    """The mean over rows of w / mean_weight times the loss, from the weights in float64."""
    ids, numbers, label, weight = unpack(rows)
    logit = (wide_logits(weights, ids, numbers) + deep_logits(weights, ids, numbers))[:, 0]
    losses = {
        # The labels of `make_program` are 0 and 1: mean 0.5, standard deviation 0.5.
        "mse": ((label - 0.5) / 0.5 - logit) ** 2,
        "log_loss": np.logaddexp(0.0, np.where(label == 1, -logit, logit)),
    }[loss]
    return (losses * weight / mean_weight).sum() / len(rows)


def gradient_by_differences(weights, loss_of, size=1e-5):
    """Central differences of every weight."""
    gradients = {}
    for name, value in weights.items():
        gradients[name] = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            moved = [value.copy(), value.copy()]
            moved[0][index] += size
            moved[1][index] -= size
            up, down = (loss_of(weights | {name: v}) for v in moved)
            gradients[name][index] = (up - down) / (2 * size)
    return gradients


@pytest.mark.parametrize(("task", "loss"), [("regression", "mse"), ("binary", "log_loss")])
def test_a_step_goes_down_the_gradient_of_the_weighted_mean_loss(task, loss):
    config = make_config(task, optimizer=DESCENT)
    program = make_program(config, mean_weight=1.6)
    rows = make_rows(8, seed=4, task=task)
    randomize(program.model)  # Initial biases of 0 put a ReLU on its kink, where nothing is smooth.
    before = weights_of(program)
    losses = program.train(tf.constant(rows[None]), 0)

    def loss_of(weights):
        return numpy_loss(weights, rows, 1.6, loss)

    assert losses == pytest.approx([loss_of(before)], rel=1e-5)
    gradients = gradient_by_differences(before, loss_of)
    after = weights_of(program)
    assert len(after) == 13
    for name, value in before.items():
        is_wide = name in ("table/table", "wide/numbers", "wide/bias")
        expected = value - (0.3 if is_wide else 0.1) * gradients[name]
        np.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=2e-6, err_msg=name)
        assert not np.array_equal(after[name], value), name


def test_gradients_are_those_of_a_step_and_move_nothing():
    program = make_program(make_config(optimizer=DESCENT), mean_weight=1.6)
    rows = make_rows(8, seed=4)
    randomize(program.model)
    before = weights_of(program)

    gradients = program.step.gradients(tf.constant(rows))

    expected = gradient_by_differences(before, lambda w: numpy_loss(w, rows, 1.6, "mse"))
    names = {id(weight.value): short_name(weight) for weight in program.model.weights}
    assert len(gradients) == len(names) == 13
    for parameter, gradient in zip(program.parameters, gradients, strict=True):
        name = names[id(parameter.variable)]
        found = tf.convert_to_tensor(gradient).numpy()
        np.testing.assert_allclose(found, expected[name], rtol=1e-3, atol=2e-5, err_msg=name)
    for name, value in weights_of(program).items():
        np.testing.assert_array_equal(value, before[name])
