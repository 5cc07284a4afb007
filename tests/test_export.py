import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from trainer import storage
from trainer.config import Config
from trainer.errors import TrainingFailed, UserError
from trainer.export import export_model
from trainer.serving import MISSING, signature_names

COLORS = ["blue", "red"]
MISSING_HOUR = MISSING["int64"]
ROWS = [
    {"id": "r0", "size": 1.5, "hour": 3, "color": "red"},
    {"id": "r1", "size": -2.25, "hour": 0, "color": "violet"},
    {"id": "r2", "size": None, "hour": 7, "color": ""},
    {"id": "r3", "size": 0.1, "hour": None, "color": "blue"},
]


class Encoded(NamedTuple):
    ids: tf.Tensor
    numbers: tf.Tensor


class SmallEncoder(tf.Module):
    """Ids of `color` by a vocabulary and of `hour`; `size` with its missing value at 0.5."""

    serving_inputs = {  # noqa: RUF012
        "size": tf.TensorSpec([None], tf.float32),
        "hour": tf.TensorSpec([None], tf.int64),
        "color": tf.TensorSpec([None], tf.string),
    }

    def __init__(self):
        super().__init__()
        pairs = tf.lookup.KeyValueTensorInitializer(COLORS, [1, 2], tf.string, tf.int64)
        self.table = tf.lookup.StaticHashTable(pairs, default_value=0)

    def __call__(self, raw):
        hour_B = tf.where((raw["hour"] >= 0) & (raw["hour"] < 24), raw["hour"] + 1, 0)
        ids_BF = tf.stack([self.table.lookup(raw["color"]), hour_B], axis=1)
        size_B = tf.where(tf.math.is_nan(raw["size"]), 0.5, raw["size"])
        return Encoded(tf.cast(ids_BF, tf.int32), size_B[:, tf.newaxis])


def small_model():
    keras.utils.set_random_seed(3)
    ids = keras.Input((2,), dtype="int32")
    numbers = keras.Input((1,))
    embedded = keras.layers.Flatten()(keras.layers.Embedding(25, 4)(ids))
    hidden = keras.layers.Dense(8, "relu")(keras.layers.Concatenate()([embedded, numbers]))
    return keras.Model([ids, numbers], keras.layers.Dense(1)(hidden))


def small_config(task="regression", **changes):
    return Config.model_validate(
        {
            "columns": {
                "size": "numeric",
                "hour": {"kind": "identity", "size": 24},
                "color": "categorical",
                "id": "key",
            },
            "label": {"column": "y", "task": task, **changes.pop("label", {})},
            **changes,
        }
    )


def numpy_logits(model, rows):
    """The model's arithmetic in numpy, from the raw rows."""
    table, weight_1, bias_1, weight_2, bias_2 = (w.numpy() for w in model.weights)
    logits = []
    for row in rows:
        hour = 0 if row["hour"] is None else row["hour"] + 1
        color = 1 + COLORS.index(row["color"]) if row["color"] in COLORS else 0
        size = 0.5 if row["size"] is None else row["size"]
        hidden = np.concatenate([table[color], table[hour], [size]]) @ weight_1 + bias_1
        logits.append((np.maximum(hidden, 0) @ weight_2 + bias_2)[0])
    return np.array(logits)


def export_small(model_dir, tmp_path, *, task="regression", rows=ROWS, model=None, **changes):
    model = model or small_model()
    logits = numpy_logits(model, rows)
    expected = logits if task == "regression" else 1 / (1 + np.exp(-logits))
    arguments = {
        "encoder": SmallEncoder(),
        "predict": lambda encoded: model([encoded.ids, encoded.numbers]),
        "trackables": [model],
        "instances": rows,
        "expected": expected,
        "files": {"config.yaml": "seed: 1\n"},
        "model_dir": str(model_dir),
        "scratch_dir": str(tmp_path / "scratch"),
        **{k: changes.pop(k) for k in list(changes) if k in ("expected", "predict", "trackables")},
    }
    config = small_config(task, **changes)
    report = export_model(schema=config, config=config, **arguments)
    return report, arguments["expected"]


