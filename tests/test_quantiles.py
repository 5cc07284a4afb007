"""trainer.quantiles: grids of sorted samples, against numpy."""

import numpy as np
import pytest

from trainer.quantiles import grid, interpolate, values_or_grid


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 1001, 1002, 65_536])
@pytest.mark.parametrize("intervals", [200, 1000])
def test_grid_has_the_bits_of_numpy(size, intervals):
    rng = np.random.default_rng(size)
    for values in (
        rng.normal(size=size),
        rng.lognormal(0, 8, size),
        rng.integers(0, 9, size).astype(float),
        rng.normal(size=size).astype(np.float32).astype(float),
    ):
        values = np.sort(values)

        expected = np.quantile(values, np.linspace(0.0, 1.0, intervals + 1))

        assert grid(values, intervals) == tuple(expected.tolist())


def test_few_values_stand_for_themselves():
    values = np.arange(201.0)

    assert values_or_grid(values, 200) == tuple(values)
    assert len(values_or_grid(np.arange(202.0), 200)) == 201
    assert grid(np.empty(0)) == ()


def test_interpolation_is_numpys_quantile_of_a_fine_grid():
    values = np.sort(np.random.default_rng(0).normal(size=50_000))

    found = interpolate(grid(values, 1000), 8)

    np.testing.assert_allclose(found, np.quantile(values, np.arange(1, 8) / 8), atol=1e-9)
    assert len(interpolate((), 8)) == 0
