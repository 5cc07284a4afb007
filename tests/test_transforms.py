import datetime

import numpy as np
import pytest
import tensorflow as tf

from trainer.transforms import (
    MISSING_TIME,
    bearing_sin_cos,
    combine_ids,
    cyclic,
    date_part,
    date_parts,
    haversine_km,
    in_whole_packets,
    manhattan_km,
    mix_ids,
    parse_datetime,
    parse_datetime_bytes,
)

FORMAT = "%Y-%m-%d %H:%M:%S"
RADIUS_KM = 6371.0088


def _rides(num_rows, seed=0):
    """Starts and ends in a city, float32 degrees."""
    rng = np.random.default_rng(seed)
    centre = np.array([[40.75], [-73.97], [40.75], [-73.97]])
    return (centre + rng.normal(0, 0.05, (4, num_rows))).astype(np.float32)


def _unit_vectors(lat, lon):
    lat, lon = np.radians(lat.astype(np.float64)), np.radians(lon.astype(np.float64))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _vector_distance_km(lat1, lon1, lat2, lon2):
    a, b = _unit_vectors(lat1, lon1), _unit_vectors(lat2, lon2)
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return RADIUS_KM * np.arctan2(cross, (a * b).sum(-1))


def _eager_and_mapped(function, *columns):
    """The function's result, after checking that `dataset.map` gives the same."""
    eager = tf.nest.map_structure(lambda t: t.numpy(), function(*map(tf.constant, columns)))
    dataset = tf.data.Dataset.from_tensors(tuple(columns)).map(lambda *c: function(*c))
    mapped = next(iter(dataset.as_numpy_iterator()))
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), eager, mapped
    )
    return eager


def test_haversine_is_the_angle_between_position_vectors():
    rides = _rides(1000)

    distance = _eager_and_mapped(haversine_km, *rides)

    np.testing.assert_allclose(distance, _vector_distance_km(*rides), rtol=2e-6, atol=1e-6)


def test_haversine_of_metres_and_of_half_the_earth():
    # One step of float32 near 40.75 degrees is 3.8e-6 degrees, 0.42 m.
    lat = np.float32([40.75, 0.0, 0.0, 50.0])
    lat2 = np.float32([np.nextafter(np.float32(40.75), np.float32(41)), 0.0, 0.0, 50.0])
    lon, lon2 = np.float32([-73.97, 0, 0, 8]), np.float32([-73.97, 90, 180, 8])

    distance = haversine_km(lat, lon, lat2, lon2).numpy()

    one_step = (float(lat2[0]) - float(lat[0])) * np.pi / 180 * RADIUS_KM
    expected = [one_step, RADIUS_KM * np.pi / 2, RADIUS_KM * np.pi, 0.0]
    np.testing.assert_allclose(distance, expected, rtol=3e-4)
    np.testing.assert_allclose(distance[:2], expected[:2], rtol=1e-6)


def test_manhattan_follows_the_grid():
    # 1 degree of latitude is R * pi / 180; at 60 degrees one of longitude is half of it.
    km = RADIUS_KM * np.pi / 180
    lat1, lon1 = np.float32([59.5, 60.0]), np.float32([10.0, 10.0])
    lat2, lon2 = np.float32([60.5, 60.0]), np.float32([12.0, 12.0])

    straight = _eager_and_mapped(
        lambda *c: manhattan_km(*c, grid_angle=0.0), lat1, lon1, lat2, lon2
    )
    turned = manhattan_km(lat1, lon1, lat2, lon2, grid_angle=45.0).numpy()

    np.testing.assert_allclose(straight, [2 * km, km], rtol=1e-5)
    # North-east by (1, 1) is one axis of a grid at 45 degrees; east alone is both.
    np.testing.assert_allclose(turned, [np.sqrt(2) * km, np.sqrt(2) * km], rtol=1e-5)


def test_bearing_points_along_the_tangent():
    rides = _rides(500, seed=1)
    lat1, lon1, lat2, lon2 = rides.astype(np.float64)
    start, end = _unit_vectors(lat1, lon1), _unit_vectors(lat2, lon2)
    east = np.stack([-np.sin(np.radians(lon1)), np.cos(np.radians(lon1)), 0 * lon1], axis=-1)
    north = np.cross(start, east)
    tangent = np.stack([(end * east).sum(-1), (end * north).sum(-1)])

    sine, cosine = _eager_and_mapped(bearing_sin_cos, *rides)

    tangent /= np.linalg.norm(tangent, axis=0)
    np.testing.assert_allclose([sine, cosine], tangent, atol=2e-4)


