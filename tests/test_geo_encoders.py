import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.columns import Geo
from trainer.errors import UserError
from trainer.geo_encoders import GeoEncoder, geo_outputs
from trainer.number_bank import NumberBank
from trainer.statistics import StatisticsBuilder
from trainer.transforms import bearing_sin_cos, haversine_km, manhattan_km

RIDES = (
    np.array([[40.75], [-73.97], [40.76], [-73.95]])
    + np.random.default_rng(0).normal(0, 0.03, (4, 300))
).astype(np.float32)
RAW = ("lat", "lon", "lat2", "lon2")


def _geo(**options):
    return Geo(from_point=RAW[:2], to_point=RAW[2:], **options)


def _encoder(geo):
    outputs = geo_outputs(geo, *map(tf.constant, RIDES))
    names = [f"trip.{output}" for output in geo.outputs]
    builder = StatisticsBuilder(names, [], "y")
    columns = {name: values.numpy() for name, values in zip(names, outputs, strict=True)}
    builder.add(columns | {"y": np.zeros(300)}, np.arange(300, dtype=np.uint64))
    return GeoEncoder("trip", geo, builder.finalize()), columns


def _features(encoder, decoded):
    return NumberBank(encoder.numbers).encode(encoder.values(decoded))


def test_outputs_are_the_distances_in_the_order_of_their_names():
    geo = _geo(grid_angle=29, landmarks={"JFK": (40.6413, -73.7781)})

    outputs = geo_outputs(geo, *map(tf.constant, RIDES))

    lat, lon, lat2, lon2 = RIDES
    expected = {
        "haversine": haversine_km(*RIDES),
        "manhattan": manhattan_km(*RIDES, grid_angle=29.0),
        "bearing_sin": bearing_sin_cos(*RIDES)[0],
        "bearing_cos": bearing_sin_cos(*RIDES)[1],
        "from_JFK": haversine_km(lat, lon, np.float32(40.6413), np.float32(-73.7781)),
        "to_JFK": haversine_km(lat2, lon2, np.float32(40.6413), np.float32(-73.7781)),
    }
    assert geo.outputs == tuple(expected)
    for output, values in zip(outputs, expected.values(), strict=True):
        np.testing.assert_allclose(output, values, rtol=1e-5, atol=1e-5)


def test_each_distance_is_a_number_of_the_model():
    encoder, columns = _encoder(_geo(distances=("haversine",), numeric={"buckets": 2}))
    block = {name: pa.array(column) for name, column in zip(RAW, RIDES, strict=True)}

    features = _features(encoder, encoder.decode_block(block))
    raw = {name: tf.constant(column) for name, column in zip(RAW, RIDES, strict=True)}
    served = _features(encoder, encoder.decode(raw))

    km = columns["trip.haversine"].astype(float)
    scaled = (km - km.mean()) / km.std()
    median = np.float32(np.median(km))
    np.testing.assert_allclose(features.numbers["trip.haversine"], scaled, atol=1e-5)
    assert features.ids["trip.haversine"].numpy().tolist() == (1 + (km >= median)).tolist()
    assert [f.name for f in encoder.number_features] == ["trip.haversine"]
    assert [line.split(":")[0] for line in encoder.describe()] == ["trip.haversine"] * 2
    for name, values in features.numbers.items():
        np.testing.assert_array_equal(values, served.numbers[name])


def test_a_ride_without_an_end_has_missing_distances():
    encoder, _ = _encoder(_geo(distances=("haversine", "bearing")))
    raw = {name: tf.constant(column[:2]) for name, column in zip(RAW, RIDES, strict=True)}
    raw["lat2"] = tf.constant([np.nan, 40.7])

    features = _features(encoder, encoder.decode(raw))

    for name in ("trip.haversine", "trip.bearing_sin", "trip.bearing_cos"):
        assert features.ids[name].numpy()[0] == 0
        assert features.ids[name].numpy()[1] > 0
        assert features.numbers[name].numpy()[0] == pytest.approx(0, abs=1e-5)


def test_a_distance_that_is_always_missing_is_an_error():
    builder = StatisticsBuilder(["trip.haversine"], [], "y")
    columns = {"trip.haversine": np.full(3, np.nan), "y": np.zeros(3)}
    builder.add(columns, np.arange(3, dtype=np.uint64))

    with pytest.raises(UserError, match=r"every training value of 'trip\.haversine' is missing"):
        GeoEncoder("trip", _geo(distances=("haversine",)), builder.finalize())
