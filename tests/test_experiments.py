"""trainer.insight.experiments: the SDK itself against a fake service, and what it is given."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_vertex import FakeVertex, init_sdk

from trainer.config import parse_config
from trainer.errors import UserError
from trainer.insight import experiments

SCRIPT = Path(__file__).parents[1] / "scripts/import_evaluation.py"
REPORT = {
    "task": "regression",
    "label": "fare",
    "kept_step": 40,
    "metrics": {"validation": {"rmse": 3.0}, "test": {"rmse": 4.0, "mae": 2.0, "r2": 0.5}},
}


def _config(**output):
    return parse_config(
        {
            "columns": {"x": "numeric"},
            "label": {"column": "fare", "task": "regression"},
            "model": {"hidden_units": [8, 4]},
            "output": output,
        },
        "test",
    )


def test_a_run_is_in_its_experiment_with_parameters_and_metrics(caplog):
    caplog.set_level("INFO")
    with FakeVertex() as fake:
        init_sdk(fake.url)
        experiments.log_run("fares", _config(), REPORT, "gs://bucket/runs/Fares_1")
        again = dict(REPORT, kept_step=50)
        experiments.log_run("fares", _config(), again, "gs://bucket/runs/Fares_1")
    contexts = {
        name.rsplit("/", 1)[1]: record
        for name, record in fake.records.items()
        if "/contexts/" in name
    }
    assert caplog.text.count("run runs-fares-1 of experiment fares is written") == 2
    assert set(contexts) == {"fares", "fares-runs-fares-1"}
    found = contexts["fares-runs-fares-1"]["metadata"]
    assert found["_params"]["model.hidden_units"] == "[8, 4]"
    assert found["_params"]["training.patience"] == 8
    assert found["_metrics"] == {
        "validation_rmse": 3.0,
        "test_rmse": 4.0,
        "test_mae": 2.0,
        "test_r2": 0.5,
        "kept_step": 50,
    }


def test_what_the_service_refuses_is_a_warning(caplog):
    with FakeVertex() as fake:
        init_sdk(fake.url)
        fake.refuse(403, "Permission denied on the metadata store")
        experiments.log_run("fares", _config(), REPORT, "runs/1")
    assert "experiment fares has no run runs-1" in caplog.text
    assert "Permission denied" in caplog.text


def test_a_missing_sdk_is_said_before_training(monkeypatch):
    experiments.check_sdk()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs google-cloud-aiplatform, which is not installed"):
        experiments.check_sdk()


def test_an_experiment_has_a_name_that_vertex_takes():
    with pytest.raises(UserError, match=r"output\.experiment"):
        _config(experiment="My Experiment")


def test_the_evaluation_has_the_names_of_the_schema():
    found = experiments.model_evaluation(REPORT)
    assert found["metrics"] == {
        "rootMeanSquaredError": 4.0,
        "meanAbsoluteError": 2.0,
        "rSquared": 0.5,
    }
    assert found["metricsSchemaUri"].endswith("/regression_metrics_1.0.0.yaml")
    binary = {"task": "binary", "label": "y", "metrics": {"validation": {"auc": 0.7, "f1": 0.5}}}
    found = experiments.model_evaluation(binary)
    assert found["metrics"] == {"auRoc": 0.7}
    assert found["metricsSchemaUri"].endswith("/classification_metrics_1.0.0.yaml")
    with pytest.raises(UserError, match="no held-out rows"):
        experiments.model_evaluation({**binary, "metrics": {}})


def test_the_script_imports_the_evaluation_of_a_run(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    model = "projects/p/locations/us-central1/models/7"

    def call(name):
        command = [sys.executable, str(SCRIPT), f"--model={name}", str(tmp_path)]
        command.append(f"--api_endpoint={fake.url}")
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with FakeVertex() as fake:
        done, wrong = call(model), call("models/7")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{model}/evaluations/1"
    (found,) = fake.records.values()
    assert found["metrics"]["rootMeanSquaredError"] == 4.0
    assert wrong.returncode == 2
    assert "--model must be projects/PROJECT" in wrong.stderr
