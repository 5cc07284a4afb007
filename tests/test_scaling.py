import numpy as np
import pytest

from trainer.columns import NumericOptions
from trainer.errors import UserError
from trainer.scaling import choose_scaling, clipped, fill_value, quantile
from trainer.statistics import StatisticsBuilder

SKEWED = np.random.default_rng(0).lognormal(1, 2, 5000).astype(np.float32)
EVEN = np.linspace(2.0, 6.0, 1001, dtype=np.float32)


def _statistics(values):
    builder = StatisticsBuilder(["x"], [], "y")
    values = np.asarray(values, np.float32)
    ids = np.arange(len(values), dtype=np.uint64)
    builder.add({"x": values, "y": values}, ids)
    return builder.finalize().numbers["x"]


def _scaled(values, **options):
    scaling = choose_scaling("x", NumericOptions(**options), _statistics(values))
    return scaling(np.asarray(values))


def test_zscore_has_mean_0_and_sd_1():
    expected = (EVEN.astype(float) - EVEN.mean(dtype=float)) / EVEN.std(dtype=float)

    np.testing.assert_allclose(_scaled(EVEN, scale="zscore"), expected, atol=1e-5)


@pytest.mark.parametrize("scale", ["log", "log1p"])
def test_logarithms_are_followed_by_a_zscore(scale):
    curve = (np.log if scale == "log" else np.log1p)(SKEWED.astype(float))

    scaled = _scaled(SKEWED, scale=scale)

    # Mean and deviation come from 1,001 quantiles.
    np.testing.assert_allclose(scaled, (curve - curve.mean()) / curve.std(), atol=0.02)


def test_minmax_maxabs_and_none():
    assert _scaled([-2.0, 0.0, 6.0], scale="minmax").tolist() == [0.0, 0.25, 1.0]
    assert _scaled([-8.0, 0.0, 4.0], scale="maxabs").tolist() == [-1.0, 0.0, 0.5]
    assert _scaled([-8.0, 0.5], scale="none").tolist() == [-8.0, 0.5]


@pytest.mark.parametrize("scale", ["zscore", "minmax", "log1p", "auto"])
def test_a_constant_is_0(scale):
    assert _scaled([7.0, 7.0], scale=scale) == pytest.approx([0.0, 0.0], abs=1e-6)


def test_auto_takes_the_logarithm_of_what_is_skewed_and_not_negative():
    def curve(values):
        return choose_scaling("x", NumericOptions(), _statistics(values)).curve

    # The upper quartile of 0..100 is 75, and 1,500 is 20 times that.
    assert curve([0, 25, 50, 75, 1500]) == "none"
    assert curve([0, 25, 50, 75, 1501]) == "log1p"
    assert curve([-1, 25, 50, 75, 1501]) == "none"
    assert curve([0, 0, 0, 0, 1]) == "log1p"


def test_a_clipped_column_is_scaled_by_what_is_left():
    options = NumericOptions(scale="zscore", clip=(3, 5))
    left = np.clip(EVEN, 3, 5).astype(float)

    scaling = choose_scaling("x", options, _statistics(EVEN))

    assert scaling.shift == pytest.approx(left.mean(), abs=1e-4)
    assert 1 / scaling.factor == pytest.approx(left.std(), rel=1e-3)


def test_a_logarithm_below_the_training_minimum_is_that_of_the_minimum():
    scaling = choose_scaling("x", NumericOptions(scale="log"), _statistics([1.0, 2.0, 4.0]))

    low, same = scaling(np.array([-5.0, 1.0]))

    assert low == same


@pytest.mark.parametrize(
    ("scale", "minimum", "bound"), [("log", 0.0, "0"), ("log", -3.0, "0"), ("log1p", -1.0, "-1")]
)
def test_a_logarithm_of_too_small_values_is_an_error(scale, minimum, bound):
    message = (
        f"columns.x.scale: {scale} needs values above {bound}; the smallest training value is "
        f"{minimum:g}. Use zscore, or clip"
    )
    with pytest.raises(UserError) as caught:
        choose_scaling("x", NumericOptions(scale=scale), _statistics([minimum, 5.0]))
    assert str(caught.value) == message


def test_clipping_makes_a_logarithm_possible():
    options = NumericOptions(scale="log", clip=(1, 9))

    assert choose_scaling("x", options, _statistics([-1.0, 5.0])).floor == 1.0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 3.0),
        ({"missing": "mean"}, 3.0),
        ({"missing": "median"}, 2.0),
        ({"missing": "constant", "missing_value": -1}, -1.0),
        ({"missing": "median", "clip": (3, 4)}, 3.0),
    ],
)
def test_replacements_of_missing_values(options, expected):
    found = _statistics([1.0, 1.0, 2.0, 2.0, 9.0])

    assert fill_value(NumericOptions(**options), found) == pytest.approx(expected)


def test_the_mean_of_clipped_values_is_between_the_bounds():
    found = _statistics(EVEN)

    # A quarter of the values each below 3 and above 5, the others even in between.
    assert fill_value(NumericOptions(clip=(3, 5)), found) == pytest.approx(4.0, abs=1e-3)
    assert quantile(found, 0.25) == pytest.approx(3.0)
    assert clipped(NumericOptions(clip=(3, 5)), 9.0) == 5.0