def test_bearing_of_no_movement_is_zero_and_of_the_four_directions_known():
    lat2, lon2 = np.float32([0, 1, 0, -1, 0]), np.float32([0, 0, 1, 0, -1])
    zero = np.zeros(5, np.float32)

    sine, cosine = bearing_sin_cos(zero, zero, lat2, lon2)

    np.testing.assert_allclose(sine, [0, 0, 1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(cosine, [0, 1, 0, -1, 0], atol=1e-6)


@pytest.mark.parametrize("missing", range(4))
def test_a_missing_coordinate_makes_every_distance_missing(missing):
    rides = _rides(3)
    rides[missing, 1] = np.nan

    results = [
        haversine_km(*rides),
        manhattan_km(*rides, grid_angle=29.0),
        *bearing_sin_cos(*rides),
    ]

    for result in results:
        assert np.isnan(result.numpy()).tolist() == [False, True, False]


def test_a_row_has_the_same_distance_alone_and_in_a_block():
    rides = _rides(1003)

    def compute(rides_4B):
        points = tf.unstack(rides_4B)
        return tf.stack([haversine_km(*points), *bearing_sin_cos(*points)])

    block = in_whole_packets(compute, rides).numpy()
    alone = [in_whole_packets(compute, rides[:, i : i + 1]).numpy() for i in range(0, 1003, 17)]

    assert block[:, ::17].tolist() == np.concatenate(alone, axis=1).tolist()


def test_whole_packets_of_no_row():
    assert in_whole_packets(lambda x: x + 1, tf.zeros((2, 0))).shape == (2, 0)


def _seconds(text, pattern=FORMAT):
    moment = datetime.datetime.strptime(text, pattern).replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp())


def test_datetimes_are_seconds_since_1970():
    texts = [
        "2013-03-27 03:35:00",
        "1970-01-01 00:00:00",
        "1969-12-31 23:59:59",
        "2000-02-29 12:00:01",
        "1900-03-01 00:00:00",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59",
    ]

    seconds = _eager_and_mapped(lambda t: parse_datetime(t, FORMAT), np.array(texts))

    assert seconds.tolist() == [_seconds(text) for text in texts]


def test_every_day_of_two_centuries_parses():
    days = np.arange("1900-01-01", "2101-01-01", dtype="datetime64[D]")

    seconds = parse_datetime(tf.constant(days.astype(str)), "%Y-%m-%d").numpy()

    assert (seconds == days.astype("datetime64[s]").astype(np.int64)).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n/a",
        "2013-03-27",
        "2013-02-29 00:00:00",
        "1900-02-29 00:00:00",
        "2013-04-31 00:00:00",
        "2013-00-10 00:00:00",
        "2013-13-10 00:00:00",
        "2013-99-10 00:00:00",
        "2013-01-00 00:00:00",
        "2013-01-10 24:00:00",
        "2013-01-10 00:60:00",
        "2013-01-10 00:00:60",
        "2013-1-10 00:00:00 ",
        " 013-01-10 00:00:00",
        "27-03-2013 00:00:00",
    ],
)
def test_no_date_is_missing(text):
    assert parse_datetime(tf.constant([text]), FORMAT).numpy().tolist() == [MISSING_TIME]


def test_text_behind_the_format_and_other_separators_are_ignored():
    texts = tf.constant(["2013-03-27 03:35:00 UTC", "2013/03/27T03:35:00"])

    assert parse_datetime(texts, FORMAT).numpy().tolist() == [_seconds("2013-03-27 03:35:00")] * 2


def test_other_formats_and_absent_parts():
    texts = tf.constant(["27.03.2013 03h"])

    seconds = parse_datetime(texts, "%d.%m.%Y %Hh").numpy()

    assert seconds.tolist() == [_seconds("2013-03-27 03:00:00")]
    assert parse_datetime(tf.constant(["2013"]), "%Y").numpy() == _seconds("2013-01-01 00:00:00")


def test_no_text_gives_no_seconds():
    assert parse_datetime(tf.constant([], tf.string), FORMAT).shape == (0,)


