import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer.config import parse_config
from trainer.errors import UserError
from trainer.features import (
    FeatureEncoder,
    IdFeature,
    geo_numbers,
)
from trainer.statistics import StatisticsBuilder
from trainer.vocabularies import read_vocabularies

NUM_ROWS = 400
LABEL = {"column": "y", "task": "regression"}
COLUMNS = {
    "when": {"kind": "datetime", "parts": ["day_of_week", "hour"], "cyclic": ["hour"]},
    "age": {"kind": "numeric", "buckets": 4},
    "age_cell": {"kind": "bucketized", "source": "age", "quantiles": 4, "towers": []},
    "city": {"kind": "categorical", "min_frequency": 1},
    "floor": {"kind": "identity", "size": 5},
    "open": "boolean",
    "trip": {
        "kind": "geo",
        "from_point": ["lat", "lon"],
        "to_point": ["lat2", "lon2"],
        "landmarks": {"JFK": [40.6413, -73.7781]},
    },
    "id": "key",
}
CROSSES = [
    {"columns": ["when.day_of_week", "when.hour"], "bins": 200, "towers": ["wide", "deep"]},
    {"columns": ["age_cell", "city", "trip.haversine"], "bins": 50},
]


def _config(columns=COLUMNS, crosses=CROSSES, **sections):
    values = {"columns": columns, "crosses": crosses, "label": LABEL} | sections
    return parse_config(values, "test")


def _block(num_rows=NUM_ROWS, seed=0):
    """Arrow columns with a missing value in every tenth row of each."""
    rng = np.random.default_rng(seed)

    def holes(values, dtype):
        return pa.array(values, dtype, mask=rng.random(num_rows) < 0.1)

    times = np.datetime64("2010-01-01") + rng.integers(0, 10**8, num_rows).astype("m8[s]")
    points = np.array([[40.7], [-73.9], [40.8], [-74.0]]) + rng.normal(0, 0.05, (4, num_rows))
    names = ("lat", "lon", "lat2", "lon2")
    return {
        "when": holes([str(t).replace("T", " ") for t in times], pa.string()),
        "age": holes(rng.normal(40, 10, num_rows), pa.float32()),
        "city": holes(
            rng.choice(["Rome", "Oslo", "Lima"], num_rows), pa.string()
        ).dictionary_encode(),
        "floor": holes(rng.integers(0, 5, num_rows), pa.int64()),
        "open": holes(rng.choice(["yes", "no"], num_rows), pa.string()).dictionary_encode(),
        **{n: holes(p, pa.float32()) for n, p in zip(names, points, strict=True)},
    }


def _statistics(config, block):
    inputs = [raw.name for raw in config.feature_inputs if raw.dtype == "float"]
    numbers = {name: block[name].to_numpy(zero_copy_only=False) for name in inputs}
    geo = {name: values.numpy() for name, values in geo_numbers(config, numbers).items()}
    builder = StatisticsBuilder([*numbers, *geo], config.counted_columns, "label")
    num_rows = len(next(iter(block.values())))
    tokens = {name: block[name] for name in config.counted_columns}
    columns = {**numbers, **geo, **tokens, "label": np.zeros(num_rows)}
    builder.add(columns, np.arange(num_rows, dtype=np.uint64))
    return builder.finalize()


def _raw(block):
    """The block as serving sends it."""
    raw = {}
    for name, column in block.items():
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type):
            raw[name] = tf.constant(column.fill_null("").to_pylist(), tf.string)
        elif pa.types.is_integer(column.type):
            raw[name] = tf.constant(column.fill_null(-(2**63)).to_numpy())
        else:
            raw[name] = tf.constant(column.fill_null(np.nan).to_numpy(), tf.float32)
    return raw


@pytest.fixture(scope="module")
def encoder():
    return FeatureEncoder(_config(), _statistics(_config(), _block()))


def test_the_layout_follows_the_schema_and_leaves_out_what_no_tower_sees(encoder):
    names = [feature.name for feature in encoder.layout.ids]
    outputs = ["haversine", "manhattan", "bearing_sin", "bearing_cos", "from_JFK", "to_JFK"]

    assert names == [
        "when.day_of_week",
        "when.hour",
        "age",
        "city",
        "floor",
        "open",
        *(f"trip.{output}" for output in outputs),
        "when.day_of_week_x_when.hour",
        "age_cell_x_city_x_trip.haversine",
    ]
    assert encoder.layout.ids[3] == IdFeature("city", 5, wide=True, embedding_dim=2)
    assert encoder.layout.ids[-1] == IdFeature(names[-1], 50, wide=True, embedding_dim=0)
    assert [f.name for f in encoder.layout.numbers][:4] == [
        "when.hour_sin",
        "when.hour_cos",
        "age",
        "age.missing",
    ]


