"""trainer.datetime_numbers: times as numbers, against Python's calendar and through a run."""

import datetime

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from trainer.blocks import open_parts
from trainer.cluster import Cluster
from trainer.config import parse_config
from trainer.data_files import find_files, with_tables
from trainer.datetime_numbers import datetime_numbers
from trainer.errors import UserError
from trainer.features import FeatureEncoder
from trainer.transforms import MISSING_TIME

NAMES = ("time", "time_of_day", "day_of_year")
TIMES = [
    datetime.datetime(2012, 2, 29, 23, 59, 59),
    datetime.datetime(2012, 12, 31),
    datetime.datetime(2013, 12, 31, 6, 30),
    datetime.datetime(1969, 12, 31, 12),
    datetime.datetime(1900, 3, 1, 1),
    datetime.datetime(1, 1, 1),
    datetime.datetime(9999, 12, 31, 23, 59, 59),
]
EPOCH = datetime.datetime(1970, 1, 1)


def seconds_of(time):
    return (time - EPOCH) // datetime.timedelta(seconds=1)


def test_numbers_are_those_of_the_calendar_and_missing_is_nan():
    seconds = tf.constant([*map(seconds_of, TIMES), int(MISSING_TIME), 2**60], tf.int64)

    time, time_of_day, day_of_year = (
        values.numpy() for values in datetime_numbers(seconds, NAMES, 15_000, tf.float64)
    )

    days = [(t - EPOCH) / datetime.timedelta(days=1) - 15_000 for t in TIMES]
    np.testing.assert_allclose(time, [*days, np.nan, np.nan], rtol=1e-13)
    hours = [t.hour + t.minute / 60 + t.second / 3600 for t in TIMES]
    np.testing.assert_allclose(time_of_day, [*hours, np.nan, np.nan], rtol=1e-13)
    yearday = [float(t.timetuple().tm_yday) for t in TIMES]
    np.testing.assert_array_equal(day_of_year, [*yearday, np.nan, np.nan])


def make_config(**options):
    return parse_config(
        {
            "columns": {"t": {"kind": "datetime", "parts": ["month"], **options}},
            "label": {"column": "y", "task": "regression"},
        },
        "test",
    )


def test_numbers_enter_scaled_around_the_training_rows_and_training_and_serving_agree():
    rng = np.random.default_rng(0)
    times = [
        datetime.datetime(2013, 6, 1) + datetime.timedelta(seconds=int(s))
        for s in rng.integers(0, 86_400 * 20, 500)
    ]
    texts = [str(t) for t in times]
    texts[7::50] = [None] * len(texts[7::50])
    config = make_config(numbers=list(NAMES))
    tables = {"train": pd.DataFrame({"t": texts, "y": rng.normal(size=500)})}
    config = with_tables(config, tables, Cluster())
    part = open_parts(config, find_files(config.data, "", tables))["train"]

    encoder = FeatureEncoder(config, part.statistics())
    (block,) = part.blocks()
    encoded = encoder.encode_block(block.columns)
    served = encoder({"t": tf.constant([text or "" for text in texts])})

    np.testing.assert_array_equal(encoded.numbers, served.numbers.numpy())
    names = [feature.name for feature in encoder.layout.numbers]
    assert names == [f"t.{name}{suffix}" for name in NAMES for suffix in ("", ".missing")]
    is_present = np.array([text is not None for text in texts])
    days = np.array([(t - EPOCH) / datetime.timedelta(days=1) for t in times])[is_present]
    expected = (days - days.mean()) / days.std()
    # A float32 of days since 1970 would be off by 84 seconds, 0.00017 of the standard deviation.
    np.testing.assert_allclose(encoded.numbers[is_present, 0], expected, atol=2e-6)
    np.testing.assert_array_equal(encoded.numbers[:, 1], 1 - is_present.astype(np.float32))
    assert [f.name for f in encoder.layout.ids] == ["t.month"]
    assert any("t.time: (x - " in line for line in encoder.describe())


def test_numbers_of_buckets_can_be_crossed():
    config = parse_config(
        {
            "columns": {
                "t": {
                    "kind": "datetime",
                    "numbers": ["time_of_day"],
                    "numeric": {"buckets": 8},
                },
                "c": "categorical",
            },
            "crosses": [{"columns": ["t.time_of_day", "c"]}],
            "label": {"column": "y", "task": "regression"},
        },
        "test",
    )

    assert config.crosses[0].name == "t.time_of_day_x_c"


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"numbers": ["time", "time"]}, "numbers names one twice: time, time"),
        ({"numeric": {"scale": "none"}}, "numeric has an effect only with numbers"),
        ({"numbers": ["day"]}, "day"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, reason):
    with pytest.raises(UserError, match=reason):
        make_config(**options)
