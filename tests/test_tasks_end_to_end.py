"""Every task from a file to its exported model, against the best that its planting allows."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from trainer.config import parse_config
from trainer.model import train_and_evaluate

NUM_ROWS = 6000
NUM_TEST = 2000
SHOPS = np.array(["north", "south", "east"])
CLASSES = np.array(["dog", "ant", "cat", "bee"])


def planted(seed=3):
    """x, shop number, and the truth in 4 logits (R, 4): linear in x with a jump by shop."""
    rng = np.random.default_rng(seed)
    x, shop = rng.normal(size=NUM_ROWS), rng.integers(3, size=NUM_ROWS)
    by_shop = np.array([[1.5, 0, -1, 0], [0, 1, 0, -1.5], [-1, -0.5, 1, 0.5]])
    return rng, x, shop, np.outer(x, [1, -1, 0.5, -0.5]) + by_shop[shop]


def softmax(logits):
    exponential = np.exp(logits)
    return exponential / exponential.sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def train(folder, columns, label, **sections):
    """Report, exported model, raw test rows and the run's folder of a table in CSV."""
    _, x, shop, _ = planted()
    table = {"x": [f"{v:.7g}" for v in x], "shop": SHOPS[shop]} | columns
    lines = [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    for name, rows in (("train", lines[:-NUM_TEST]), ("test", lines[-NUM_TEST:])):
        (folder / f"{name}.csv").write_text("\n".join([",".join(table), *rows]) + "\n")
    values = {
        "data": {
            "train": [str(folder / "train.csv")],
            "validation_fraction": 0.2,
            "test": [str(folder / "test.csv")],
        },
        "columns": {"x": "numeric", "shop": "categorical"},
        "label": label,
        "model": {"hidden_units": [16]},
        "training": {"epochs": 12, "batch_size": 64},
        "evaluation": {"baseline": "constant"},
        "output": {"job_dir": str(folder / "run")},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    report = train_and_evaluate(parse_config(values, "test"))
    model = tf.saved_model.load(report["model_dir"]).signatures["serving_default"]
    served = model(
        x=tf.constant(np.float32(table["x"][-NUM_TEST:])),
        shop=tf.constant(table["shop"][-NUM_TEST:]),
    )
    answers = {name: values.numpy() for name, values in served.items()}
    return report["metrics"]["test"], answers, report


def class_names(report):
    return (Path(report["model_dir"]) / "assets.extra" / "classes.txt").read_text().splitlines()


def drawn_classes():
    rng, _, _, logits = planted()
    p = softmax(logits)
    return np.array([rng.choice(4, p=row) for row in p]), p


@pytest.mark.parametrize(
    "sections", [{}, {"model": {"hidden_units": [16], "label_smoothing": 0.02}}]
)
def test_classes_reach_the_best_log_loss(tmp_path, sections):
    drawn, p = drawn_classes()
    label = {"column": "kind", "task": "multiclass"}
    found, answers, report = train(tmp_path, {"kind": CLASSES[drawn]}, label, **sections)
    test = slice(NUM_ROWS - NUM_TEST, None)
    best = -np.log(p[np.arange(NUM_ROWS), drawn][test]).mean()
    assert best * 0.995 < found["log_loss"] < best + 0.02
    assert found["accuracy"] > (p.argmax(axis=1) == drawn)[test].mean() - 0.02
    names = np.array(class_names(report))
    assert sorted(names) == sorted(CLASSES)
    # The served probabilities are those that were measured, each under its own name.
    number = np.array([list(names).index(CLASSES[k]) for k in drawn[test]])
    own = answers["probabilities"][np.arange(NUM_TEST), number].astype(np.float64)
    assert -np.log(own).mean() == pytest.approx(found["log_loss"], rel=1e-5)
    assert (answers["class"] == names[answers["probabilities"].argmax(axis=1)].astype(bytes)).all()
    np.testing.assert_array_equal(answers["probability"], answers["probabilities"].max(axis=1))
    response = Path(report["model_dir"]) / "assets.extra" / "sample_response.json"
    first = json.loads(response.read_text())["predictions"][0]
    assert first["class"] == answers["class"][0].decode()
    assert first["probabilities"] == pytest.approx(answers["probabilities"][0].tolist(), rel=1e-5)


def test_balanced_classes_are_found_more_often_at_the_same_measure(tmp_path):
    drawn, _ = drawn_classes()
    rare = np.where(drawn == 3, 3, 0)
    rare[np.arange(NUM_ROWS) % 3 > 0] = 0
    label = {"column": "kind", "task": "multiclass", "classes": ["bee", "dog"]}
    model = {"hidden_units": [16], "class_weights": "auto"}
    _, answers, report = train(tmp_path, {"kind": CLASSES[rare]}, label, model=model)
    assert class_names(report) == ["bee", "dog"]
    # A rare class is taken for half of the rows in training, so that it is often the larger one.
    assert answers["probabilities"][:, 0].mean() > 3 * (rare == 3).mean()


def test_probabilities_of_a_row_are_a_label(tmp_path):
    _, _, _, logits = planted()
    p = softmax(logits).round(6)
    columns = {f"p_{name}": p[:, k] for k, name in enumerate(CLASSES)}
    label = {"columns": list(columns), "task": "multiclass"}
    found, answers, report = train(tmp_path, columns, label)
    entropy = -(p * np.log(p)).sum(axis=1)[-NUM_TEST:].mean()
    assert entropy * 0.999 < found["log_loss"] < entropy + 0.01
    np.testing.assert_allclose(answers["probabilities"], p[-NUM_TEST:], atol=0.12)
    assert class_names(report) == list(columns)


@pytest.mark.parametrize("is_delimited", [True, False])
def test_labels_reach_the_best_log_loss_in_both_forms(tmp_path, is_delimited):
    rng, _, _, logits = planted()
    p = sigmoid(logits - 1)
    drawn = (rng.random(p.shape) < p).astype(int)
    if is_delimited:
        cells = ["; ".join(CLASSES[row == 1]) for row in drawn]
        columns, label = {"kinds": cells}, {"column": "kinds", "delimiter": ";"}
    else:
        columns = {name: drawn[:, k] for k, name in enumerate(CLASSES)}
        label = {"columns": list(columns)}
    label["task"] = "multilabel"
    found, answers, report = train(tmp_path, columns, label)
    best = -np.log(np.where(drawn == 1, p, 1 - p))[-NUM_TEST:].mean()
    assert best * 0.99 < found["log_loss"] < best + 0.01
    names = class_names(report)
    order = [list(CLASSES).index(name) for name in names]
    actual, served = drawn[-NUM_TEST:, order], answers["probabilities"].astype(np.float64)
    loss = -np.log(np.where(actual == 1, served, 1 - served)).mean()
    assert loss == pytest.approx(found["log_loss"], rel=1e-5)
    np.testing.assert_array_equal(answers["is_positive"], answers["probabilities"] >= 0.5)
    assert found["subset_accuracy"] == (answers["is_positive"] == actual).all(axis=1).mean()
    table = report["by_class"]["test"]
    assert {name: figures["sum_weight"] for name, figures in table.items()} == dict(
        zip(names, actual.sum(axis=0), strict=True)
    )
    for k, name in enumerate(names):
        assert table[name]["auc"] == pytest.approx(roc_auc_score(actual[:, k], served[:, k]))


def test_counts_reach_the_best_deviance(tmp_path):
    rng, x, shop, _ = planted()
    rate = np.exp(0.5 * x + np.array([0.0, 1.0, -1.0])[shop])
    counts = rng.poisson(rate)
    label = {"column": "n", "task": "regression"}
    model = {"hidden_units": [16], "loss": "poisson"}
    found, answers, _ = train(tmp_path, {"n": counts}, label, model=model)
    y, f = counts[-NUM_TEST:], rate[-NUM_TEST:]
    best = 2 * (y * np.log(np.where(y, y, 1) / f) - y + f).mean()
    assert best * 0.99 < found["poisson_deviance"] < best + 0.03
    f = answers["prediction"].astype(np.float64)
    served = 2 * (y * np.log(np.where(y, y, 1) / f) - y + f).mean()
    assert served == pytest.approx(found["poisson_deviance"], rel=1e-5)


def test_a_logarithm_is_undone_in_metrics_and_in_the_model(tmp_path):
    rng, x, shop, _ = planted()
    mean = 3 + x + np.array([0.0, 1.0, -1.0])[shop]
    price = np.expm1(mean + 0.3 * rng.normal(size=NUM_ROWS)).clip(-0.9).round(5)
    label = {"column": "price", "task": "regression", "transform": "log1p"}
    found, answers, _ = train(tmp_path, {"price": price}, label, training={"monitor": "rmsle"})
    error = np.log1p(price[-NUM_TEST:]) - mean[-NUM_TEST:]
    best = np.sqrt((error**2).mean())
    assert best * 0.99 < found["rmsle"] < best * 1.05
    served = answers["prediction"].astype(np.float64)
    assert np.abs(served - price[-NUM_TEST:]).mean() == pytest.approx(found["mae"], rel=1e-5)
