"""Thresholds and calibrations of real runs: chosen on validation, served, the same at a restart."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, log_loss, precision_score

from trainer import model
from trainer.config import parse_config
from trainer.metrics import sigmoid


def table(num_rows, seed):
    """A column that decides, one that does not, and labels of each task."""
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=num_rows), rng.integers(0, 5, num_rows)
    logit = 1.5 * x - 2 + 0.5 * c
    draw = rng.random((3, num_rows))
    yes = draw < sigmoid(np.stack([logit, -logit, x]))
    tags = [
        "|".join(t for t, is_there in zip("abc", row, strict=True) if is_there) for row in yes.T
    ]
    return pd.DataFrame(
        {
            "x": x,
            "c": c.astype(str),
            "w": rng.uniform(0.5, 2, num_rows),
            "yes": yes[0].astype(int),
            "kind": np.array(["low", "middle", "high"])[yes[0].astype(int) + yes[2]],
            "tags": tags,
        }
    )


TABLES = {"train": table(3000, 1), "validation": table(1500, 2), "test": table(1000, 3)}
LABELS = {
    "binary": {"column": "yes", "task": "binary"},
    "multiclass": {"column": "kind", "task": "multiclass"},
    "multilabel": {"column": "tags", "task": "multilabel", "classes": ["a", "b", "c"]},
}


def train(job_dir, task, **evaluation):
    config = parse_config(
        {
            "columns": {"x": "numeric", "c": "categorical", "w": "weight"},
            "label": LABELS[task],
            # Few and large steps: probabilities that need a calibration.
            "model": {"hidden_units": [16]},
            "optimizer": {"deep_learning_rate": 0.05, "wide_learning_rate": 2.0},
            "training": {"steps": 60, "batch_size": 128, "xla": False},
            "evaluation": {"baseline": "none", "report": "none", **evaluation},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )
    return model.train_and_evaluate(config, tables=TABLES)


@pytest.mark.parametrize("calibration", ["platt", "isotonic", "temperature"])
def test_a_calibrated_binary_model_serves_what_is_reported(tmp_path, calibration):
    found = train(tmp_path / "run", "binary", threshold="f1", calibration=calibration)
    served = model.load(str(tmp_path / "run")).predict(TABLES["test"])
    label, weight = TABLES["test"]["yes"], TABLES["test"]["w"]
    test, threshold = found["metrics"]["test"], found["operating_point"]["threshold"]
    assert threshold != 0.5
    np.testing.assert_array_equal(served["class"], served["probability"] >= np.float32(threshold))
    assert test["f1"] == pytest.approx(f1_score(label, served["class"], sample_weight=weight))
    loss = log_loss(label, served["probability"].astype(float), sample_weight=weight)
    assert test["log_loss"] == pytest.approx(loss, rel=1e-5)
    # The raw probability is what training has watched.
    validation = TABLES["validation"]
    raw = model.load(str(tmp_path / "run")).predict(validation)["raw_probability"].astype(float)
    loss = log_loss(validation["yes"], raw, sample_weight=validation["w"])
    assert found["validation_before_decision"]["log_loss"] == pytest.approx(loss, rel=1e-5)
    assert found["metrics"]["validation"]["log_loss"] < loss
    assert found["calibration"]["kind"] == calibration
    extra = Path(found["model_dir"], "assets.extra")
    assert json.loads((extra / "decision.json").read_text())["operating_point"]["rule"] == "f1"
    (answer, *_) = json.loads((extra / "sample_response.json").read_text())["predictions"]
    assert set(answer) == {"probability", "class", "raw_probability"}


def test_a_restart_after_training_decides_the_same(tmp_path):
    evaluation = {"threshold": "precision@0.7", "calibration": "isotonic"}
    first = train(tmp_path / "run", "binary", **evaluation)
    assert first["metrics"]["validation"]["precision"] >= 0.7
    for name in ("report.json", "COMPLETE", "model/assets.extra/decision.json"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    second = train(tmp_path / "run", "binary", **evaluation)
    for key in ("operating_point", "calibration", "metrics", "validation_before_decision"):
        assert json.dumps(second[key]) == json.dumps(first[key])
    assert (tmp_path / "run" / "model/assets.extra/decision.json").exists()


@pytest.mark.parametrize("calibration", ["platt", "temperature"])
def test_each_label_has_its_threshold(tmp_path, calibration):
    found = train(tmp_path / "run", "multilabel", threshold="f1", calibration=calibration)
    served = model.load(str(tmp_path / "run")).predict(TABLES["test"])
    thresholds = list(found["operating_point"]["thresholds"].values())
    assert len(set(thresholds)) == 3
    probabilities = np.stack(served["probabilities"])
    decided = np.stack(served["is_positive"])
    np.testing.assert_array_equal(decided, probabilities >= np.float32(thresholds))
    label = np.array([[tag in text for tag in "abc"] for text in TABLES["test"]["tags"]])
    score = f1_score(label, decided, sample_weight=TABLES["test"]["w"], average="macro")
    assert found["metrics"]["test"]["macro_f1"] == pytest.approx(score)
    assert np.stack(served["raw_probabilities"]).shape == probabilities.shape
    assert (
        found["metrics"]["validation"]["log_loss"]
        <= (found["validation_before_decision"]["log_loss"])
    )


def test_temperature_of_classes_keeps_the_class(tmp_path):
    found = train(tmp_path / "run", "multiclass", calibration="temperature")
    served = model.load(str(tmp_path / "run")).predict(TABLES["test"])
    raw, probabilities = (np.stack(served[n]) for n in ("raw_probabilities", "probabilities"))
    scale = found["calibration"]["scale"][0]
    expected = raw.astype(float) ** scale
    np.testing.assert_allclose(
        probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-5
    )
    np.testing.assert_array_equal(raw.argmax(axis=1), probabilities.argmax(axis=1))
    assert found["metrics"]["test"]["num_rows"] == 1000
    assert "operating_point" not in found


def test_a_threshold_without_a_calibration_serves_no_raw_probability(tmp_path):
    found = train(tmp_path / "run", "binary", threshold="cost", cost_false_negative=5)
    served = model.load(str(tmp_path / "run")).predict(TABLES["validation"])
    assert set(served) == {"probability", "class"}
    label, weight = TABLES["validation"]["yes"], TABLES["validation"]["w"].to_numpy()

    def cost(selected):
        wrong_yes, wrong_no = selected & (label == 0), (label == 1) & ~selected
        return weight[wrong_yes].sum() + 5 * weight[wrong_no].sum()

    costs = [cost(served["probability"] >= p) for p in served["probability"]]
    assert cost(served["class"] == 1) == pytest.approx(min(costs))
    # A wrong no costs five times as much: more is selected than by one half.
    assert found["operating_point"]["threshold"] < 0.5
    assert found["metrics"]["validation"]["precision"] == pytest.approx(
        precision_score(label, served["class"], sample_weight=weight)
    )
