"""Random instances for an exported model: its answer is finite, and that of the training path.

    python -m pytest tests/test_fuzz_*.py --fuzz_examples=10000

gives each test that many inputs (some cost more and take a share); by default a few, the same each
time.
"""

import csv
import math

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import fuzz
from trainer.blocks import open_parts
from trainer.config import parse_config
from trainer.export import export_model
from trainer.features import FeatureEncoder
from trainer.network import WideAndDeep
from trainer.serving import MISSING

COLUMNS = {
    "age": {"kind": "numeric", "missing": "indicator"},
    "age_cell": {"kind": "bucketized", "source": "age", "quantiles": 4},
    "income": {"kind": "numeric", "scale": "log1p", "missing": "median"},
    "height": {"kind": "numeric", "scale": "minmax", "missing": "constant", "missing_value": 1.7},
    "gain": {"kind": "numeric", "scale": "maxabs", "clip": [-5, 5], "missing": "mean"},
    "city": {"kind": "categorical", "min_frequency": 1, "oov_buckets": 3},
    "shop": {"kind": "categorical", "hash_buckets": 50},
    "size": {"kind": "categorical", "vocabulary": ["S", "M", "L"]},
    "floor": {"kind": "identity", "size": 5},
    "open": "boolean",
    "when": {"kind": "datetime", "parts": ["year", "month", "hour"], "cyclic": ["minute_of_day"]},
    "paid": {"kind": "datetime", "format": "epoch_milliseconds", "cyclic": ["hour"]},
    "trip": {
        "kind": "geo",
        "from_point": ["lat", "lon"],
        "to_point": ["lat2", "lon2"],
        "landmarks": {"JFK": [40.6413, -73.7781]},
    },
}
CROSSES = [
    {"columns": ["city", "when.hour"], "bins": 40, "towers": ["wide", "deep"]},
    {"columns": ["age_cell", "size", "open"], "bins": 500},
]
NUMBERS = ("age", "income", "height", "gain", "lat", "lon", "lat2", "lon2")
INTEGERS = ("floor", "paid")
TEXTS = ("city", "shop", "size", "open", "when")


def write_rides(path):
    rng = np.random.default_rng(8)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*NUMBERS, *INTEGERS, *TEXTS, "y"])
        for row in range(300):
            age, income, height, gain = rng.normal(40, 9), rng.exponential(3e4), 1.7, row % 7 - 3
            points = rng.normal([40.7, -73.9, 40.8, -74.0], 0.05)
            numbers = [age if row % 9 else "", income, height + row / 1e3, gain, *points]
            integers = [row % 5, 1_600_000_000_000 + row * 10**7]
            texts = ["Rome", "Oslo", "Lima", ""][row % 4], f"shop {row % 20}", "SML"[row % 3]
            when = f"2020-{row % 12 + 1:02}-{row % 28 + 1:02} {row % 24:02}:{row % 60:02}:00"
            writer.writerow([*numbers, *integers, *texts, ["yes", "no"][row % 2], when, row % 2])


class Trained:
    """A model with random weights, by its training path and as exported and loaded."""

    def __init__(self, folder):
        path = folder / "rides.csv"
        write_rides(path)
        config = parse_config(
            {
                "columns": COLUMNS,
                "crosses": CROSSES,
                "label": {"column": "y", "task": "binary"},
                "model": {"hidden_units": [8]},
            },
            "test",
        )
        part = open_parts(config, {"train": (str(path),)})["train"]
        statistics = part.statistics()
        self.encoder = FeatureEncoder(config, statistics)
        self.network = WideAndDeep(
            self.encoder.layout, config.model.for_task("binary"), batch_size=32
        )
        rng = np.random.default_rng(9)
        for weight in self.network.trainable_variables:
            # Small enough that the probability is not rounded to 0 or 1.
            weight.assign(rng.normal(0, 0.05, weight.shape))
        instances, columns = part.sample(20)
        export_model(
            encoder=self.encoder,
            predict=lambda encoded: tf.sigmoid(self.network(encoded.ids, encoded.numbers)[:, 0]),
            trackables=[weight.value for weight in self.network.variables],
            schema=config,
            config=config,
            instances=instances,
            expected=self.score(columns),
            files={},
            model_dir=str(folder / "model"),
        )
        loaded = tf.saved_model.load(str(folder / "model"))
        self.loaded = loaded  # or its tables would go
        self.signatures = loaded.signatures

    def score(self, columns):
        """Probabilities by the training path, from Arrow columns as the reader gives them."""
        encoded = self.encoder.encode_block(columns)
        logits = self.network(tf.constant(encoded.ids), tf.constant(encoded.numbers))
        return tf.sigmoid(logits[:, 0]).numpy()

    def serve(self, rows):
        """Probabilities of raw rows, bytes for texts."""
        tensors = {
            **{name: tf.constant([row[name] for row in rows], tf.float32) for name in NUMBERS},
            **{name: tf.constant([row[name] for row in rows], tf.int64) for name in INTEGERS},
            **{name: tf.constant([row[name] for row in rows], tf.string) for name in TEXTS},
        }
        answer = self.signatures["serving_default"](**tensors)
        return answer["probability"].numpy(), answer["class"].numpy()

    def serve_examples(self, rows):
        """As `serve`, from tf.Example; a missing value is left out."""
        examples = []
        for row in rows:
            features = {}
            for name, value in row.items():
                if is_missing(name, value):
                    continue
                if name in NUMBERS:
                    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                elif name in INTEGERS:
                    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                else:
                    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                features[name] = feature
            message = tf.train.Example(features=tf.train.Features(feature=features))
            examples.append(message.SerializeToString())
        return self.signatures["serving_examples"](tf.constant(examples))["probability"].numpy()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("serving"))


