import logging

import numpy as np
import pytest
import tensorflow as tf

from trainer.columns import Bucketized, Numeric
from trainer.encoders import IdFeature, NumberFeature
from trainer.errors import UserError
from trainer.number_bank import NumberBank
from trainer.number_encoders import (
    BucketizedEncoder,
    NumericEncoder,
    auto_buckets,
    number_statistics,
)
from trainer.statistics import StatisticsBuilder

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(5, 2, 4000).astype(np.float32)
HALF_ZERO = np.where(RNG.random(4000) < 0.5, 0, NORMAL).astype(np.float32)


def _statistics(values, name="x"):
    builder = StatisticsBuilder([name], [], "y")
    values = np.asarray(values, np.float32)
    builder.add({name: values, "y": values * 0}, np.arange(len(values), dtype=np.uint64))
    return builder.finalize()


def _encoder(values, **options):
    return NumericEncoder("x", Numeric(**options), _statistics(values))


def _encode(encoder, values):
    decoded = encoder.decode({"x": tf.constant(values, tf.float32)})
    features = NumberBank(encoder.numbers).encode(encoder.values(decoded))
    return (
        {name: ids.numpy().tolist() for name, ids in features.ids.items()},
        {name: numbers.numpy().tolist() for name, numbers in features.numbers.items()},
    )


@pytest.mark.parametrize(
    ("num_rows", "buckets"), [(1, 16), (3200, 16), (6399, 16), (6400, 32), (25_600, 128)]
)
def test_buckets_grow_with_the_rows(num_rows, buckets):
    assert auto_buckets(num_rows) == buckets


def test_a_number_is_scaled_and_bucketized():
    encoder = _encoder(NORMAL, buckets=4)

    ids, numbers = _encode(encoder, NORMAL)

    expected = (NORMAL - NORMAL.mean(dtype=float)) / NORMAL.std(dtype=float)
    np.testing.assert_allclose(numbers["x"], expected, atol=1e-5)
    # All values are distinct: both kinds of quantile are the quartiles.
    edges = np.unique(np.quantile(NORMAL.astype(float), [0.25, 0.5, 0.75]).astype(np.float32))
    assert ids["x"] == (1 + np.searchsorted(edges, NORMAL, side="right")).tolist()
    assert encoder.id_features == [IdFeature("x", 5, wide=True, embedding_dim=0)]


def test_piecewise_edges_are_scaled_quantiles_from_end_to_end():
    (number,) = _encoder(NORMAL, piecewise_linear=4).number_features

    quantiles = np.quantile(NORMAL.astype(float), [0, 0.25, 0.5, 0.75, 1])
    expected = (quantiles - NORMAL.mean(dtype=float)) / NORMAL.std(dtype=float)
    np.testing.assert_allclose(number.piecewise_edges, expected, atol=1e-5)


def test_piecewise_encoding_can_be_switched_off():
    assert _encoder(NORMAL, piecewise_linear=0).number_features == [NumberFeature("x", True, True)]


def test_missing_values_have_id_0_an_indicator_and_the_mean():
    encoder = _encoder([1.0, 3.0, np.nan, 8.0], buckets=4, scale="none")

    ids, numbers = _encode(encoder, [3.0, np.nan, np.inf, -np.inf])

    assert ids["x"][1:] == [0, 0, 0]
    assert numbers == {"x": [3.0, 4.0, 4.0, 4.0], "x.missing": [0.0, 1.0, 1.0, 1.0]}
    assert [f.name for f in encoder.number_features] == ["x", "x.missing"]


@pytest.mark.parametrize(
    ("values", "options"),
    [([1.0, 2.0], {}), ([1.0, np.nan], {"missing": "mean"})],
)
def test_no_indicator_where_nothing_was_missing_or_none_is_wanted(values, options):
    ids, numbers = _encode(_encoder(values, **options), [np.nan])

    assert list(numbers) == ["x"]
    assert np.isfinite(numbers["x"]).all()
    assert ids["x"] == [0]


def test_a_missing_value_may_become_a_constant_outside_the_clip():
    encoder = _encoder(
        [1.0, 9.0], missing="constant", missing_value=-1, clip=(2, 8), scale="none", buckets=0
    )

    assert _encode(encoder, [np.nan, 0.0, 5.0, 99.0]) == ({}, {"x": [-1.0, 2.0, 5.0, 8.0]})


def test_zeros_of_a_point_mass_have_an_indicator_and_a_bucket_embedding():
    encoder = _encoder(HALF_ZERO)

    ids, numbers = _encode(encoder, [0.0, 1.0, np.nan])

    assert numbers["x.zero"] == [1.0, 0.0, 0.0]
    assert encoder.id_features[0].embedding_dim == 8
    assert ids["x"][0] != ids["x"][1]


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 50 + [1.0] * 50,
        [0.0, *range(1, 100)],
        [0.0] * 298 + [1.0, 2.0],
    ],
    ids=["two values", "1% zeros", "99% zeros"],
)
def test_other_zeros_have_no_indicator(values):
    assert "x.zero" not in [f.name for f in _encoder(values).number_features]


