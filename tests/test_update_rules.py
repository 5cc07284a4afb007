"""Expected values: TensorFlow's own dense kernels, and the published recurrences in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.optimizer_config import OptimizerConfig
from trainer.update_rules import make_rule


def _run(config: OptimizerConfig, gradients, start, rates, part="wide", kind="matrix"):
    """Weights and slots after the gradients, one rate each."""
    rule = make_rule(config, part, kind)
    weight = tf.constant(start, tf.float32)
    slots = tuple(tf.fill(weight.shape, value) for value in rule.slots.values())
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        weight, slots = rule.update(
            weight,
            tf.constant(gradient, tf.float32),
            slots,
            tf.constant(rate),
            tf.constant(float(t)),
        )
    return weight.numpy(), [slot.numpy() for slot in slots]


def _gradients(steps: int = 30, size: int = 50) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(steps, size)).astype(np.float32)


@pytest.mark.parametrize(("l1", "l2", "shrinkage"), [(0, 0, 0), (0.3, 0, 0), (0.2, 0.4, 0.05)])
def test_ftrl_at_a_constant_rate_is_tensorflows_kernel(l1, l2, shrinkage):
    gradients, size = _gradients(), 50
    weight, accumulator, linear = (tf.Variable(tf.fill([size], v)) for v in (0.0, 0.1, 0.0))
    for gradient in gradients:
        tf.raw_ops.ResourceApplyFtrlV2(
            var=weight.handle,
            accum=accumulator.handle,
            linear=linear.handle,
            grad=gradient,
            lr=0.05,
            l1=l1,
            l2=l2,
            l2_shrinkage=shrinkage,
            lr_power=-0.5,
        )
    config = OptimizerConfig(wide_l1=l1, wide_l2=l2, wide_l2_shrinkage=shrinkage)
    got, slots = _run(config, gradients, np.zeros(size), [0.05] * len(gradients))
    np.testing.assert_allclose(got, weight, atol=2e-6)
    np.testing.assert_allclose(slots[0], accumulator, rtol=1e-6)
    np.testing.assert_allclose(slots[1], linear, rtol=1e-4, atol=2e-4)
    assert (got == 0).sum() == (weight.numpy() == 0).sum()


def test_ftrl_with_a_strong_l1_keeps_weights_exactly_at_zero():
    gradients = _gradients()
    got, _ = _run(OptimizerConfig(wide_l1=100.0), gradients, np.zeros(50), [0.05] * 30)
    np.testing.assert_array_equal(got, np.zeros(50))


def test_ftrl_keeps_its_weight_when_only_the_rate_changes():
    gradients = np.concatenate([_gradients(5), np.zeros((3, 50), np.float32)])
    config = OptimizerConfig(wide_l1=0.01)
    before, _ = _run(config, gradients[:5], np.zeros(50), [0.05] * 5)
    after, slots = _run(config, gradients, np.zeros(50), [0.05] * 5 + [0.025, 0.001, 0.0])
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert np.isfinite(slots).all()


def test_ftrl_moves_a_weight_that_starts_off_zero_by_a_gradient_step():
    # Without penalties FTRL is descent with rate / sqrt(n): .5 - .1 * .3 / sqrt(.1 + .09).
    got, _ = _run(OptimizerConfig(), [[0.3]], [0.5], [0.1])
    assert got[0] == pytest.approx(0.5 - 0.1 * 0.3 / np.sqrt(0.19), rel=1e-6)


def test_adam_is_tensorflows_kernel():
    gradients, size = _gradients(), 50
    weight, mean, square = (tf.Variable(tf.fill([size], v)) for v in (0.5, 0.0, 0.0))
    for t, gradient in enumerate(gradients, 1):
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=mean.handle,
            v=square.handle,
            beta1_power=0.9**t,
            beta2_power=0.999**t,
            lr=0.01,
            beta1=0.9,
            beta2=0.999,
            epsilon=1e-7,
            grad=gradient,
        )
    config = OptimizerConfig(wide_optimizer="adam")
    got, _ = _run(config, gradients, np.full(size, 0.5), [0.01] * len(gradients))
    np.testing.assert_allclose(got, weight, atol=2e-6)


def test_adagrad_is_tensorflows_kernel():
    gradients, size = _gradients(), 50
    weight, accumulator = (tf.Variable(tf.fill([size], v)) for v in (0.5, 0.1))
    for gradient in gradients:
        tf.raw_ops.ResourceApplyAdagradV2(
            var=weight.handle, accum=accumulator.handle, lr=0.1, epsilon=1e-7, grad=gradient
        )
    config = OptimizerConfig(wide_optimizer="adagrad")
    got, slots = _run(config, gradients, np.full(size, 0.5), [0.1] * len(gradients))
    np.testing.assert_allclose(got, weight, atol=2e-6)
    np.testing.assert_allclose(slots[0], accumulator, rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_momentum_is_the_geometric_sum_of_the_gradients(momentum):
    gradients = _gradients(12)
    config = OptimizerConfig(wide_optimizer="sgd", momentum=momentum)
    got, slots = _run(config, gradients, np.ones(50), [0.01] * 12)
    # Gradient i acts 1 + momentum + ... + momentum**(11 - i) times.
    reach = [sum(momentum**k for k in range(12 - i)) for i in range(12)]
    np.testing.assert_allclose(got, 1 - 0.01 * np.dot(reach, gradients), rtol=1e-5)
    assert len(slots) == (1 if momentum else 0)


def test_first_adamw_step_is_the_rate_times_the_sign_and_the_decay():
    config = OptimizerConfig(weight_decay=0.5)
    got, _ = _run(config, [[3.0, -2.0]], [1.0, 4.0], [0.1], part="deep")
    np.testing.assert_allclose(got, [1 - 0.1 - 0.1 * 0.5 * 1, 4 + 0.1 - 0.1 * 0.5 * 4], rtol=1e-5)


@pytest.mark.parametrize(
    ("part", "kind"), [("deep", "table"), ("deep", "vector"), ("wide", "table")]
)
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_decay_is_for_deep_matrices_with_adamw_only(name, part, kind):
    plain, decayed = (
        OptimizerConfig(wide_optimizer=name, deep_optimizer=name, weight_decay=d)
        for d in (0.0, 0.5)
    )
    data = (_gradients(3), np.ones(50), [0.1] * 3)
    np.testing.assert_array_equal(
        _run(plain, *data, part=part, kind=kind)[0], _run(decayed, *data, part=part, kind=kind)[0]
    )
    if name == "adam":
        np.testing.assert_array_equal(
            _run(plain, *data, part="deep")[0], _run(decayed, *data, part="deep")[0]
        )


@pytest.mark.parametrize(
    ("part", "kind", "penalized"),
    [
        ("wide", "table", True),
        ("wide", "matrix", True),
        ("wide", "vector", False),
        ("deep", "matrix", True),
        ("deep", "table", False),
        ("deep", "vector", False),
    ],
)
def test_penalties_are_gradients_of_l1_and_l2_and_spare_biases_and_embeddings(
    part, kind, penalized
):
    config = OptimizerConfig(
        wide_optimizer="sgd",
        deep_optimizer="sgd",
        momentum=0.0,
        **{f"{part}_l1": 0.2, f"{part}_l2": 3},
    )
    got, _ = _run(config, [[1.0, 1.0]], [0.5, -0.5], [0.1], part=part, kind=kind)
    # d/dw (.2 * |w| + 3 * w**2) = .2 * sign(w) + 6 * w
    extra = np.array([0.2 + 3.0, -0.2 - 3.0]) if penalized else 0.0
    np.testing.assert_allclose(got, np.array([0.5, -0.5]) - 0.1 * (1 + extra), rtol=1e-6)


KERAS = {
    "adadelta": ({}, lambda: keras.optimizers.Adadelta(0.7)),
    "adadelta_options": (
        {"wide_optimizer": "adadelta", "rho": 0.8, "epsilon": 1e-4},
        lambda: keras.optimizers.Adadelta(0.7, rho=0.8, epsilon=1e-4),
    ),
    "rmsprop": ({}, lambda: keras.optimizers.RMSprop(0.7)),
    "rmsprop_options": (
        {"wide_optimizer": "rmsprop", "rho": 0.6, "rmsprop_momentum": 0.5, "epsilon": 1e-4},
        lambda: keras.optimizers.RMSprop(0.7, rho=0.6, momentum=0.5, epsilon=1e-4),
    ),
    "sgd_nesterov": (
        {"wide_optimizer": "sgd", "momentum": 0.8, "nesterov": True},
        lambda: keras.optimizers.SGD(0.7, momentum=0.8, nesterov=True),
    ),
    "sgd": ({"momentum": 0.8}, lambda: keras.optimizers.SGD(0.7, momentum=0.8)),
    "adam_betas": (
        {"wide_optimizer": "adam", "wide_beta_1": 0.7, "wide_beta_2": 0.8, "deep_beta_1": 0.1},
        lambda: keras.optimizers.Adam(0.7, beta_1=0.7, beta_2=0.8),
    ),
    "adam_no_mean": (
        {"wide_optimizer": "adam", "wide_beta_1": 0.0},
        lambda: keras.optimizers.Adam(0.7, beta_1=0.0),
    ),
}


@pytest.mark.parametrize("case", KERAS)
def test_every_step_is_that_of_keras(case):
    options, make = KERAS[case]
    config = OptimizerConfig(**{"wide_optimizer": case.split("_")[0]} | options)
    gradients, optimizer = _gradients(20), make()
    variable = keras.Variable(np.full(50, 0.5, np.float32))
    optimizer.build([variable])
    for step in range(1, 21):
        optimizer.apply([tf.constant(gradients[step - 1])], [variable])
        got, _ = _run(config, gradients[:step], np.full(50, 0.5), [0.7] * step)
        # Keras computes 1 - 0.999**t in float32, off by 5e-5 at the first update.
        np.testing.assert_allclose(got, variable.numpy(), rtol=1e-5, atol=4e-5, err_msg=str(step))


def test_betas_are_of_their_part():
    config = OptimizerConfig(wide_optimizer="adam", deep_optimizer="adam", deep_beta_1=0.5)
    data = (_gradients(5), np.ones(50), [0.1] * 5)
    plain = OptimizerConfig(wide_optimizer="adam", deep_optimizer="adam")
    for part, is_equal in (("wide", True), ("deep", False)):
        results = [_run(c, *data, part=part)[0] for c in (config, plain)]
        assert np.array_equal(*results) == is_equal


def test_deep_shrinkage_is_that_of_ftrl_in_the_wide_part():
    wide, _ = _run(OptimizerConfig(wide_l2_shrinkage=0.3), _gradients(), np.ones(50), [0.05] * 30)
    config = OptimizerConfig(deep_optimizer="ftrl", deep_l2_shrinkage=0.3)
    deep, _ = _run(config, _gradients(), np.ones(50), [0.05] * 30, part="deep")
    np.testing.assert_array_equal(wide, deep)
    plain, _ = _run(config, _gradients(), np.ones(50), [0.05] * 30, part="deep", kind="table")
    assert not np.array_equal(plain, deep)


def test_ftrl_with_l1_holds_zeros_and_nothing_else_does():
    for config, part, kind, expected in (
        (OptimizerConfig(wide_l1=0.1), "wide", "table", True),
        (OptimizerConfig(wide_l1=0.1), "wide", "vector", False),
        (OptimizerConfig(), "wide", "table", False),
        (OptimizerConfig(wide_optimizer="adam", wide_l1=0.1), "wide", "table", False),
        (OptimizerConfig(deep_optimizer="ftrl", deep_l1=0.1), "deep", "matrix", True),
        (OptimizerConfig(deep_optimizer="ftrl", deep_l1=0.1), "deep", "table", False),
    ):
        assert make_rule(config, part, kind).holds_zeros is expected
