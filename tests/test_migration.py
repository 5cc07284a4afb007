"""A model of tf.estimator's DNNLinearCombined, trained here and by hand.

The reference is written from the estimator's documentation: a linear part under FTRL and a network
under Adagrad, their logits added, the mean of the losses over the batch. Every step takes all rows,
so that their order does not matter.
"""

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from trainer import model
from trainer.cli import load_config
from trainer.config import parse_config
from trainer.flags import FLAGS

NUM_ROWS, NUM_STEPS, HIDDEN, WIDTH = 96, 40, 5, 3
CITIES = ["Lima", "Oslo", "Rome"]
LINEAR_RATE, DNN_RATE = 0.05, 0.03


def make_rows():
    rng = np.random.default_rng(7)
    city = rng.choice(CITIES, NUM_ROWS, p=[0.5, 0.3, 0.2])
    age = rng.normal(40, 9, NUM_ROWS)
    signal = (age - 40) / 9 + (city == "Oslo") - 0.5 * rng.normal(size=NUM_ROWS)
    return pd.DataFrame({"age": age, "city": city, "cost": signal, "won": (signal > 0).astype(int)})


def make_config(job_dir, label, task):
    return parse_config(
        {
            "columns": {
                # numeric_column with a normalizer_fn, and nothing that the estimator had not.
                "age": {
                    "kind": "numeric",
                    "scale": "zscore",
                    "missing": "mean",
                    "piecewise_linear": 0,
                    "buckets": 0,
                    "embedding_dim": 0,
                    "indicators": False,
                },
                # categorical_column_with_vocabulary_list, and embedding_column of it.
                "city": {"kind": "categorical", "vocabulary": CITIES, "embedding_dim": WIDTH},
                **{name: "ignore" for name in ("cost", "won") if name != label},
            },
            "label": {"column": label, "task": task},
            "model": {
                "hidden_units": [HIDDEN],
                "dropout": 0,
                "input_dropout": 0,
                "output_offset": "none",
                "standardize_target": False,
                "loss": "log_loss" if task == "binary" else "mse",
            },
            "optimizer": {
                "wide_optimizer": "ftrl",
                "wide_learning_rate": LINEAR_RATE,
                "deep_optimizer": "adagrad",
                "deep_learning_rate": DNN_RATE,
                "ema_decay": 0,
            },
            "training": {"batch_size": NUM_ROWS, "steps": NUM_STEPS, "keep_weights": "last"},
            "evaluation": {"baseline": "none", "report": "none"},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )


class InitialWeights(keras.callbacks.Callback):
    """Weights before the first step, by the last two parts of their path."""

    def on_train_begin(self, logs=None):
        self.weights = {
            "/".join(w.path.split("/")[-2:]): w.numpy().astype(np.float64)
            for w in self.model.weights
        }


class Ftrl:
    """McMahan et al. 2013, algorithm 1, without penalties."""

    def __init__(self, weight):
        self.weight, self.z, self.n = weight, np.zeros_like(weight), np.full_like(weight, 0.1)

    def step(self, gradient):
        n = self.n + gradient**2
        self.z += gradient - (np.sqrt(n) - np.sqrt(self.n)) / LINEAR_RATE * self.weight
        self.n = n
        self.weight = -LINEAR_RATE * self.z / np.sqrt(n)


class Adagrad:
    """Duchi et al. 2011, from an accumulator of 0.1."""

    def __init__(self, weight):
        self.weight, self.n = weight, np.full_like(weight, 0.1)

    def step(self, gradient):
        self.n = self.n + gradient**2
        self.weight = self.weight - DNN_RATE * gradient / np.sqrt(self.n)


def train_by_hand(rows, label, task, initial):
    """Scores of the rows after NUM_STEPS steps."""
    age = rows["age"].to_numpy()
    number = ((age - age.mean()) / age.std())[:, np.newaxis]
    one_hot = np.stack([rows["city"] == city for city in CITIES], axis=1).astype(float)
    target = rows[label].to_numpy(float)[:, np.newaxis]
    linear = {name: Ftrl(np.zeros((n, 1))) for name, n in (("age", 1), ("city", 3), ("bias", 1))}
    network = {
        # Ids 0 and 1 stand for a missing and for an unknown city.
        "embedding": Adagrad(initial[f"embedding_{WIDTH}/table"][2:]),
        "kernel": Adagrad(initial["hidden_1/kernel"]),
        "bias": Adagrad(initial["hidden_1/bias"]),
        "out": Adagrad(initial["output/kernel"]),
        "out_bias": Adagrad(initial["output/bias"]),
    }
    w = {name: rule for name, rule in (*linear.items(), *network.items()) if name != "bias"}

    def forward():
        inputs = np.concatenate([number, one_hot @ network["embedding"].weight], axis=1)
        before = inputs @ network["kernel"].weight + network["bias"].weight
        hidden = np.maximum(before, 0)
        logit = hidden @ network["out"].weight + network["out_bias"].weight
        logit = logit + number @ linear["age"].weight + one_hot @ linear["city"].weight
        return inputs, before, hidden, logit + linear["bias"].weight

    for _ in range(NUM_STEPS):
        inputs, before, hidden, logit = forward()
        slope = 1 / (1 + np.exp(-logit)) - target if task == "binary" else 2 * (logit - target)
        error = slope / NUM_ROWS
        back = (error @ network["out"].weight.T) * (before > 0)
        to_inputs = back @ network["kernel"].weight.T
        gradients = {
            "out": hidden.T @ error,
            "out_bias": error.sum(axis=0),
            "kernel": inputs.T @ back,
            "embedding": one_hot.T @ to_inputs[:, 1:],
            "age": number.T @ error,
            "city": one_hot.T @ error,
        }
        bias_gradient = back.sum(axis=0)
        for name, gradient in gradients.items():
            w[name].step(gradient)
        network["bias"].step(bias_gradient)
        linear["bias"].step(error.sum(axis=0, keepdims=True))
    logit = forward()[-1][:, 0]
    return 1 / (1 + np.exp(-logit)) if task == "binary" else logit


@pytest.mark.parametrize(
    ("estimator", "label", "task"),
    [
        ("DNNLinearCombinedRegressor", "cost", "regression"),
        ("DNNLinearCombinedClassifier", "won", "binary"),
    ],
)
def test_the_estimators_model_is_trained_as_by_hand(tmp_path, estimator, label, task):
    rows = make_rows()
    start = InitialWeights()
    config = make_config(tmp_path / estimator, label, task)
    model.train_and_evaluate(config, callbacks=[start], tables={"train": rows})
    output = "prediction" if task == "regression" else "probability"
    trained = model.load(str(tmp_path / estimator)).predict(rows)[output]
    expected = train_by_hand(rows, label, task, start.weights)
    np.testing.assert_allclose(trained, expected, atol=2e-5)
    assert np.std(expected) > 0.05


@pytest.mark.parametrize(
    ("argument", "setting"),
    [
        ("linear_optimizer", "wide_optimizer"),
        ("dnn_optimizer", "deep_optimizer"),
        ("dnn_hidden_units", "hidden_units"),
        ("dnn_activation_fn", "activation"),
        ("dnn_dropout", "dropout"),
        ("batch_norm", "normalization"),
        ("model_dir", "job_dir"),
        ("save_checkpoints_steps", "checkpoint_steps"),
        ("keep_checkpoint_max", "keep_checkpoints"),
        ("tf_random_seed", "seed"),
        ("train_distribute", "strategy"),
        ("TrainSpec(max_steps)", "steps"),
        ("stop_if_no_decrease_hook", "patience"),
        ("throttle_secs", "eval_steps"),
        ("exporters", "keep_weights"),
    ],
)
def test_an_argument_of_the_estimator_stands_beside_a_setting(argument, setting):
    lines = (Path(__file__).parents[1] / "configs/from_estimator.yaml").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if argument in line)
    assert setting in FLAGS
    assert re.search(rf"\b{setting}\b", " ".join(lines[place : place + 2]).split(argument)[1])


def test_optimizers_have_the_names_of_the_estimator():
    flags = ["--wide_optimizer=Ftrl", "--deep_optimizer=RMSProp"]
    optimizer = load_config(flags, {}).config.optimizer
    assert (optimizer.wide_optimizer, optimizer.deep_optimizer) == ("ftrl", "rmsprop")


def test_the_config_to_start_from_has_the_estimators_defaults():
    path = Path(__file__).parents[1] / "configs/from_estimator.yaml"
    config = load_config([f"--config={path}"], {}).config
    # Source: tensorflow_estimator, canned/dnn_linear_combined.py, its two learning rates.
    optimizer = config.optimizer
    assert (optimizer.wide_optimizer, optimizer.wide_learning_rate) == ("ftrl", 0.005)
    assert (optimizer.deep_optimizer, optimizer.deep_learning_rate) == ("adagrad", 0.001)
    assert (config.model.activation, config.model.dropout) == ("relu", 0)