def test_a_block_is_encoded_as_its_raw_rows_are(encoder):
    block = _block(500, seed=1)

    from_block = encoder.encode_block(block)
    served = encoder(_raw(block))

    assert from_block.ids.dtype == np.int32
    assert from_block.numbers.dtype == np.float32
    np.testing.assert_array_equal(from_block.ids, served.ids)
    np.testing.assert_allclose(from_block.numbers, served.numbers, atol=1e-6)


def test_ids_stay_in_their_space_and_numbers_are_never_nan(encoder):
    encoded = encoder.encode_block(_block(3000, seed=2))

    assert (encoded.ids >= 0).all()
    assert (encoded.ids < [feature.size for feature in encoder.layout.ids]).all()
    assert np.isfinite(encoded.numbers).all()


def test_values_are_those_of_a_second_derivation(encoder):
    block = _block(300, seed=3)
    encoded = encoder.encode_block(block)
    ids = {f.name: encoded.ids[:, i] for i, f in enumerate(encoder.layout.ids)}
    numbers = {f.name: encoded.numbers[:, i] for i, f in enumerate(encoder.layout.numbers)}
    age = block["age"].to_numpy(zero_copy_only=False).astype(float)
    train = _block()["age"].drop_null().to_numpy().astype(float)

    mean, sd = train.mean(), train.std()
    expected = np.where(np.isnan(age), 0.0, (age - mean) / sd)
    np.testing.assert_allclose(numbers["age"], expected, atol=1e-5)
    np.testing.assert_array_equal(numbers["age.missing"], np.isnan(age))
    cities, counts = np.unique(
        _block()["city"].dictionary_decode().drop_null().to_pylist(), return_counts=True
    )
    order = sorted(zip(-counts, cities, strict=True))
    city_ids = {None: 0} | {city: 2 + i for i, (_, city) in enumerate(order)}
    assert ids["city"].tolist() == [city_ids[city] for city in block["city"].to_pylist()]
    floors = [0 if floor is None else floor + 1 for floor in block["floor"].to_pylist()]
    assert ids["floor"].tolist() == floors
    times = np.array(block["when"].to_pylist(), "datetime64[s]")
    hours = (times - times.astype("M8[D]")).astype(int) // 3600
    hour_ids = np.where(np.isnat(times), 0, hours + 1)
    weekdays = np.where(np.isnat(times), 0, (times.astype("M8[D]").astype(int) + 3) % 7 + 1)
    assert ids["when.hour"].tolist() == hour_ids.tolist()
    assert ids["when.day_of_week_x_when.hour"].tolist() == (weekdays * 25 + hour_ids).tolist()


@pytest.mark.parametrize("num_rows", [0, 1, 2, 17])
def test_a_row_is_encoded_alike_in_any_batch(encoder, num_rows):
    block = _block(100, seed=4)
    whole = encoder.encode_block(block)
    part = {name: column[30 : 30 + num_rows] for name, column in block.items()}

    for encoded in (encoder.encode_block(part), encoder(_raw(part))):
        assert tuple(encoded.ids.shape) == (num_rows, len(encoder.layout.ids))
        np.testing.assert_array_equal(encoded.ids, whole.ids[30 : 30 + num_rows])
        numbers = whole.numbers[30 : 30 + num_rows]
        np.testing.assert_allclose(encoded.numbers, numbers, atol=1e-6)


def test_it_runs_inside_a_dataset(encoder):
    raw = _raw(_block(64, seed=5))
    dataset = tf.data.Dataset.from_tensor_slices(raw).batch(40).map(encoder)

    batches = list(dataset.as_numpy_iterator())

    np.testing.assert_array_equal(np.concatenate([b.ids for b in batches]), encoder(raw).ids)


def test_a_row_of_missing_and_unseen_values_has_an_id_everywhere(encoder):
    dtypes = {tf.float32: np.nan, tf.int64: -(2**63), tf.string: ""}
    raw = {
        name: tf.constant([dtypes[spec.dtype]], spec.dtype)
        for name, spec in encoder.serving_inputs.items()
    }
    missing = encoder(raw)
    unseen = encoder(raw | {"city": tf.constant(["Bonn"]), "floor": tf.constant([99], tf.int64)})

    # The first cross has an id of its own for missing, the other one is hashed.
    assert missing.ids.numpy()[0, :-1].tolist() == [0] * (len(encoder.layout.ids) - 1)
    assert unseen.ids.numpy()[0, 3:5].tolist() == [1, 0]


def test_serving_inputs_are_the_raw_columns(encoder):
    specs = {
        name: (spec.dtype.name, spec.shape.rank) for name, spec in encoder.serving_inputs.items()
    }

    assert list(specs) == ["when", "age", "city", "floor", "open", "lat", "lon", "lat2", "lon2"]
    assert specs["when"] == ("string", 1)
    assert specs["floor"] == ("int64", 1)
    assert specs["lat2"] == ("float32", 1)


def test_every_feature_is_described(encoder):
    text = "\n".join(encoder.describe())

    features = [*encoder.layout.ids, *encoder.layout.numbers]
    named = [f.name for f in features if not f.name.endswith((".missing", ".zero"))]
    assert [name for name in named if f"{name}: " not in text] == []


