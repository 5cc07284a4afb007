import csv
import dataclasses

import numpy as np
import pytest
from comparison_table import make_class_config, make_config
from sklearn.metrics import accuracy_score, log_loss

from trainer.blocks import DataPart
from trainer.compare.contenders import measure, open_rows, train_references
from trainer.errors import UserError
from trainer.label import Label


def test_the_test_rows_judge_and_groups_are_numbered(tmp_path):
    config, _ = make_config(tmp_path)

    _, rows = open_rows(config, "day")

    table = list(csv.DictReader((tmp_path / "test.csv").open()))
    assert rows.part == "test"
    assert rows.label.tolist() == [float(row["y"]) for row in table]
    days = sorted({row["day"] for row in table})
    assert rows.groups.tolist() == [days.index(row["day"]) for row in table]


def test_without_test_rows_those_of_validation_judge(tmp_path):
    config, _ = make_config(tmp_path)
    data = config.data.model_copy(update={"test": ()})
    assert open_rows(config.model_copy(update={"data": data}), None)[1].part == "validation"


def test_rows_that_training_does_not_see_are_needed(tmp_path):
    config, _ = make_config(tmp_path)
    data = config.data.model_copy(update={"test": (), "validation": ()})
    with pytest.raises(UserError, match=r"^a comparison needs rows that training does not see"):
        open_rows(config.model_copy(update={"data": data}), None)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"task": "multilabel", "column": "y"}, "received multilabel with transform none"),
        ({"task": "multiclass", "columns": ("y", "x")}, "received multiclass with transform none"),
        (
            {"task": "regression", "column": "y", "transform": "log1p"},
            "received regression with transform log1p",
        ),
    ],
)
def test_other_labels_are_not_compared(tmp_path, label, message):
    config, _ = make_config(tmp_path)
    label = Label(**label)
    with pytest.raises(
        UserError,
        match=f"knows label.task regression, binary, multiclass of one column .*; {message}",
    ):
        open_rows(config.model_copy(update={"label": label}), None)


def test_a_group_must_be_read(tmp_path):
    config, _ = make_config(tmp_path)
    with pytest.raises(UserError, match=r"^--group 'dai' is not read by this config; it reads x, "):
        open_rows(config, "dai")


def test_references_learn_the_planted_signal(tmp_path):
    config, _ = make_config(tmp_path)
    parts, rows = open_rows(config, None)

    trees, line, constant = train_references(config, parts, rows.part)

    found = {
        one.name: measure("binary", rows.label, one.scores[0], rows.weight)
        for one in (trees, line, constant)
    }
    # The label's own probabilities have an AUC of about 0.84.
    assert found["linear"]["auc"] > 0.8 and found["boosted trees"]["auc"] > 0.75
    assert found["constant"]["auc"] == 0.5
    train = list(csv.DictReader((tmp_path / "train.csv").open()))
    rate = np.mean([float(row["y"]) for row in train])
    loss = -np.mean(np.where(rows.label == 1, np.log(rate), np.log(1 - rate)))
    assert found["constant"]["log_loss"] == pytest.approx(loss)


def test_classes_are_compared_by_their_probabilities(tmp_path):
    config, _ = make_class_config(tmp_path)
    parts, rows = open_rows(config, None)

    trees, line, constant = train_references(config, parts, rows.part)

    table = list(csv.DictReader((tmp_path / "test.csv").open()))
    kinds, weight = [row["kind"] for row in table], [float(row["w"]) for row in table]
    # Classes are numbered from the most frequent one on.
    order = ["middle", "low", "top"]
    assert [order[int(number)] for number in rows.label] == kinds
    for one in (trees, line, constant):
        (score,) = one.scores
        probability = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
        found = measure("multiclass", rows.label, score, rows.weight)
        expected = log_loss(rows.label, probability, sample_weight=weight)
        assert found["log_loss"] == pytest.approx(expected, rel=1e-6)
        chosen = probability.argmax(axis=1)
        right = accuracy_score(rows.label, chosen, sample_weight=weight)
        assert found["accuracy"] == pytest.approx(right)
        # A label differs from that of x alone in a fifth of the rows.
        assert found["accuracy"] > 0.75 or one is constant
    train = list(csv.DictReader((tmp_path / "train.csv").open()))
    mass = [sum(float(row["w"]) for row in train if row["kind"] == kind) for kind in order]
    np.testing.assert_allclose(np.exp(constant.scores[0][0]), np.array(mass) / sum(mass))


def test_of_too_many_classes_not_all_probabilities_are_served(tmp_path, monkeypatch):
    config, _ = make_class_config(tmp_path, num_rows=60)
    statistics = DataPart.statistics
    many = tuple((str(k), 1.0) for k in range(1001))
    monkeypatch.setattr(
        DataPart, "statistics", lambda part: dataclasses.replace(statistics(part), classes=many)
    )
    with pytest.raises(UserError, match=r"serves of up to 1000; this label has 1001"):
        open_rows(config, None)


def test_a_regression_is_measured_without_its_worst_rows_too():
    label = np.zeros(200)
    score = np.where(np.arange(200) < 2, 100.0, 1.0)
    found = measure("regression", label, score, np.ones(200))
    assert found["mae"] == pytest.approx((198 + 200) / 200)
    assert found["trimmed_rmse"] == 1.0
