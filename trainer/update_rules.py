"""How a gradient moves a weight: each optimizer as a pure function of tensors.

Each rule is written once and serves whole variables and gathered table rows alike, inside XLA or
not. Imports config and TensorFlow only; knows nothing of variables, ids or strategies.

Every rule is elementwise: weight, gradient and slots have one shape. `t` is the number of the
update, 1 at the first; g the gradient, w the weight, a prime marks what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from trainer.optimizer_config import OptimizerConfig, OptimizerName

INITIAL_ACCUMULATOR = 0.1
# Of optimizer.rho: auto, as in Keras.
_ADADELTA_RHO, _RMSPROP_RHO = 0.95, 0.9
# Below this a learning rate counts as this, where a formula divides by it.
_SMALLEST_RATE = 1e-20

Slots = tuple[tf.Tensor, ...]
Update = Callable[[tf.Tensor, tf.Tensor, Slots, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Slots]]


class Rule(NamedTuple):
    """One optimizer with its constants filled in.

    slots: the initial value of each slot, by name, in the order in which `update` takes them.
    update: (weight, gradient, slots, learning rate, t) -> (new weight, new slots); rate and t are
        () float32.
    holds_zeros: whether a penalty holds weights at exactly 0.
    """

    slots: Mapping[str, float]
    update: Update
    holds_zeros: bool = False


class Penalties(NamedTuple):
    """What pulls a weight towards 0.

    The penalty is l1 * sum|w| + l2 * sum(w**2), as in Keras and in TensorFlow's FTRL. shrinkage is
    FTRL's l2 that acts on the gradient only, decay the decoupled decay per unit of learning rate.
    """

    l1: float = 0.0
    l2: float = 0.0
    shrinkage: float = 0.0
    decay: float = 0.0


def make_rule(config: OptimizerConfig, part: str, kind: str) -> Rule:
    """The rule for the parameters of one part and kind.

    Penalties: wide tables and matrices get the wide ones; deep matrices get the deep ones and,
    with adamw, weight_decay; deep tables and all vectors (biases) get none. A statistic moves by
    its pseudo-gradient, whatever the optimizer.

    Args:
        config: the optimizer section.
        part: wide or deep.
        kind: table, matrix, vector or statistic.
    """
    if kind == "statistic":
        return _STATISTIC
    wide = part == "wide"
    name: OptimizerName = config.wide_optimizer if wide else config.deep_optimizer
    penalties = Penalties()
    if wide and kind != "vector":
        penalties = Penalties(config.wide_l1, config.wide_l2, config.wide_l2_shrinkage)
    elif not wide and kind == "matrix":
        decay = config.weight_decay if name == "adamw" else 0.0
        penalties = Penalties(config.deep_l1, config.deep_l2, config.deep_l2_shrinkage, decay)
    if name == "ftrl":
        return _ftrl(penalties)
    if name == "adagrad":
        return _adagrad(penalties, config.epsilon)
    if name == "adadelta":
        rho = _ADADELTA_RHO if config.rho == "auto" else config.rho
        return _adadelta(penalties, rho, config.epsilon)
    if name == "rmsprop":
        rho = _RMSPROP_RHO if config.rho == "auto" else config.rho
        return _rmsprop(penalties, rho, config.epsilon, momentum=config.rmsprop_momentum)
    if name == "sgd":
        return _momentum(penalties, config.momentum, is_nesterov=config.nesterov)
    if wide:
        return _adam(penalties, config.wide_beta_1, config.wide_beta_2, epsilon=config.epsilon)
    return _adam(penalties, config.deep_beta_1, config.deep_beta_2, epsilon=config.epsilon)


def _ftrl(penalties: Penalties) -> Rule:
    """FTRL-Proximal with learning_rate_power -0.5.

        h = g + 2 * shrinkage * w                          n' = n + g**2
        q = sqrt(n') + 2 * l2 * rate
        z' = h - w * q / rate - l1 * sign(w)  where w != 0,  z + h  where w = 0
        w' = -sign(z') * max(|z'| - l1, 0) * rate / q

    At a constant rate this is the published update, z' = z + h - (sqrt(n') - sqrt(n)) / rate * w,
    because a weight that is not 0 determines its z. Written this way a rate that changes does not
    rescale the weight (in TensorFlow's kernel halving the rate halves every weight), and a weight
    that did not start at 0 is not thrown back to 0.

    Source: McMahan et al., Ad Click Prediction: a View from the Trenches (2013), algorithm 1;
    tensorflow/core/kernels/training_ops.cc, ApplyFtrlV2.
    """

    def update(
        weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, rate: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        del t
        accumulator, linear = slots
        new_accumulator = accumulator + tf.square(gradient)
        shrunk = gradient + 2.0 * penalties.shrinkage * weight
        quadratic = tf.sqrt(new_accumulator) + 2.0 * penalties.l2 * rate
        # The linear term times the rate: finite at rate 0, where the weight then stays.
        pulled = rate * shrunk - weight * quadratic - rate * penalties.l1 * tf.sign(weight)
        scaled = tf.where(tf.equal(weight, 0.0), rate * (linear + shrunk), pulled)
        excess = tf.maximum(tf.abs(scaled) - rate * penalties.l1, 0.0)
        new_weight = -tf.sign(scaled) * excess / quadratic
        new_linear = tf.where(
            tf.equal(weight, 0.0), linear + shrunk, pulled / tf.maximum(rate, _SMALLEST_RATE)
        )
        return new_weight, (new_accumulator, new_linear)

    slots = {"accumulator": INITIAL_ACCUMULATOR, "linear": 0.0}
    return Rule(slots, update, holds_zeros=penalties.l1 > 0)


def _adam(penalties: Penalties, beta_1: float, beta_2: float, *, epsilon: float) -> Rule:
    """Adam; with decay, AdamW.

        m' = b1 * m + (1 - b1) * g        v' = b2 * v + (1 - b2) * g**2
        w' = w - rate * (sqrt(1 - b2**t) / (1 - b1**t) * m' / (sqrt(v') + epsilon) + decay * w)

    Source: Kingma and Ba, Adam (2015), the form before section 2.1; Loshchilov and Hutter,
    Decoupled Weight Decay Regularization (2019).
    """

    def update(
        weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, rate: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        gradient = _penalized(weight, gradient, penalties)
        mean, square = slots
        new_mean = mean + (gradient - mean) * (1.0 - beta_1)
        new_square = square + (tf.square(gradient) - square) * (1.0 - beta_2)
        correction = tf.sqrt(_share(beta_2, t)) / _share(beta_1, t)
        direction = new_mean * correction / (tf.sqrt(new_square) + epsilon)
        if penalties.decay:
            direction += penalties.decay * weight
        return weight - rate * direction, (new_mean, new_square)

    return Rule({"mean": 0.0, "square": 0.0}, update)


def _share(beta: float, t: tf.Tensor) -> tf.Tensor:
    """1 - beta**t: the weight of t gradients in an average that starts at 0."""
    # expm1: 1 - 0.999**t in float32 is off by 5e-5 at the first update.
    return -tf.math.expm1(t * math.log(beta)) if beta else tf.ones_like(t)


def _adagrad(penalties: Penalties, epsilon: float) -> Rule:
    """Adagrad: n' = n + g**2, w' = w - rate * g / (sqrt(n') + epsilon), n = 0.1 at the start.

    Source: Duchi et al., Adaptive Subgradient Methods (2011); TensorFlow's ApplyAdagradV2.
    """

    def update(
        weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, rate: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        del t
        gradient = _penalized(weight, gradient, penalties)
        new_accumulator = slots[0] + tf.square(gradient)
        new_weight = weight - rate * gradient / (tf.sqrt(new_accumulator) + epsilon)
        return new_weight, (new_accumulator,)

    return Rule({"accumulator": INITIAL_ACCUMULATOR}, update)


def _adadelta(penalties: Penalties, rho: float, epsilon: float) -> Rule:
    """Adadelta: steps in the unit of the weights, so that rates near 1 are usual.

        n' = rho * n + (1 - rho) * g**2          d = sqrt(s + epsilon) / sqrt(n' + epsilon) * g
        s' = rho * s + (1 - rho) * d**2          w' = w - rate * d

    Source: Zeiler, ADADELTA: an Adaptive Learning Rate Method (2012), algorithm 1.
    """

    def update(
        weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, rate: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        del t
        gradient = _penalized(weight, gradient, penalties)
        square, step_square = slots
        new_square = rho * square + (1.0 - rho) * tf.square(gradient)
        step = gradient * tf.sqrt(step_square + epsilon) / tf.sqrt(new_square + epsilon)
        new_step_square = rho * step_square + (1.0 - rho) * tf.square(step)
        return weight - rate * step, (new_square, new_step_square)

    return Rule({"square": 0.0, "step_square": 0.0}, update)


def _rmsprop(penalties: Penalties, rho: float, epsilon: float, *, momentum: float) -> Rule:
    """RMSprop: n' = rho * n + (1 - rho) * g**2, b' = momentum * b + rate * g / sqrt(n' + epsilon),
    w' = w - b'.

    Source: Tieleman and Hinton, Lecture 6.5, Neural Networks for Machine Learning (2012); with
    momentum as in Keras.
    """

    def update(
        weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, rate: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        del t
        gradient = _penalized(weight, gradient, penalties)
        new_square = rho * slots[0] + (1.0 - rho) * tf.square(gradient)
        step = rate * gradient / tf.sqrt(new_square + epsilon)
        if not momentum:
            return weight - step, (new_square,)
        new_buffer = momentum * slots[1] + step
        return weight - new_buffer, (new_square, new_buffer)

    return Rule({"square": 0.0} | ({"momentum": 0.0} if momentum else {}), update)


def _momentum(penalties: Penalties, momentum: float, *, is_nesterov: bool) -> Rule:
    """Momentum: b' = momentum * b + g, w' = w - rate * b'; momentum 0 is plain descent.

    Nesterov's looks ahead by one step: w' = w - rate * (momentum * b' + g).
    """

    def update(
        weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, rate: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, Slots]:
        del t
        gradient = _penalized(weight, gradient, penalties)
        if not momentum:
            return weight - rate * gradient, ()
        new_buffer = momentum * slots[0] + gradient
        direction = momentum * new_buffer + gradient if is_nesterov else new_buffer
        return weight - rate * direction, (new_buffer,)

    return Rule({"momentum": 0.0} if momentum else {}, update)


def _follow(
    weight: tf.Tensor, gradient: tf.Tensor, slots: Slots, rate: tf.Tensor, t: tf.Tensor
) -> tuple[tf.Tensor, Slots]:
    del slots, rate, t
    return weight - gradient, ()


_STATISTIC = Rule({}, _follow)


def _penalized(weight: tf.Tensor, gradient: tf.Tensor, penalties: Penalties) -> tf.Tensor:
    """The gradient of loss plus l1 * sum|w| + l2 * sum(w**2)."""
    if penalties.l1:
        gradient += penalties.l1 * tf.sign(weight)
    if penalties.l2:
        gradient += 2.0 * penalties.l2 * weight
    return gradient