def test_indicators_can_be_switched_off():
    assert len(_encoder(HALF_ZERO, indicators=False).number_features) == 1


def test_edges_of_the_distinct_values_can_be_left_out():
    # Half of the values are 0: of the quartiles by rows, only the upper one and 0 itself are left.
    encoder = _encoder(HALF_ZERO, buckets=4, distinct_edges=False)

    ids, _ = _encode(encoder, HALF_ZERO)

    quartiles = np.quantile(HALF_ZERO.astype(float), [0.25, 0.5, 0.75]).astype(np.float32)
    edges = np.unique(quartiles[quartiles > HALF_ZERO.min()])
    assert ids["x"] == (1 + np.searchsorted(edges, HALF_ZERO, side="right")).tolist()
    assert encoder.id_features[0].size < _encoder(HALF_ZERO, buckets=4).id_features[0].size


def test_buckets_can_stay_out_of_the_wide_part():
    encoder = _encoder(NORMAL, buckets=4, wide_buckets=False)

    assert encoder.id_features == [IdFeature("x", 5, wide=False, embedding_dim=0)]
    assert encoder.number_features[0].wide


def test_a_skewed_column_has_a_bucket_embedding_and_a_stated_width_wins():
    skewed = RNG.lognormal(1, 2, 5000)

    assert _encoder(skewed).id_features[0].embedding_dim == 8
    assert _encoder(skewed, embedding_dim=3).id_features[0].embedding_dim == 3
    assert _encoder(skewed, towers=("wide",)).id_features[0].embedding_dim == 0
    assert _encoder(NORMAL).id_features[0].embedding_dim == 0


def test_edges_outside_the_clip_are_left_out():
    encoder = _encoder(NORMAL, buckets=64, clip=(4, 6))

    ids, _ = _encode(encoder, [-9.0, 4.0, 6.0, 99.0])

    assert ids["x"][0] == ids["x"][1] == 1
    assert ids["x"][2] == ids["x"][3] == encoder.id_features[0].size - 1


def test_a_constant_column_is_warned_of_and_has_no_buckets(caplog):
    with caplog.at_level(logging.WARNING):
        encoder = _encoder([7.0] * 20)

    assert "x has the value 7 in every training row" in caplog.text
    assert encoder.number_features == [NumberFeature("x", True, True)]
    assert encoder.id_features == [IdFeature("x", 2, wide=False, embedding_dim=0)]
    assert _encode(encoder, [7.0, np.nan]) == ({"x": [1, 0]}, {"x": [0.0, 0.0]})


def test_an_all_missing_column_is_an_error():
    with pytest.raises(UserError, match="every training value of 'x' is missing; a feature needs"):
        _encoder([np.nan, np.nan])


def test_statistics_of_another_schema_are_an_error():
    with pytest.raises(UserError, match="the statistics have no number 'z'"):
        number_statistics(_statistics([1.0]), "z")


def test_descriptions_name_scale_replacement_and_buckets():
    values = [0.0, 1.0, np.nan, 3.0, 4.0]
    encoder = _encoder(values, buckets=2, scale="none", piecewise_linear=4)

    # Quantiles and distinct values have the same median, 2.
    assert encoder.describe() == [
        "x: (x - 0) * 1, missing as 2, indicators missing and zero; 4 piecewise bins; wide, deep",
        "x: 3 ids (missing and 2 buckets); wide, embedding 8",
    ]


@pytest.mark.parametrize(
    ("rule", "edges"),
    [
        ({"edges": [2, 4]}, [2.0, 4.0]),
        ({"quantiles": 2}, [0.0]),
        ({"distinct_quantiles": 2}, [4.5]),
    ],
)
def test_bucketized_columns_follow_their_rule(rule, edges):
    values = np.array([-1.0] + [0.0] * 12 + list(range(1, 11)), np.float32)
    column = Bucketized(source="raw", **rule)
    encoder = BucketizedEncoder("x", column, _statistics(values, "raw"), "auto")

    decoded = encoder.decode({"raw": tf.constant([*values, np.nan, np.inf], tf.float32)})
    ids = NumberBank(encoder.numbers).encode(encoder.values(decoded)).ids["x"].numpy()

    assert ids[:-2].tolist() == (1 + np.searchsorted(edges, values, side="right")).tolist()
    assert ids[-2:].tolist() == [0, 0]
    assert encoder.id_features == [IdFeature("x", len(edges) + 2, True, 2)]


def test_a_constant_bucketized_column_is_warned_of(caplog):
    encoder = BucketizedEncoder("x", Bucketized(quantiles=4), _statistics([3.0, 3.0]), "auto")

    assert "x has one bucket: its training values are all alike" in caplog.text
    assert encoder.describe() == ["x: 2 ids (missing and 1 buckets); wide, embedding 2"]


@pytest.mark.parametrize("towers", [("wide",), ()])
def test_a_number_outside_the_deep_part_has_no_piecewise_bins(towers):
    encoder = _encoder(NORMAL, towers=towers)
    assert encoder.number_features == [NumberFeature("x", "wide" in towers, False, ())]
