"""trainer.vector_encoders: vectors as features, in training and in the exported model."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from trainer import model
from trainer.blocks import open_parts
from trainer.cluster import Cluster
from trainer.config import parse_config
from trainer.data_files import find_files, with_tables
from trainer.errors import UserError
from trainer.features import FeatureEncoder


def make_frame(num_rows=300):
    """Numbers of very different scale; every tenth vector is missing."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(num_rows, 3)) * [1, 100, 0.01] + [0, 5, 1]
    answer = (numbers[:, 0] + (numbers[:, 1] - 5) / 100 > 0).astype(int)
    rows = [None if i % 10 == 4 else numbers[i] for i in range(num_rows)]
    return pd.DataFrame({"v": rows, "x": rng.normal(size=num_rows), "answer": answer})


def make_config(job_dir="unused", **options):
    return parse_config(
        {
            "columns": {"v": {"kind": "vector", "size": 3, **options}, "x": "numeric"},
            "label": {"column": "answer", "task": "binary"},
            "data": {"validation_fraction": 0.2},
            "model": {"hidden_units": [8]},
            "training": {"epochs": 6, "batch_size": 32},
            "evaluation": {"baseline": "none", "report": "none"},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )


def encoder_and_block(config, frame):
    tables = {"train": frame}
    config = with_tables(config, tables, Cluster())
    part = open_parts(config, find_files(config.data, "", tables))["train"]
    (block,) = part.blocks()
    return FeatureEncoder(config, part.statistics()), block


def test_each_number_is_scaled_by_its_own_statistics_and_a_missing_row_is_the_mean():
    config = make_config().model_copy(
        update={"data": make_config().data.model_copy(update={"validation_fraction": 0.0})}
    )
    frame = make_frame()

    encoder, block = encoder_and_block(config, frame)
    encoded = encoder.encode_block(block.columns)

    names = [f.name for f in encoder.layout.numbers]
    assert names[:4] == ["v.0", "v.1", "v.2", "v.missing"]
    assert not any(f.name.startswith("v.") for f in encoder.layout.ids)
    assert all(f.piecewise_edges == () for f in encoder.layout.numbers[:4])
    is_missing = frame["v"].isna().to_numpy()
    numbers = np.stack(frame["v"][~is_missing]).astype(np.float32).astype(np.float64)
    expected = np.zeros((len(frame), 4))
    expected[~is_missing, :3] = (numbers - numbers.mean(0)) / numbers.std(0)
    expected[is_missing, 3] = 1
    np.testing.assert_allclose(encoded.numbers[:, :4], expected, atol=2e-5)


def test_options_of_numbers_hold_for_each_of_a_vector():
    config = make_config(scale="none", buckets=4, piecewise_linear=3, missing="mean")

    encoder, block = encoder_and_block(config, make_frame())
    encoded = encoder.encode_block(block.columns)

    numbers = {f.name: i for i, f in enumerate(encoder.layout.numbers)}
    assert "v.missing" not in numbers
    assert [f.name for f in encoder.layout.ids if f.name.startswith("v.")] == ["v.0", "v.1", "v.2"]
    assert len(encoder.layout.numbers[numbers["v.1"]].piecewise_edges) == 4
    row = block.columns["v"][0].as_py()
    np.testing.assert_allclose(encoded.numbers[0, [numbers[f"v.{i}"] for i in range(3)]], row)


def test_exported_model_takes_vectors_by_both_signatures(tmp_path):
    config, frame = make_config(tmp_path), make_frame()

    report = model.train_and_evaluate(config, tables={"train": frame})

    assert report["metrics"]["validation"]["auc"] > 0.8
    request = json.loads((tmp_path / "model/assets.extra/sample_request.json").read_text())
    response = json.loads((tmp_path / "model/assets.extra/sample_response.json").read_text())
    instances = request["instances"]
    assert {len(instance["v"]) for instance in instances} == {3}
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    serve = signatures["serving_default"]
    assert serve.structured_input_signature[1]["v"].shape.as_list() == [None, 3]
    columns = {n: tf.constant([i[n] for i in instances], tf.float32) for n in ("v", "x")}
    expected = [p["probability"] for p in response["predictions"]]
    np.testing.assert_allclose(serve(**columns)["probability"], expected, atol=1e-6)
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(0.5)
    by_example = signatures["serving_examples"](examples=tf.constant([example.SerializeToString()]))
    missing = serve(v=tf.fill([1, 3], np.float32("nan")), x=tf.constant([0.5]))
    np.testing.assert_allclose(by_example["probability"], missing["probability"], rtol=1e-6)


@pytest.mark.parametrize(
    "columns, reason",
    [
        ({"v": {"kind": "vector"}}, "columns.v.size"),
        (
            {"v": {"kind": "vector", "size": 3}, "w": {"kind": "numeric", "source": "v"}},
            "reads raw column 'v' as float, another column as vector of 3",
        ),
        (
            {"v": {"kind": "vector", "size": 3}, "w": {"kind": "vector", "size": 2, "source": "v"}},
            "as vector of 2, another column as vector of 3",
        ),
    ],
)
def test_vectors_that_do_not_fit_are_refused(columns, reason):
    values = {"columns": columns, "label": {"column": "answer", "task": "binary"}}

    with pytest.raises(UserError, match=reason):
        parse_config(values, "test")
