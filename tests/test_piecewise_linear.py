"""trainer.piecewise_linear: its components."""

import numpy as np
import tensorflow as tf
from tiny_network import build

from trainer.features import FeatureLayout, NumberFeature


def test_piecewise_components_of_the_docstring():
    layout = FeatureLayout((), (NumberFeature("x", False, True, (0.0, 1.0, 2.0, 3.0)),))
    encoding = build(layout, towers="deep").deep.encoding
    kernel = np.zeros((1, 3, 8), np.float32)
    kernel[0] = np.eye(3, 8)
    encoding.kernel_FKD.assign(kernel)
    numbers = tf.constant([[2.5], [-1.0], [9.0], [0.0], [1.0]])
    expected = [[1, 1, 0.5], [0, 0, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert encoding(numbers).numpy()[:, :3].tolist() == expected
    assert not encoding(numbers).numpy()[:, 3:].any()