def is_missing(name, value):
    if name in NUMBERS:
        return math.isnan(value)
    return value == (MISSING["int64"] if name in INTEGERS else b"")


def arrow_columns(rows):
    """The rows as the reader would give them: null where missing."""
    columns = {}
    for name in (*NUMBERS, *INTEGERS, *TEXTS):
        kind = pa.float32() if name in NUMBERS else pa.int64() if name in INTEGERS else pa.string()
        values = [None if is_missing(name, row[name]) else row[name] for row in rows]
        values = [v.decode() if isinstance(v, bytes) else v for v in values]
        columns[name] = pa.array(values, kind)
        if name in ("city", "shop", "size", "open"):
            columns[name] = columns[name].dictionary_encode()
    return columns


FLOATS = st.one_of(
    st.floats(width=32, allow_infinity=False),
    st.sampled_from(
        [math.nan, 0.0, -0.0, 40.7, -73.9, 90.0, 180.0, -180.0, 3.4e38, -3.4e38, 1e-45]
    ),
)
WHOLE = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([MISSING["int64"], -1, 0, 4, 5, 2**31, 2**63 - 1, 1_600_000_000_000]),
)
TIMES = """2020-02-29 23:59:59|2021-02-29 00:00:00|2020-13-01 00:00:00|0000-01-01 00:00:00
9999-12-31T23:59:59Z|2020-1-1|2020-01-01 24:00:00|\u0662020-01-01 00:00:00|2020-01-01 00:00:00Z"""
KNOWN = st.one_of(
    st.sampled_from(["", "Rome", "rome", "Oslo ", "S", "M", "shop 3", "YES", "f", "0", "NA", "\0"]),
    st.sampled_from([*TIMES.replace("\n", "|").split("|"), "x" * 9_000]),
)
UNICODE = st.one_of(KNOWN, KNOWN, st.text(st.characters(codec="utf-8"), max_size=24)).map(
    str.encode
)
ANY_BYTES = st.one_of(UNICODE, st.binary(max_size=30))


def rows_of(floats, texts):
    row = {
        **dict.fromkeys(NUMBERS, floats),
        **dict.fromkeys(INTEGERS, WHOLE),
        **dict.fromkeys(TEXTS, texts),
    }
    return st.lists(st.fixed_dictionaries(row), min_size=1, max_size=6)


@fuzz(0.7)
@given(rows_of(FLOATS, UNICODE))
def test_answer_is_that_of_the_training_path(trained, rows):
    scores, classes = trained.serve(rows)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, trained.score(arrow_columns(rows)), rtol=1e-5)
    np.testing.assert_array_equal(classes, scores >= np.float32(0.5))
    np.testing.assert_allclose(trained.serve_examples(rows), scores, rtol=1e-6)


INFINITE = st.one_of(FLOATS, st.sampled_from([math.inf, -math.inf]))


@fuzz(0.7)
@given(rows_of(INFINITE, ANY_BYTES))
def test_answer_to_what_training_refuses_is_finite_and_no_matter_of_the_batch(trained, rows):
    scores, _ = trained.serve(rows)
    assert np.isfinite(scores).all()
    assert ((scores > 0) & (scores < 1)).all()
    alone = [trained.serve([row])[0][0] for row in rows[:2]]
    np.testing.assert_allclose(alone, scores[:2], rtol=1e-6)
