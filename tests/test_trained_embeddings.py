"""trainer.trained_embeddings: what runs have learned, and runs that begin with it."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import tensorflow as tf
import yaml

from trainer.config import parse_config
from trainer.errors import Interrupted, UserError
from trainer.model import train_and_evaluate
from trainer.trained_embeddings import TrainedEmbeddings

HOURS = [f"h{hour}" for hour in range(12)]
CONFIG = """
data: {{train: {data}, validation: {data}}}
label: {{column: y, task: regression}}
columns:
  when: {{kind: categorical, min_frequency: 1, oov_buckets: 2}}
  tags: {{kind: multi_hot, min_frequency: 1}}
  floor: {{kind: identity, size: 3}}
  x: {{kind: numeric, buckets: 3}}
crosses: [{{columns: [when, floor], bins: 30}}]
model: {{hidden_units: [8], dropout: 0.0, input_dropout: 0.0, embedding_dim: 3}}
training: {{steps: 60, batch_size: 16, eval_steps: 20, checkpoint_steps: 20}}
evaluation: {{baseline: none, report: none}}
"""


def _write_table(path, hours, seed):
    rng = np.random.default_rng(seed)
    hour = rng.integers(len(hours), size=300)
    tags = ["|".join(rng.choice(["a", "b", "c"], rng.integers(0, 3))) for _ in hour]
    table = {"when": np.array(hours)[hour], "tags": tags, "floor": rng.integers(0, 3, 300)}
    table |= {"x": rng.normal(size=300), "y": hour + rng.normal(0, 0.1, 300)}
    pa.csv.write_csv(pa.table(table), path)


def _config(folder, city, **columns):
    values = yaml.safe_load(CONFIG.format(data=folder / f"{city}.csv"))
    for name, options in columns.items():
        values["columns"][name] |= options
    return values | {"output": {"job_dir": str(folder / "runs" / city)}}


def _run(values):
    return train_and_evaluate(parse_config(values, "test"))


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    """A folder with the tables of two cities, and the run of the first."""
    folder = tmp_path_factory.mktemp("cities")
    _write_table(folder / "london.csv", HOURS, seed=1)
    # Two hours that London does not have, and two that Frankfurt has not.
    _write_table(folder / "frankfurt.csv", [*HOURS[2:], "h12", "h13"], seed=2)
    _run(_config(folder, "london"))
    return folder


@pytest.fixture(scope="module")
def london(cities):
    return TrainedEmbeddings(str(cities / "runs/london"))


def test_rows_are_named_by_value(london):
    found = london.embeddings()
    assert set(found) == {"when", "tags", "floor"}
    names, rows = found["when"]
    assert names[:3] == ("(missing)", "(other 1)", "(other 2)")
    assert sorted(names[3:]) == sorted(HOURS)
    assert (rows.shape, rows.dtype) == ((15, 3), np.float32)
    assert found["tags"].names[:2] == ("(missing)", "(other)")
    assert found["floor"].names == ("(missing)", "0", "1", "2")
    weights = london.wide_weights()
    assert set(weights) == {*found, "x", "when_x_floor"}
    low, high = london.encoder.encoders[3].numbers[0].edges
    assert weights["x"].names[:2] == ("(missing)", f"below {low:.6g}")
    assert weights["x"].names[2:] == (f"[{low:.6g}, {high:.6g})", f"from {high:.6g}")
    assert weights["when"].names == names


def test_rows_begin_where_the_other_model_ended(cities, london):
    """Without a step, each value has the row of its name."""
    values = _config(
        cities,
        "frankfurt",
        when={"init_from": {"model": str(cities / "runs/london"), "column": "when"}},
    )
    values["output"]["job_dir"] = str(cities / "runs/begin")
    values["optimizer"] = {"deep_learning_rate": 1e-30, "ema_decay": 0.0, "weight_decay": 0.0}
    values["training"]["steps"] = 1
    _run(values)
    theirs = dict(zip(*london.embeddings()["when"], strict=True))
    mine = dict(
        zip(*TrainedEmbeddings(str(cities / "runs/begin/model")).embeddings()["when"], strict=True)
    )
    for name in mine.keys() & theirs.keys():
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-12)
    for name in ("h12", "h13"):
        bucket = int(tf.strings.to_hash_bucket_fast([name], 2)[0]) + 1
        np.testing.assert_allclose(mine[name], theirs[f"(other {bucket})"], atol=1e-12)


FROZEN = {"column": "when", "trainable": False}


def test_a_frozen_embedding_stays_bit_for_bit(cities, london, caplog):
    caplog.set_level("INFO")
    source = {"model": str(cities / "runs/london"), **FROZEN}
    values = _config(cities, "frankfurt", when={"init_from": source})
    values["output"]["job_dir"] = str(cities / "runs/frozen")

    report = _run(values)

    assert "when: 10 of 12 values are known to column when of" in caplog.text
    assert "deep table: 15 rows of 3, frozen" in caplog.text
    trained = TrainedEmbeddings(str(cities / "runs/frozen"))
    theirs = dict(zip(*london.embeddings()["when"], strict=True))
    names, rows = trained.embeddings()["when"]
    known = [name for name in names if name in theirs]
    assert len(known) == 13
    for name in known:
        np.testing.assert_array_equal(rows[names.index(name)], theirs[name])
    # What is learned does not count it; what else there is has moved.
    open_run = _run(values | {"output": {"job_dir": str(cities / "runs/open")}} | _open(values))
    assert open_run["num_weights"] - report["num_weights"] == 15 * 3
    assert trained.config.columns["when"].embedding_dim == 3
    assert report["export_max_difference"] < 1e-5


def _open(values):
    """The same columns without another model's rows."""
    when = {k: v for k, v in values["columns"]["when"].items() if k != "init_from"}
    return {"columns": values["columns"] | {"when": when}}


