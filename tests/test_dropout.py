"""trainer.dropout against the same hash in Python's integers, and what chance should give."""

import numpy as np
import pytest
import tensorflow as tf

from trainer import dropout as module
from trainer.dropout import dropout, random_bits


def mixed(x, key):
    """lowbias32 with a key between its multiplications."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
    x ^= key
    x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
    return x ^ (x >> 16)


def bits_in_python(shape, first, second):
    key = mixed(first % 2**32, 0)
    start = mixed(second % 2**32, key)
    size = shape[0] * shape[1]
    values = [mixed((i + start) % 2**32, key ^ (second % 2**32)) for i in range(size)]
    return np.array(values, np.uint32).reshape(shape)


@pytest.mark.parametrize("seed", [(1, 0), (-5, 64), (2**31 - 1, -(2**31))])
@pytest.mark.parametrize("compiled", [False, True])
def test_bits_are_those_of_the_formula(seed, compiled):
    draw = module._compiled_bits if compiled else random_bits
    bits = draw((7, 5), tf.constant(seed, tf.int32))
    np.testing.assert_array_equal(bits, bits_in_python((7, 5), *seed))


def test_a_unit_is_kept_and_scaled_or_zero_by_its_bits():
    x = tf.reshape(tf.range(1.0, 41.0), (8, 5))
    out = dropout(x, 0.25, seed=tf.constant([3, 128], tf.int32), layer=2).numpy()
    kept = bits_in_python((8, 5), 3, 130) >= 2**30
    assert 0 < kept.sum() < 40
    np.testing.assert_allclose(out, np.where(kept, x.numpy() / 0.75, 0.0), rtol=1e-6)


def test_gradient_passes_where_the_unit_was_kept():
    x, seed = tf.ones((64, 8)), tf.constant([1, 1], tf.int32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = dropout(x, 0.5, seed=seed, layer=0)
    np.testing.assert_array_equal(tape.gradient(y, x), y)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_the_share_of_zeros_is_the_rate_in_rows_columns_and_as_a_whole(rate):
    zeros = np.stack(
        [
            dropout(tf.ones((512, 64)), rate, seed=tf.constant([7, 64 * step]), layer=1) == 0
            for step in range(50)
        ]
    ).astype(float)
    for axes in ((0, 1, 2), (0, 1), (0, 2), (1, 2)):
        share = zeros.mean(axes)
        count = zeros.size / share.size
        assert np.abs(share - rate).max() < 5 * np.sqrt(rate * (1 - rate) / count)


def test_neighbouring_steps_layers_replicas_and_places_are_independent():
    def bits(first, second):
        words = random_bits((256, 64), tf.constant([first, second], tf.int32)).numpy().ravel()
        return np.unpackbits(words.view(np.uint8)).astype(float) * 2 - 1

    base = bits(1, 640)
    bound = 5 / np.sqrt(base.size)
    for other in (bits(1, 641), bits(1, 704), bits(2, 640), bits(1_000_004, 640)):
        assert abs((base * other).mean()) < bound
        # Nor is one the other further on.
        assert max(abs((base[32 * k :] * other[: -32 * k]).mean()) for k in (1, 2, 64)) < 2 * bound
    for distance in (1, 32, 64, 64 * 32):
        assert abs((base[distance:] * base[:-distance]).mean()) < bound


def test_the_largest_rate_drops_nearly_everything():
    rate = float(np.nextafter(1.0, 0.0))
    assert (dropout(tf.ones((50, 4)), rate, seed=tf.constant([0, 0]), layer=0) == 0).numpy().all()
