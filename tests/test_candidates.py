"""trainer.candidates: how often classes are drawn, and what that estimates."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.candidates import ClassSampler

MASS = np.random.default_rng(1).permutation(1.0 / np.arange(1, 301))


def draws(sampler, num_steps):
    seeds = tf.stack([tf.fill([num_steps], 5), tf.range(num_steps) * 64], axis=1)
    return tf.function(lambda seeds: tf.map_fn(sampler.draw, seeds))(seeds).numpy()


def test_classes_are_drawn_by_their_share_to_the_power_of_three_quarters():
    sampler = ClassSampler(MASS, 40)
    expected = 40 * MASS**0.75 / (MASS**0.75).sum()
    np.testing.assert_allclose(sampler.count_K, expected, rtol=1e-4)
    counts = np.bincount(draws(sampler, 4000).ravel(), minlength=300)
    # At most the variance of independent draws: 5 standard deviations.
    assert (abs(counts - 4000 * expected) < 5 * np.sqrt(4000 * expected)).all()


def test_a_common_class_comes_in_every_step():
    sampler = ClassSampler(np.array([1.0, 30, 1, 2]), 4)
    drawn = draws(sampler, 200)
    least = np.floor(sampler.count_K) - 1
    for k in range(4):
        assert ((drawn == k).sum(axis=1) >= least[k]).all()
    assert least[1] >= 1


@pytest.mark.parametrize("num_sampled", [1, 7, 64, 100])
def test_every_class_can_be_drawn_and_no_other(num_sampled):
    sampler = ClassSampler(np.array([1e-12, 1, 1, 1e-12]), num_sampled)
    assert (sampler.count_K > 0).all()
    assert sampler.count_K.sum() == pytest.approx(num_sampled)
    drawn = draws(sampler, 300)
    assert drawn.shape == (300, num_sampled)
    assert set(np.unique(drawn)) == {1, 2}


def test_sums_over_all_classes_are_estimated_without_bias():
    sampler = ClassSampler(MASS, 20)
    values = np.random.default_rng(2).normal(size=300)
    drawn = draws(sampler, 8000)
    estimates = (values / sampler.count_K)[drawn].sum(axis=1)
    assert abs(estimates.mean() - values.sum()) < 4 * estimates.std() / np.sqrt(8000)


def test_draws_depend_on_the_seed_alone_compiled_or_not():
    sampler = ClassSampler(MASS, 16)
    compiled = tf.function(sampler.draw, jit_compile=True)
    seeds = [tf.constant(seed, tf.int32) for seed in ([1, 64], [1, 128], [2, 64])]
    drawn = [sampler.draw(seed).numpy() for seed in seeds]
    for seed, expected in zip(seeds, drawn, strict=True):
        np.testing.assert_array_equal(compiled(seed), expected)
    assert not any((drawn[i] == drawn[j]).all() for i, j in ((0, 1), (0, 2), (1, 2)))


def test_numbers_of_candidates():
    sampler = ClassSampler(np.ones(5), 2)
    candidates = sampler.candidates(tf.constant([3, 0, 3]), tf.constant([4, 0]))
    found = candidates.columns(tf.constant([10.0, 11, 12, 13, 14]))
    assert found.numpy().tolist() == [[13, 14, 10], [10, 14, 10], [13, 14, 10]]
    np.testing.assert_allclose(candidates.log_counts_S, np.log(2 / 5), rtol=1e-6)
