import datetime

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.columns import Datetime
from trainer.datetime_encoders import DatetimeEncoder
from trainer.encoders import IdFeature, NumberFeature
from trainer.statistics import StatisticsBuilder
from trainer.transforms import MISSING_TIME

NOTHING = StatisticsBuilder([], [], None).finalize()

TEXTS = ["2013-03-27 03:35:00 UTC", "1999-12-31 23:59:59 UTC", "2012-02-29 00:00:00 UTC"]
SECONDS = [
    int(
        datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC")
        .replace(tzinfo=datetime.timezone.utc)
        .timestamp()
    )
    for text in TEXTS
]


def test_parts_are_ids_and_cyclic_parts_waves():
    encoder = DatetimeEncoder("t", Datetime(parts=("month", "hour"), cyclic=("hour",)), 5, NOTHING)

    features = encoder.encode(encoder.decode({"t": tf.constant([*TEXTS, ""])}))

    assert features.ids["t.month"].numpy().tolist() == [3, 12, 2, 0]
    assert features.ids["t.hour"].numpy().tolist() == [4, 24, 1, 0]
    angles = 2 * np.pi * np.array([3, 23, 0]) / 24
    sine, cosine = features.numbers["t.hour_sin"], features.numbers["t.hour_cos"]
    np.testing.assert_allclose(sine, [*np.sin(angles), 0], atol=1e-6)
    np.testing.assert_allclose(cosine, [*np.cos(angles), 0], atol=1e-6)
    assert encoder.id_features == [
        IdFeature("t.month", 13, True, 5),
        IdFeature("t.hour", 25, True, 5),
    ]
    assert encoder.number_features == [
        NumberFeature("t.hour_sin", wide=False, deep=True),
        NumberFeature("t.hour_cos", wide=False, deep=True),
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS),
        pa.array(["x", *TEXTS])[1:],
        pa.array(TEXTS).dictionary_encode(),
    ],
    ids=["plain", "slice", "dictionary"],
)
def test_a_block_decodes_as_texts_do(column):
    encoder = DatetimeEncoder("t", Datetime(source="raw"), "auto", NOTHING)

    assert np.asarray(encoder.decode_block({"raw": column})["t"]).tolist() == SECONDS


@pytest.mark.parametrize("encode", [lambda a: a, lambda a: a.dictionary_encode()])
def test_a_block_with_holes_decodes_as_texts_do(encode):
    encoder = DatetimeEncoder("t", Datetime(), "auto", NOTHING)
    column = encode(pa.array([TEXTS[0], None, "", "soon", TEXTS[1]]))

    decoded = encoder.decode_block({"t": column})["t"]

    missing = int(MISSING_TIME)
    assert np.asarray(decoded).tolist() == [SECONDS[0], missing, missing, missing, SECONDS[1]]


@pytest.mark.parametrize(("unit", "per_second"), [("seconds", 1), ("milliseconds", 1000)])
def test_epochs_count_in_their_unit(unit, per_second):
    encoder = DatetimeEncoder(
        "t", Datetime(format=f"epoch_{unit}", parts=("hour",)), "auto", NOTHING
    )
    counts = [SECONDS[0] * per_second, -1, None]
    served = [SECONDS[0] * per_second, -1, int(MISSING_TIME)]

    block = encoder.decode_block({"t": pa.array(counts, pa.int64())})["t"].numpy().tolist()
    served = encoder.decode({"t": tf.constant(served, tf.int64)})["t"].numpy().tolist()

    # One unit before 1970 is in its last second.
    assert block == served == [SECONDS[0], -1, int(MISSING_TIME)]


def test_descriptions_have_a_line_per_part():
    encoder = DatetimeEncoder("t", Datetime(parts=("hour",), cyclic=("hour",)), "auto", NOTHING)

    assert encoder.describe() == [
        "t.hour: 25 ids (missing and 24 values); wide, embedding 3",
        "t.hour_sin: -1 to 1, missing as 0; deep",
        "t.hour_cos: -1 to 1, missing as 0; deep",
    ]
