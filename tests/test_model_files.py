"""trainer.insight.model_files: what Vertex AI is given, as the SDK's own types read it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import tensorflow as tf
from google.cloud import aiplatform_v1, aiplatform_v1beta1
from google.protobuf import json_format

from trainer.config import parse_config
from trainer.model import train_and_evaluate


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(1)
    x = random.normal(7, 1, 401)
    table = {
        "x value": x,
        "city": ["York"] * 250 + ["Bath"] * 151,
        "shelf": [2] * 300 + [0] * 101,
        "at": ["2026-01-01 03:00:00"] * 401,
        "v": [f"{value:.3f}|1" for value in x],
        "y": (x > 7).astype(int),
    }
    pa.csv.write_csv(pa.table(table), folder / "train.csv")
    config = parse_config(
        {
            "data": {"train": str(folder / "train.csv")},
            "columns": {
                "x value": "numeric",
                "city": "categorical",
                "shelf": {"kind": "identity", "size": 3},
                "at": {"kind": "datetime", "parts": ["hour"]},
                "v": {"kind": "vector", "size": 2},
            },
            "label": {"column": "y", "task": "binary"},
            "model": {"hidden_units": [4]},
            "training": {"steps": 5},
            "evaluation": {"baseline": "none", "report": "none"},
            "output": {"job_dir": str(folder / "run")},
        },
        "test",
    )
    train_and_evaluate(config)
    return folder / "run/model"


def _read(model_dir, name):
    return json.loads((Path(model_dir) / "assets.extra" / name).read_text())


def test_explanations_are_of_the_signature_and_compare_to_a_usual_row(model_dir):
    text = _read(model_dir, "explanation_metadata.json")
    metadata = json_format.ParseDict(text, aiplatform_v1.ExplanationMetadata.pb()())
    signature = tf.saved_model.load(str(model_dir)).signatures["serving_default"]
    assert set(metadata.inputs) == set(signature.structured_input_signature[1])
    assert set(metadata.outputs) == {"probability"} <= set(signature.structured_outputs)
    values = {
        name: json_format.MessageToDict(found.input_baselines[0])
        for name, found in metadata.inputs.items()
    }
    x = np.array(pa.csv.read_csv(model_dir.parents[1] / "train.csv")["x value"])
    assert values["x_value"] == pytest.approx(np.median(x), abs=1e-5)
    assert (values["city"], values["shelf"], values["at"]) == ("York", 2, "")
    assert values["v"] == pytest.approx([np.median(np.round(x, 3)), 1.0], abs=1e-5)
    # The baseline is a row that the model answers.
    row = {
        name: tf.constant(np.array([values[name]], spec.dtype.as_numpy_dtype))
        for name, spec in signature.structured_input_signature[1].items()
    }
    assert 0 < float(signature(**row)["probability"][0]) < 1


def test_parameters_and_monitoring_are_what_the_api_takes(model_dir):
    parameters = json_format.ParseDict(
        _read(model_dir, "explanation_parameters.json"), aiplatform_v1.ExplanationParameters.pb()()
    )
    assert parameters.sampled_shapley_attribution.path_count == 10
    schema = json_format.ParseDict(
        _read(model_dir, "model_monitoring_schema.json"),
        aiplatform_v1beta1.ModelMonitoringSchema.pb()(),
    )
    types = {field.name: (field.data_type, field.repeated) for field in schema.feature_fields}
    assert types == {
        "x_value": ("float", False),
        "city": ("categorical", False),
        "shelf": ("integer", False),
        "at": ("categorical", False),
        "v": ("float", True),
    }
    spec = json_format.ParseDict(
        _read(model_dir, "model_monitoring_drift.json"),
        aiplatform_v1beta1.ModelMonitoringObjectiveSpec.DataDriftSpec.pb()(),
    )
    assert spec.default_numeric_alert_condition.threshold == 0.3
    assert spec.numeric_metric_type == "jensen_shannon_divergence"


def test_the_sample_request_fits_the_instance_schema(model_dir):
    schema = _read(model_dir, "instance_schema.yaml")
    kinds = {"number": float | int, "integer": int, "string": str, "array": list}
    for instance in _read(model_dir, "sample_request.json")["instances"]:
        assert set(instance) == set(schema["required"]) == set(schema["properties"])
        for name, value in instance.items():
            assert isinstance(value, kinds[schema["properties"][name]["type"]])


def test_ids_are_counted_by_value(model_dir):
    assert _read(model_dir, "id_counts.json") == {
        "shelf": {"2": 300, "0": 101},
        "at.hour": {"3": 401},
    }
