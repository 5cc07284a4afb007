"""The course of the learning rates over the steps of a run.

Imports config and TensorFlow only; holds no state, so a resumed run gets the same rates.
"""

from __future__ import annotations

import math

import tensorflow as tf

from trainer.errors import UserError
from trainer.optimizer_config import OptimizerConfig


def check_schedule(config: OptimizerConfig, total_steps: int | None) -> None:
    """Refuse a course that cannot be computed.

    Args:
        config: the optimizer section.
        total_steps: steps of the whole run; None where the budget is in seconds.

    Raises:
        UserError: the course spans the whole run and the run's steps are not known.
    """
    if config.follows_the_run and total_steps is None:
        raise UserError(
            f"optimizer.schedule {config.schedule} needs a length; a budget in seconds has no "
            "number of steps. Give optimizer.decay_steps, or a budget in steps, epochs or examples"
        )


def rate_factor(config: OptimizerConfig, step: tf.Tensor, total_steps: int | None) -> tf.Tensor:
    """The factor in [0, 1] of both learning rates at `step`.

    With w = warmup_steps and t = (step - w) / d clipped at 0 from below, where d is decay_steps or
    else the steps that are left after the warm-up:

        warm-up      min(1, (step + 1) / w): 1 / w at step 0, 1 from step w - 1 on
        constant      1
        linear        1 - min(t, 1): 1 at step w, 0 from step w + d on
        cosine        (1 + cos(pi * min(t, 1))) / 2: 1 at step w, 0 from step w + d on
        exponential   decay_rate ** t: decay_rate at step w + d
        staircase     decay_rate ** floor(t): 1 before step w + d, decay_rate from there on
        inverse_sqrt  1 / sqrt(1 + t), where d is decay_steps or else w: half at step w + 3 * d

    The warm-up multiplies the course. Whole numbers of steps are exact up to 2**24.

    Source: inverse_sqrt of the warm-up is that of Vaswani et al., Attention Is All You Need (2017),
    equation 3.

    Args:
        config: the optimizer section.
        step: () int64, steps done before this one.
        total_steps: steps of the whole run; None where not known (see `check_schedule`).

    Returns:
        () float32.
    """
    elapsed = tf.cast(step, tf.float32)
    factor = tf.ones((), tf.float32)
    if config.warmup_steps:
        factor = tf.minimum(1.0, (elapsed + 1.0) / config.warmup_steps)
    if config.schedule == "constant":
        return factor
    rest = max(1, (total_steps or 0) - config.warmup_steps)
    if config.schedule == "inverse_sqrt":
        rest = config.warmup_steps
    length = config.decay_steps or rest
    progress = tf.maximum(elapsed - config.warmup_steps, 0.0) / length
    if config.schedule == "cosine":
        return factor * 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(progress, 1.0)))
    if config.schedule == "linear":
        return factor * (1.0 - tf.minimum(progress, 1.0))
    if config.schedule == "inverse_sqrt":
        return factor * tf.math.rsqrt(1.0 + progress)
    if config.schedule == "staircase":
        progress = tf.floor(progress)
    return factor * tf.pow(config.decay_rate, progress)