def test_bytes_are_read_as_the_text_is():
    texts = ["2013-03-27 03:35:00", "2013-02-30 03:35:00"]
    data = np.frombuffer("".join(texts).encode(), np.uint8).reshape(2, -1)

    from_bytes = _eager_and_mapped(lambda b: parse_datetime_bytes(b, FORMAT), data)

    assert from_bytes.tolist() == [_seconds(texts[0]), MISSING_TIME]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("year", lambda t: t.year - 1970),
        ("month", lambda t: t.month - 1),
        ("day_of_week", lambda t: t.weekday()),
        ("hour", lambda t: t.hour),
        ("minute_of_day", lambda t: t.hour * 60 + t.minute),
    ],
)
def test_date_parts_are_those_of_the_calendar(part, value):
    rng = np.random.default_rng(2)
    seconds = rng.integers(0, 4_000_000_000, 2000)
    seconds[0] = 951_782_400  # 2000-02-29
    times = [datetime.datetime.fromtimestamp(s, datetime.timezone.utc) for s in seconds.tolist()]

    ids = _eager_and_mapped(lambda s: date_part(s, part), seconds)

    assert ids.dtype == np.int32
    assert ids.tolist() == [1 + value(time) for time in times]


def test_times_before_1970_have_parts_and_the_first_year():
    seconds = tf.constant([_seconds("1969-12-31 23:59:59")], tf.int64)

    parts = ["year", "month", "day_of_week", "hour", "minute_of_day"]
    ids = date_parts(seconds, parts)

    assert {part: int(ids[part][0]) for part in ids} == dict(
        zip(parts, [1, 12, 3, 24, 1440], strict=True)
    )


def test_every_day_of_two_eras_has_its_month_and_year():
    days = np.arange(-200_000, 160_000)
    times = days.astype("datetime64[D]")

    ids = date_parts(tf.constant(days * 86_400 + 86_399), ["month", "year"])

    months = times.astype("datetime64[M]").astype(int)
    years = times.astype("datetime64[Y]").astype(int)
    np.testing.assert_array_equal(ids["month"], 1 + months % 12)
    np.testing.assert_array_equal(ids["year"], 1 + np.clip(years, 0, 130))


def test_years_behind_the_range_are_the_last_one():
    assert date_part(tf.constant([_seconds("2500-01-01 00:00:00")], tf.int64), "year")[0] == 131


@pytest.mark.parametrize("seconds", [MISSING_TIME, 10**12, -(10**12)])
def test_missing_and_impossible_times_have_id_0_and_no_wave(seconds):
    time = tf.constant([seconds], tf.int64)

    assert date_part(time, "hour").numpy().tolist() == [0]
    assert [float(wave[0]) for wave in cyclic(date_part(time, "hour"), "hour")] == [0.0, 0.0]


def test_hours_go_round_the_circle():
    seconds = np.array([0, 6, 12, 18], np.int64) * 3600

    sine, cosine = _eager_and_mapped(lambda s: cyclic(date_part(s, "hour"), "hour"), seconds)

    np.testing.assert_allclose(sine, [0, 1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(cosine, [1, 0, -1, 0], atol=1e-6)


def test_a_small_cross_has_an_id_for_each_combination():
    first, second = np.meshgrid(np.arange(4, dtype=np.int32), np.arange(5, dtype=np.int32))

    ids = _eager_and_mapped(lambda a, b: combine_ids([a, b], [4, 5]), first.ravel(), second.ravel())

    assert ids.tolist() == (first.ravel() * 5 + second.ravel()).tolist()


def _mixed(ids, bins):
    mask = 0xFFFFFFFF
    h = 0
    for position, part in enumerate(ids, start=1):
        h = (h + part + position * 0x9E3779B9) & mask
        h ^= h >> 16
        h = h * 0x85EBCA6B & mask
        h ^= h >> 13
        h = h * 0xC2B2AE35 & mask
        h ^= h >> 16
    return h % bins


def test_a_large_cross_is_mixed_as_whole_numbers_are():
    rng = np.random.default_rng(6)
    ids = rng.integers(0, 2**31 - 1, (3, 500)).astype(np.int32)

    mixed = _eager_and_mapped(lambda *parts: mix_ids(parts, 1000), *ids)

    assert mixed.dtype == np.int32
    assert mixed.tolist() == [_mixed(row, 1000) for row in ids.T.tolist()]


def test_a_hashed_cross_spreads_and_knows_the_order_of_its_columns():
    grid = np.stack(np.meshgrid(np.arange(100), np.arange(100))).reshape(2, -1).astype(np.int32)

    ids = mix_ids(list(grid), 1000).numpy()
    swapped = mix_ids(list(grid[::-1]), 1000).numpy()

    counts = np.bincount(ids, minlength=1000)
    # 10 rows a bin; chi-square of 999 degrees of freedom stays below 1143 in 999 of 1,000 cases.
    assert ((counts - 10) ** 2 / 10).sum() < 1143
    assert (ids != swapped).mean() > 0.9
