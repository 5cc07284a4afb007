import sys

import lightgbm
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from trainer.compare import references
from trainer.compare.plain_table import PlainTable
from trainer.compare.references import boosted_trees, linear_model, tuned_trees
from trainer.errors import UserError


def make_table(num_rows, seed, task):
    """Label from one number and one category; weights 1 and 2."""
    rng = np.random.default_rng(seed)
    x, code = rng.normal(size=num_rows), rng.integers(0, 3, num_rows).astype(float)
    signal = 2 * x + np.array([0.0, 3.0, -3.0])[code.astype(int)] + 0.1 * rng.normal(size=num_rows)
    label = signal if task == "regression" else (signal > 0)
    weight = 1 + rng.integers(0, 2, num_rows)
    x[::11] = np.nan
    return PlainTable(
        np.column_stack([x, code]),
        label.astype(np.float32),
        weight.astype(np.float32),
        ("x", "code"),
        (False, True),
    )


def tables(task):
    return {
        name: make_table(num_rows, seed, task)
        for seed, (name, num_rows) in enumerate(
            {"train": 2000, "validation": 500, "test": 500}.items()
        )
    }


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_trees_stop_where_validation_is_best(task):
    data = tables(task)

    found = boosted_trees(data, task, num_threads=1)

    num_trees = int(found.note.split()[0])
    assert 1 < num_trees < 2000
    again = lightgbm.train(
        {
            "objective": task,
            "learning_rate": 0.05,
            "num_leaves": 31,
            "seed": 1,
            "num_threads": 1,
            "deterministic": True,
            "verbosity": -1,
        },
        lightgbm.Dataset(
            data["train"].values,
            data["train"].label,
            weight=data["train"].weight,
            categorical_feature=[1],
        ),
        num_trees,
    )
    expected = again.predict(data["test"].values, raw_score=True)
    np.testing.assert_allclose(found.scores["test"], expected, atol=1e-9)


def test_tuned_trees_are_those_of_the_trial_that_validation_likes_best(monkeypatch):
    data = tables("regression")
    suggested = []

    def suggest(trial):
        rate = trial.suggest_float("learning_rate", 0.02, 0.2)
        suggested.append(rate)
        return {"learning_rate": rate, "num_leaves": 4}

    monkeypatch.setattr(references, "_suggest", suggest)
    found = tuned_trees(data, "regression", 3, num_threads=1)

    assert suggested[0] == 0.05  # the usual choice comes first
    tried = [
        boosted_trees(data, "regression", 1, {"learning_rate": rate, "num_leaves": 4}).scores
        for rate in suggested
    ]
    validation = data["validation"]
    losses = [
        np.average((scores["validation"] - validation.label) ** 2, weights=validation.weight)
        for scores in tried
    ]
    best = tried[int(np.argmin(losses))]
    np.testing.assert_array_equal(found.scores["test"], best["test"])
    assert found.note.startswith("the best of 3 trials, ")


def test_tuning_needs_validation_rows():
    data = tables("binary")
    with pytest.raises(UserError, match="--tuned chooses on validation rows"):
        tuned_trees({"train": data["train"]}, "binary", 3)


@pytest.mark.parametrize("seen", [[0, 1, 2], [0, 2]])
def test_classes_that_a_part_alone_has_are_the_least_likely(seen):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 1))
    label = np.array(seen)[np.digitize(x[:, 0], [0.0, 0.7][: len(seen) - 1])]

    def table(label):
        values = (x, label.astype(np.float32), np.ones(300, np.float32))
        return PlainTable(*values, ("x",), (False,))

    data = {"train": table(label), "test": table(np.full(300, 3))}
    found = linear_model(data, "multiclass").scores["test"]
    assert found.shape == (300, 4)
    assert (found.argmax(axis=1) == label).mean() > 0.95
    absent = [k for k in range(4) if k not in seen]
    np.testing.assert_array_equal(found[:, absent].max(axis=1), found.min(axis=1))
    assert boosted_trees(data, "multiclass", num_threads=1).scores["test"].shape == (300, 4)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_the_linear_model_is_that_of_one_hot_categories_and_scaled_numbers(task):
    data = tables(task)

    found = linear_model(data, task)

    train = data["train"].values
    mean = np.nanmean(train[:, 0])

    def features(values):
        is_missing = np.isnan(values[:, 0])
        numbers = np.column_stack([np.where(is_missing, mean, values[:, 0]), is_missing])
        reference = np.column_stack(
            [np.where(np.isnan(train[:, 0]), mean, train[:, 0]), np.isnan(train[:, 0])]
        )
        numbers = (numbers - reference.mean(0)) / reference.std(0)
        return np.column_stack([numbers, values[:, 1, None] == [0.0, 1.0, 2.0]])

    line = Ridge() if task == "regression" else LogisticRegression(max_iter=300)
    line.fit(features(train), data["train"].label, sample_weight=data["train"].weight)
    test = features(data["test"].values)
    expected = line.predict(test) if task == "regression" else line.decision_function(test)
    np.testing.assert_allclose(found.scores["test"], expected, rtol=1e-3, atol=1e-3)
    assert found.note == "5 weights"


def test_without_validation_rows_the_number_of_trees_is_fixed():
    data = tables("regression")
    del data["validation"]
    assert boosted_trees(data, "regression", num_threads=1).note == "300 trees"


def test_a_missing_library_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(UserError, match=r"^a comparison needs LightGBM, .*pip install -e '\.\[co"):
        boosted_trees(tables("binary"), "binary")