def extra(model_dir, name):
    text = (Path(model_dir) / "assets.extra" / name).read_text()
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def tensors(rows, names=("size", "hour", "color", "id")):
    absent = {"size": np.nan, "hour": MISSING_HOUR, "color": "", "id": ""}
    dtypes = {"size": tf.float32, "hour": tf.int64, "color": tf.string, "id": tf.string}
    return {
        name: tf.constant(
            [absent[name] if row[name] is None else row[name] for row in rows],
            dtypes[name],
            shape=[len(rows)],
        )
        for name in names
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A binary model with a key, exported once: (folder, report, expected)."""
    tmp_path = tmp_path_factory.mktemp("binary")
    report, expected = export_small(
        tmp_path / "model", tmp_path, task="binary", label={"positive": "yes"}
    )
    return tmp_path / "model", report, expected


@pytest.fixture(scope="module")
def signatures(exported):
    loaded = tf.saved_model.load(str(exported[0]))
    yield loaded.signatures
    del loaded


def test_report_states_the_agreement(exported):
    folder, report, _ = exported
    assert report.num_rows == len(ROWS)
    assert 0 <= report.max_difference < 1e-6
    assert report.seconds > 0
    assert report.model_dir == str(folder)


def test_fresh_process_with_tensorflow_alone_gives_the_numbers_of_training(exported):
    folder, _, expected = exported
    program = (
        "import sys, json; sys.modules['trainer'] = None\n"
        "import tensorflow as tf\n"
        "m = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "o = m(size=tf.constant([1.5]), hour=tf.constant([3], tf.int64),"
        " color=tf.constant(['red']), id=tf.constant(['k']))\n"
        "print(json.dumps([o['probability'].numpy().tolist(), o['key'].numpy()[0].decode()]))\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    (probability,), key = json.loads(output)
    assert probability == pytest.approx(expected[0], abs=1e-6)
    assert key == "k"


def test_serving_default_takes_rank_1_inputs_named_as_the_columns(signatures):
    _, inputs = signatures["serving_default"].structured_input_signature
    assert {name: (spec.shape.rank, spec.dtype) for name, spec in inputs.items()} == {
        "size": (1, tf.float32),
        "hour": (1, tf.int64),
        "color": (1, tf.string),
        "id": (1, tf.string),
    }


@pytest.mark.parametrize("num_rows", [0, 1, 4])
def test_serving_default_answers_any_number_of_rows(exported, signatures, num_rows):
    outputs = signatures["serving_default"](**tensors(ROWS[:num_rows]))
    expected = exported[2][:num_rows]
    assert outputs["probability"].dtype == tf.float32
    np.testing.assert_allclose(outputs["probability"].numpy(), expected, atol=1e-6)
    assert outputs["class"].numpy().tolist() == [
        b"yes" if p >= 0.5 else b"not yes" for p in expected
    ]
    assert outputs["key"].numpy().tolist() == [b"r0", b"r1", b"r2", b"r3"][:num_rows]


@pytest.mark.parametrize("num_rows", [0, 1, 4])
def test_examples_with_absent_features_are_rows_with_missing_values(exported, signatures, num_rows):
    def feature(value):
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    # None and '' are left out, so row 2 has no size and no color, row 3 no hour.
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={k: feature(v) for k, v in row.items() if v not in (None, "")}
            )
        ).SerializeToString()
        for row in ROWS[:num_rows]
    ]
    outputs = signatures["serving_examples"](
        examples=tf.constant(examples, tf.string, shape=[num_rows])
    )
    np.testing.assert_allclose(outputs["probability"].numpy(), exported[2][:num_rows], atol=1e-6)
    assert outputs["key"].numpy().tolist() == [b"r0", b"r1", b"r2", b"r3"][:num_rows]


def test_example_without_any_feature_is_a_row_of_missing_values(signatures):
    outputs = signatures["serving_examples"](examples=tf.constant([b""]))
    missing = signatures["serving_default"](
        **tensors([{"size": None, "hour": None, "color": None, "id": None}])
    )
    assert outputs["probability"].numpy() == pytest.approx(missing["probability"].numpy())
    assert outputs["key"].numpy().tolist() == [b""]


def test_sample_request_is_strict_json_and_answered_by_the_sample_response(exported, signatures):
    folder, _, expected = exported
    instances = extra(folder, "sample_request.json")["instances"]
    assert instances == ROWS[:2]  # the rows without a missing number
    predictions = extra(folder, "sample_response.json")["predictions"]
    assert [p["key"] for p in predictions] == ["r0", "r1"]
    np.testing.assert_allclose([p["probability"] for p in predictions], expected[:2], atol=1e-6)
    outputs = signatures["serving_default"](**tensors(instances))
    assert [p["class"] for p in predictions] == [c.decode() for c in outputs["class"].numpy()]


def test_further_files_are_beside_the_samples(exported):
    folder = exported[0] / "assets.extra"
    assert (folder / "config.yaml").read_text() == "seed: 1\n"
    assert sorted(os.listdir(folder)) == [
        "config.yaml",
        "sample_request.json",
        "sample_response.json",
    ]


def test_scratch_folder_is_left_empty(exported):
    assert os.listdir(exported[0].parent / "scratch") == []


def test_export_in_place_of_an_older_one_leaves_nothing_of_it(tmp_path):
    """Regression without a key, over an older export; the model has a single output."""
    model_dir = tmp_path / "model"
    for stale in ("saved_model.pb", "variables/variables.data-00001-of-00002", "assets/old.txt"):
        (model_dir / stale).parent.mkdir(parents=True, exist_ok=True)
        (model_dir / stale).write_text("stale")
    (model_dir / "notes.txt").write_text("mine")
    report, expected = export_small(model_dir, tmp_path, export={"serve_key": False})
    assert sorted(os.listdir(model_dir / "variables")) == [
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    assert not (model_dir / "assets" / "old.txt").exists()
    assert (model_dir / "notes.txt").read_text() == "mine"
    assert report.max_difference < 1e-6
    assert "id" not in extra(model_dir, "sample_request.json")["instances"][0]
    predictions = extra(model_dir, "sample_response.json")["predictions"]
    np.testing.assert_allclose(predictions, expected[:2], atol=1e-6)
    signature = tf.saved_model.load(str(model_dir)).signatures["serving_default"]
    outputs = signature(**tensors(ROWS, names=("size", "hour", "color")))
    assert list(outputs) == ["prediction"]
    np.testing.assert_allclose(outputs["prediction"].numpy(), expected, rtol=1e-6, atol=1e-6)


def test_difference_from_training_fails_and_leaves_the_model_folder_alone(tmp_path):
    model_dir = tmp_path / "model"
    expected = numpy_logits(small_model(), ROWS)
    expected[2] += 1e-3
    with pytest.raises(
        TrainingFailed, match=r"sample row 2 gives .* by serving_default and .*export"
    ):
        export_small(model_dir, tmp_path, expected=expected)
    assert not model_dir.exists()
    assert os.listdir(tmp_path / "scratch") == []


@pytest.mark.parametrize("num_copied", range(6))
def test_interrupted_copy_never_shows_a_model(exported, tmp_path, monkeypatch, num_copied):
    from trainer.export import _publish

    files = [path for path in exported[0].rglob("*") if path.is_file()]
    assert len(files) == 7
    (tmp_path / "saved_model.pb").write_text("old")
    replace, copied = os.replace, []

    def replace_some(source, target):
        if len(copied) == num_copied:
            raise KeyboardInterrupt
        replace(source, target)
        copied.append(target)

    monkeypatch.setattr(os, "replace", replace_some)
    with pytest.raises(KeyboardInterrupt):
        _publish(str(exported[0]), str(tmp_path))
    assert not (tmp_path / "saved_model.pb").exists()
    monkeypatch.undo()
    _publish(str(exported[0]), str(tmp_path))
    for path in files:
        assert (tmp_path / path.relative_to(exported[0])).read_bytes() == path.read_bytes()


def test_model_that_does_not_load_elsewhere_fails_with_the_reason(tmp_path):
    # A Python function inside the graph exists in the training process only.
    def predict(encoded):
        score = tf.numpy_function(lambda x: x[:, 0], [encoded.numbers], tf.float32)
        return tf.ensure_shape(score, [None])

    with pytest.raises(TrainingFailed, match=r"fails in a fresh process \(exit code 1\): .*[Pp]y"):
        export_small(tmp_path / "model", tmp_path, predict=predict)
    assert not (tmp_path / "model").exists()


def test_scores_of_rank_1_are_served_as_they_are_and_odd_names_are_mended(tmp_path, caplog):
    """No row is complete here, and column names are ones that TensorFlow refuses."""

    class OddEncoder(tf.Module):
        serving_inputs = {  # noqa: RUF012
            "native country": tf.TensorSpec([None], tf.string),
            "class": tf.TensorSpec([None], tf.float32),
        }

        def __call__(self, raw):
            return tf.where(tf.math.is_nan(raw["class"]), 0.25, raw["class"])

    config = Config.model_validate(
        {
            "columns": {"native country": "categorical", "class": "numeric"},
            "label": {"column": "y", "task": "binary"},
            "evaluation": {"threshold": 0.2},
        }
    )
    report = export_model(
        encoder=OddEncoder(),
        predict=lambda encoded: encoded / 2,
        trackables=[],
        schema=config,
        config=config,
        instances=[{"native country": "Per\u00fa", "class": None}],
        expected=np.array([0.125]),
        files={},
        model_dir=str(tmp_path / "model"),
    )
    assert report.max_difference == 0
    request = extra(tmp_path / "model", "sample_request.json")
    assert request == {"instances": [{"native_country": "Per\u00fa", "class_": 0}]}
    # The filled row has the answer of the proven model: 0 / 2.
    assert extra(tmp_path / "model", "sample_response.json") == {
        "predictions": [{"probability": 0.0, "class": 0}]
    }
    assert "column 'native country' is the input 'native_country'" in caplog.text
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    outputs = signature(native_country=tf.constant(["x", ""]), class_=tf.constant([0.3, 0.5]))
    assert outputs["class"].numpy().tolist() == [0, 1]
    np.testing.assert_allclose(outputs["probability"].numpy(), [0.15, 0.25])


@pytest.mark.parametrize(("rows", "expected"), [([], np.zeros(0)), (ROWS, np.zeros((4, 1)))])
def test_rows_that_do_not_fit_the_expected_are_refused(tmp_path, rows, expected):
    with pytest.raises(ValueError, match=r"expected must be \(rows,\) or \(rows, classes\) of one"):
        export_small(tmp_path / "model", tmp_path, rows=rows, expected=expected)


def test_full_scratch_folder_is_named(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "{{a}} /x; No space left [Op:SaveV2]")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    message = (
        r"cannot write the model by way of .*: No space left; make room there, or name another"
    )
    with pytest.raises(UserError, match=message):
        export_small(tmp_path / "model", tmp_path)
    assert not (tmp_path / "model").exists()


def test_model_folder_on_a_path_with_a_slash_at_its_end(exported, tmp_path):
    from trainer.export import _publish

    _publish(str(exported[0]), str(tmp_path) + "/")
    assert storage.exists(str(tmp_path / "saved_model.pb"))


def test_every_mended_name_can_be_saved(tmp_path):
    columns = ["Age", "age", "1st", "arg_1st", "a.b", "a-b", "self", "from", "_x", "\u00e9", "x>y"]
    names = signature_names(columns)
    specs = {name: tf.TensorSpec([None], tf.float32, name=name) for name in names.values()}
    answer = tf.function(
        lambda inputs: {"total": tf.add_n([inputs[n] for n in names.values()])},
        input_signature=[specs],
    )
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"serving_default": answer})
    proto = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    saved = proto.meta_graphs[0].signature_def["serving_default"].inputs
    assert sorted(saved) == sorted(names.values())
    assert saved["Age"].name == "serving_default_Age:0" and "age" not in saved


def test_functions_compiled_in_training_do_not_hinder_the_export(tmp_path):
    """The encoder and the network keep compiled functions of their own, with training shapes."""

    class TrainedEncoder(SmallEncoder):
        def __init__(self):
            super().__init__()
            self.block = tf.function(lambda raw: SmallEncoder.__call__(self, raw))

    encoder, model = TrainedEncoder(), small_model()
    encoder.block(tensors(ROWS))
    config = small_config()
    compiled = tf.function(lambda encoded: model([encoded.ids, encoded.numbers]))
    compiled(encoder(tensors(ROWS)))
    report = export_model(
        encoder=encoder,
        predict=compiled,
        trackables=[model],
        schema=config,
        config=config,
        instances=ROWS,
        expected=numpy_logits(model, ROWS),
        files={},
        model_dir=str(tmp_path / "model"),
    )
    assert report.max_difference < 1e-6