def test_a_run_goes_on_with_its_frozen_rows_after_the_source_has_changed(cities, tmp_path):
    source = tmp_path / "source"
    values = _config(
        cities, "frankfurt", when={"init_from": {"model": str(source / "model"), **FROZEN}}
    )
    results = []
    for is_interrupted in (False, True):
        shutil.copytree(cities / "runs/london", source, dirs_exist_ok=True)
        values["output"] = {"job_dir": str(tmp_path / f"run-{is_interrupted}")}
        if is_interrupted:
            stop = _StopAfter(40)
            with pytest.raises(Interrupted):
                train_and_evaluate(parse_config(values, "test"), callbacks=[stop])
            _change_rows(source / "model", cities)
        _run(values)
        trained = TrainedEmbeddings(values["output"]["job_dir"])
        results.append({**trained.embeddings(), **trained.wide_weights()})
    for name, (names, rows) in results[0].items():
        assert results[1][name].names == names
        np.testing.assert_array_equal(results[1][name].rows, rows)


class _StopAfter(tf.keras.callbacks.Callback):
    """Raises as a signal does, at the end of an evaluation."""

    def __init__(self, step):
        super().__init__()
        self._left = step // 20

    def on_epoch_end(self, epoch, logs=None):
        self._left -= 1
        if not self._left:
            raise Interrupted("stopped by the test")


def _change_rows(model_dir, cities):
    """Another run's variables in the place of the model's."""
    values = _config(cities, "london")
    values["training"]["seed"] = 77
    values["output"] = {"job_dir": str(model_dir.parent / "other")}
    _run(values)
    shutil.rmtree(model_dir / "variables")
    shutil.copytree(model_dir.parent / "other/model/variables", model_dir / "variables")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "wehn"}, "has no column 'wehn' with an embedding; did you mean 'when'"),
        ({"column": "floor"}, "columns.when.init_from: its ids are of another kind than those of"),
        ({"model": "nowhere"}, "columns.when.init_from: .*nowhere"),
        ({}, "columns.when.embedding_dim is 5, column when of .* has 3; with init_from they must"),
    ],
)
def test_what_does_not_fit_is_said_before_training(cities, options, message):
    source = {"model": str(cities / "runs/london"), "column": "when"} | options
    width = {} if options else {"embedding_dim": 5}
    values = _config(cities, "frankfurt", when={"init_from": source} | width)
    values["output"]["job_dir"] = str(cities / "runs/refused")
    with pytest.raises(UserError, match=message):
        _run(values)


def test_wide_weights_are_those_that_the_model_answers_by(cities):
    values = _config(cities, "london")
    values["model"]["towers"] = "wide"
    values["crosses"] = []
    values["output"]["job_dir"] = str(cities / "runs/wide")
    _run(values)

    trained = TrainedEmbeddings(str(cities / "runs/wide"))
    weights = dict(zip(*trained.wide_weights()["when"], strict=True))

    assert trained.embeddings() == {}
    model = tf.saved_model.load(str(cities / "runs/wide/model"))
    answers = model.signatures["serving_default"](
        when=tf.constant(HOURS),
        tags=tf.constant([""] * 12),
        floor=tf.constant([-1] * 12, tf.int64),
        x=tf.constant([np.nan] * 12),
    )["prediction"].numpy()
    # The other columns are the same in all rows; the label's unit is one factor.
    of_hour = np.array([weights[hour][0] for hour in HOURS])
    slope, rest = np.polyfit(of_hour, answers, 1)
    assert slope > 0
    np.testing.assert_allclose(answers, slope * of_hour + rest, atol=1e-4)
    assert np.ptp(answers) > 1
