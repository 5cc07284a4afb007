"""trainer.trained_model: predictions for tables, by a run of a few steps."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from trainer import model
from trainer.config import parse_config
from trainer.errors import UserError

NUM_ROWS = 400


def make_rows(seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"row {i}" for i in range(NUM_ROWS)],
            "age": rng.normal(40, 10, NUM_ROWS).round(2),
            "city": rng.choice(["Rome", "Oslo", "Lima"], NUM_ROWS),
            "visits": rng.integers(0, 9, NUM_ROWS),
            "answer": rng.choice(["yes", "no"], NUM_ROWS),
        }
    )


def make_config(job_dir, **label):
    return parse_config(
        {
            "columns": {
                "id": "key",
                "age": "numeric",
                "city": "categorical",
                "visits": {"kind": "identity", "size": 9},
            },
            "label": {"column": "answer", "task": "binary", "positive": "yes"} | label,
            "data": {"validation_fraction": 0.2},
            "model": {"hidden_units": [8]},
            "training": {"steps": 20, "batch_size": 32},
            "evaluation": {"baseline": "none", "report": "none"},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    job_dir = tmp_path_factory.mktemp("run") / "job"
    model.train_and_evaluate(make_config(job_dir), tables={"train": make_rows()})
    return job_dir


def served(run_dir, rows):
    """The signature itself, fed by hand."""
    serve = tf.saved_model.load(str(run_dir / "model")).signatures["serving_default"]
    return serve(
        id=tf.constant(rows["id"].to_numpy(str)),
        age=tf.constant(rows["age"].to_numpy(np.float32)),
        city=tf.constant(rows["city"].to_numpy(str)),
        visits=tf.constant(rows["visits"].to_numpy(np.int64)),
    )


def test_a_frame_gets_the_answers_of_the_signature_in_its_order(run_dir):
    rows = make_rows(seed=5).sample(frac=1.0, random_state=3)
    predicted = model.load(str(run_dir)).predict(rows.drop(columns="answer"))
    expected = served(run_dir, rows)
    assert sorted(predicted.columns) == ["class", "key", "probability"]
    np.testing.assert_array_equal(predicted["probability"], expected["probability"].numpy())
    assert predicted["key"].tolist() == rows["id"].tolist()
    assert set(predicted["class"]) <= {"yes", "not yes"}


def test_an_arrow_table_gets_a_table_and_other_columns_do_not_matter(run_dir):
    rows = make_rows()
    trained = model.load(str(run_dir / "model"))
    table = pa.Table.from_pandas(rows.assign(more=1), preserve_index=False)
    predicted = trained.predict(table)
    assert isinstance(predicted, pa.Table)
    frame = trained.predict(rows)
    assert predicted["probability"].to_pylist() == frame["probability"].tolist()


def test_missing_and_unseen_values_are_answered(run_dir):
    rows = make_rows()[:3].astype({"visits": "Int64"})
    rows.loc[0, "age"], rows.loc[1, "city"], rows.loc[2, "city"] = None, None, "Quito"
    rows.loc[2, "visits"] = pd.NA
    predicted = model.load(str(run_dir)).predict(rows)
    assert predicted["probability"].between(0, 1).all()


def test_a_run_may_have_moved(run_dir, tmp_path):
    shutil.copytree(run_dir / "model", tmp_path / "moved")
    rows = make_rows()[:5]
    moved = model.load(str(tmp_path / "moved")).predict(rows)
    np.testing.assert_array_equal(moved, model.load(str(run_dir)).predict(rows))


def test_rows_that_cannot_be_read_are_named(run_dir):
    trained = model.load(str(run_dir))
    with pytest.raises(UserError, match=r"rows.*'city'"):
        trained.predict(make_rows().drop(columns="city"))
    rows = make_rows().astype({"age": object})
    rows.loc[2, "age"] = "old"
    with pytest.raises(UserError, match="age"):
        trained.predict(rows)
    rows = make_rows()
    rows.loc[7, "visits"] = 9
    # No row may be left out, so the setting of training that allows it is not named.
    message = r"^1 bad row: rows:8 column visits: 9 is above 8. Mend the rows$"
    with pytest.raises(UserError, match=message):
        trained.predict(rows)


def test_no_rows_give_no_predictions(run_dir):
    predicted = model.load(str(run_dir)).predict(make_rows()[:0])
    assert predicted.shape == (0, 3)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.yaml"):
        model.load(str(tmp_path))


def test_a_model_of_a_version_with_other_defaults_is_read(run_dir, tmp_path):
    folder = shutil.copytree(run_dir / "model", tmp_path / "model")
    path = folder / "assets.extra" / "config.yaml"
    text = path.read_text()
    assert "num_sampled: 1024" in text  # which has no effect here, and is no mistake
    path.write_text(text.replace("num_sampled: 1024", "num_sampled: 512"))
    rows = make_rows()
    pd.testing.assert_frame_equal(
        model.load(str(folder)).predict(rows), model.load(str(run_dir)).predict(rows)
    )
