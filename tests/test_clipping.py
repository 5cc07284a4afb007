"""trainer.clipping against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.clipping import clip, with_bounded_norms
from trainer.optimizer_config import OptimizerConfig
from trainer.tables import MergedRows

VALUES = [np.array([[3.0, -4.0]], np.float32), np.array([12.0], np.float32), np.float32([9.0])]


def _clipped(is_clipped, **options):
    rows = MergedRows(tf.constant([5]), tf.constant(VALUES[0]))
    gradients = [rows, tf.constant(VALUES[1]), tf.constant(VALUES[2])]
    first, *others = clip(OptimizerConfig(**options), gradients, is_clipped)
    assert first.ids.numpy().tolist() == [5]
    return [first.values.numpy(), *(g.numpy() for g in others)]


@pytest.mark.parametrize(
    ("options", "is_clipped", "expected"),
    [
        ({}, [True] * 3, VALUES),
        # The norm of (3, -4, 12) is 13.
        ({"clip_norm": 6.5}, [True, True, False], [VALUES[0] / 2, VALUES[1] / 2, VALUES[2]]),
        ({"clip_norm": 13.5}, [True, True, False], VALUES),
        ({"clip_value": 3.5}, [True, True, False], [[[3.0, -3.5]], [3.5], VALUES[2]]),
    ],
)
def test_gradients_are_within_the_bounds(options, is_clipped, expected):
    for got, value in zip(_clipped(is_clipped, **options), expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-6)


def test_norms_of_units_are_bounded_and_small_ones_kept():
    weight = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    weight[:, :, 0] = 0.0
    got = with_bounded_norms(tf.constant(weight), 2.0).numpy()
    norms = np.sqrt((weight**2).sum(axis=1, keepdims=True))
    expected = np.where(norms > 2.0, weight * 2.0 / np.maximum(norms, 1e-9), weight)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert (norms > 2.0).any()
    assert ((norms < 2.0) & (norms > 0.0)).any()
