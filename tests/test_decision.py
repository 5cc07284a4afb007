"""trainer.decision: what the validation rows decide, and how it is written down."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score

from trainer import decision
from trainer.calibration import Calibration
from trainer.decision import Decision, decide
from trainer.evaluation_config import EvaluationConfig
from trainer.metrics import sigmoid


def rows(num_outputs=1, num_rows=800):
    rng = np.random.default_rng(4)
    logits = rng.normal(-1, 2, (num_rows, num_outputs)).astype(np.float32)
    labels = rng.random(logits.shape) < sigmoid(0.5 * logits - 1)
    return labels.astype(np.float32), logits, rng.uniform(0.5, 2, num_rows).astype(np.float32)


def test_a_number_and_no_calibration_ask_no_row():
    config = EvaluationConfig(threshold=0.3)
    assert decide(config, "binary", *rows()) == Decision((0.3,), 0.3)
    assert decide(EvaluationConfig(), "regression", *rows()) == Decision(())
    assert Decision(()).to_dict() == {}
    assert Decision((0.3,), 0.3).to_dict() == {"operating_point": {"rule": 0.3, "threshold": 0.3}}


def test_the_threshold_is_that_of_calibrated_probabilities():
    label, logits, weight = rows()
    config = EvaluationConfig(threshold="f1", calibration="platt")
    found = decide(config, "binary", label, logits, weight)
    probability = sigmoid(found.calibration.apply(logits))[:, 0]

    def f1(threshold):
        return f1_score(label[:, 0], probability >= threshold, sample_weight=weight)

    assert f1(found.threshold) == pytest.approx(max(f1(p) for p in probability))
    assert found.calibration.scales[0] == pytest.approx(0.5, abs=0.1)
    plain = decide(EvaluationConfig(threshold="f1"), "binary", label, logits, weight)
    # The same rows are selected: the map keeps their order.
    assert found.threshold != pytest.approx(plain.threshold, abs=0.02)
    np.testing.assert_array_equal(
        probability >= found.threshold, sigmoid(logits)[:, 0] >= plain.threshold
    )
    assert decide(config, "binary", label, logits, weight) == found


def test_labels_have_their_own_thresholds_by_f1_and_one_by_precision():
    labels, logits, weight = rows(3)
    found = decide(EvaluationConfig(threshold="f1"), "multilabel", labels, logits, weight)
    for k, threshold in enumerate(found.thresholds):
        one = decide(
            EvaluationConfig(threshold="f1"), "binary", labels[:, [k]], logits[:, [k]], weight
        )
        assert one.thresholds == (threshold,)
    found = decide(
        EvaluationConfig(threshold="precision@0.5"), "multilabel", labels, logits, weight
    )
    selected = sigmoid(logits) >= found.threshold
    score = precision_score(
        labels.ravel() > 0, selected.ravel(), sample_weight=np.repeat(weight, 3)
    )
    assert len(found.thresholds) == 1
    assert score >= 0.5


def test_of_many_outputs_the_first_rows_decide(monkeypatch):
    monkeypatch.setattr(decision, "MOST_KEPT", 300)
    labels, logits, weight = rows(3)
    config = EvaluationConfig(threshold="cost", calibration="temperature")
    found = decide(config, "multilabel", labels, logits, weight)
    assert found == decide(config, "multilabel", labels[:100], logits[:100], weight[:100])
    assert found.num_rows == 100


def test_a_level_out_of_reach_is_said(caplog):
    label, logits, weight = rows()
    config = EvaluationConfig(threshold="precision@1")
    label[logits > 2] = 0
    found = decide(config, "binary", label, logits, weight)
    assert not found.is_reached
    assert "no threshold reaches precision@1 on the 800 validation rows" in caplog.text
    assert found.to_dict()["operating_point"]["is_reached"] is False


def test_what_is_written_down():
    found = Decision((0.25, 0.5), "f1", Calibration("platt", (2.0, 3.0), (0.0, 1.0)), num_rows=7)
    assert json.loads(found.to_json(["a", "b"])) == {
        "operating_point": {
            "rule": "f1",
            "thresholds": {"a": 0.25, "b": 0.5},
            "chosen_on": "validation",
            "rows": 7,
            "is_reached": True,
        },
        "calibration": {
            "kind": "platt",
            "fitted_on": "validation",
            "rows": 7,
            "scale": [2.0, 3.0],
            "shift": [0.0, 1.0],
        },
    }
    assert found.describe() == (
        "threshold 0.25 to 0.5 (f1 on 7 validation rows); calibration platt: logits x 2 to 3 by "
        "label"
    )
    isotonic = Decision(calibration=Calibration("isotonic", knots=(0.0,), values=(1.0,)))
    assert isotonic.to_dict()["calibration"]["knots"] == (0.0,)
