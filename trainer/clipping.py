"""Bounds of gradients and of weights.

Imports config and tables; knows nothing of parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer.optimizer_config import OptimizerConfig
from trainer.tables import MergedRows


def clip(
    config: OptimizerConfig, gradients: Sequence[tf.Tensor | MergedRows], is_clipped: Sequence[bool]
) -> list[tf.Tensor | MergedRows]:
    """The gradients within clip_norm or clip_value of the config; as they are without either.

    clip_norm scales all gradients by bound / max(bound, their common norm); clip_value cuts each
    component to -bound .. bound.

    Args:
        config: the optimizer section.
        gradients: equal ids merged.
        is_clipped: the others are neither counted nor changed.
    """
    if config.clip_norm:
        values = [_values(g) for g, counts in zip(gradients, is_clipped, strict=True) if counts]
        squares = tf.add_n([tf.reduce_sum(tf.square(v)) for v in values])
        scale = config.clip_norm / tf.maximum(tf.sqrt(squares), config.clip_norm)
        return _changed(gradients, is_clipped, lambda v: v * scale)
    if config.clip_value:
        bound = config.clip_value
        return _changed(gradients, is_clipped, lambda v: tf.clip_by_value(v, -bound, bound))
    return list(gradients)


def with_bounded_norms(weight: tf.Tensor, bound: float) -> tf.Tensor:
    """(..., inputs, units) weights, those into a unit scaled down to a norm of at most `bound`.

    Source: Srivastava et al., Dropout (2014), section 5.1.
    """
    norms = tf.norm(weight, axis=-2, keepdims=True)
    return weight * (bound / tf.maximum(norms, bound))


def _values(gradient: tf.Tensor | MergedRows) -> tf.Tensor:
    return gradient.values if isinstance(gradient, MergedRows) else gradient


def _changed(
    gradients: Sequence[tf.Tensor | MergedRows],
    is_clipped: Sequence[bool],
    change: Callable[[tf.Tensor], tf.Tensor],
) -> list[tf.Tensor | MergedRows]:
    changed: list[tf.Tensor | MergedRows] = []
    for gradient, counts in zip(gradients, is_clipped, strict=True):
        if not counts:
            changed.append(gradient)
        elif isinstance(gradient, MergedRows):
            changed.append(MergedRows(gradient.ids, change(gradient.values)))
        else:
            changed.append(change(gradient))
    return changed