def test_a_saved_encoder_gives_the_same_in_a_fresh_process(encoder, tmp_path):
    encoder.encode_block(_block(20))  # traces what training uses; it must not be in the way
    raw = _raw(_block(50, seed=6))
    module = tf.Module()
    module.encoder = encoder
    serve = tf.function(
        lambda **columns: encoder(columns)._asdict(), autograph=False
    ).get_concrete_function(**encoder.serving_inputs)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=serve)
    np.savez(tmp_path / "raw.npz", **{name: value.numpy() for name, value in raw.items()})
    script = """
import numpy as np, tensorflow as tf
raw = np.load("raw.npz", allow_pickle=True)
model = tf.saved_model.load("model")
served = model.signatures["serving_default"](**{n: tf.constant(raw[n]) for n in raw.files})
np.savez("served.npz", **{n: v.numpy() for n, v in served.items()})
"""

    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)

    served = np.load(tmp_path / "served.npz")
    np.testing.assert_array_equal(served["ids"], encoder(raw).ids)
    np.testing.assert_allclose(served["numbers"], encoder(raw).numbers, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "id"])
def test_each_column_works_alone(name):
    columns = {
        name: COLUMNS[name] | {"towers": ["wide"]}
        if isinstance(COLUMNS[name], dict)
        else {"kind": COLUMNS[name]}
    }
    config, block = _config(columns, crosses=[]), _block()

    encoder = FeatureEncoder(config, _statistics(config, block))

    encoded = encoder.encode_block(block)
    assert encoded.ids.shape == (NUM_ROWS, len(encoder.layout.ids))
    assert encoded.numbers.shape == (NUM_ROWS, len(encoder.layout.numbers))
    np.testing.assert_array_equal(encoder(_raw(block)).ids, encoded.ids)


def test_a_table_without_ids_and_one_without_numbers():
    block = _block(3)
    for column, shapes in (
        ({"kind": "numeric", "buckets": 0, "missing": "mean"}, ((3, 0), (3, 1))),
        ({"kind": "categorical", "hash_buckets": 2}, ((3, 1), (3, 0))),
    ):
        name = "age" if column["kind"] == "numeric" else "city"
        config = _config({name: column}, crosses=[])
        encoder = FeatureEncoder(config, _statistics(config, block))
        for encoded in (encoder.encode_block(block), encoder(_raw(block))):
            assert (tuple(encoded.ids.shape), tuple(encoded.numbers.shape)) == shapes
            assert np.asarray(encoded.ids).dtype == np.int32


def test_a_default_width_holds_where_a_column_states_none():
    config = _config(COLUMNS | {"floor": {"kind": "identity", "size": 5, "embedding_dim": 3}})

    encoder = FeatureEncoder(config, _statistics(config, _block()), default_embedding_dim=8)

    widths = {feature.name: feature.embedding_dim for feature in encoder.layout.ids}
    assert (widths["city"], widths["floor"], widths["when.hour"]) == (8, 3, 8)


def test_a_constant_column_may_still_be_crossed(caplog):
    config = _config(
        {"age": "numeric", "city": "categorical"}, crosses=[{"columns": ["age", "city"]}]
    )
    block = _block() | {"age": pa.array(np.ones(NUM_ROWS, np.float32))}

    with caplog.at_level(logging.WARNING):
        encoder = FeatureEncoder(config, _statistics(config, block))

    assert "age has the value 1 in every training row" in caplog.text
    assert [feature.name for feature in encoder.layout.ids] == ["city", "age_x_city"]


def test_no_rows_is_an_error():
    config = _config({"age": "numeric"}, crosses=[])
    empty = {"age": pa.array([], pa.float32())}

    with pytest.raises(UserError, match="the training data has no usable row"):
        FeatureEncoder(config, _statistics(config, empty))


def test_two_features_of_one_name_are_an_error():
    columns = {
        "age": {"kind": "numeric", "buckets": 0},
        "age.missing": {"kind": "numeric", "source": "lat"},
    }
    config = _config(columns, crosses=[])

    with pytest.raises(UserError, match=r"two features have the name 'age\.missing'"):
        FeatureEncoder(config, _statistics(config, _block()))


def _with_vocabulary(path: Path, text: str):
    path.write_bytes(text.encode())
    return _config({"city": {"kind": "categorical", "vocabulary_file": str(path)}}, crosses=[])


def test_a_vocabulary_file_has_a_token_a_line(tmp_path):
    config = _with_vocabulary(tmp_path / "v.txt", "Rome\r\nS\u00e3o Paulo\n\nOslo")
    vocabularies = read_vocabularies(config)

    encoder = FeatureEncoder(config, _statistics(config, _block()), "auto", vocabularies)
    encoded = encoder({"city": tf.constant(["Oslo", "S\u00e3o Paulo", "Lima"])})

    assert vocabularies == {"city": ("Rome", "S\u00e3o Paulo", "Oslo")}
    assert encoded.ids.numpy().tolist() == [[4], [3], [1]]
