"""What a model is compared with: LightGBM, untuned or tuned, and a linear model, on a plain table.

Both get the columns of the config, distances of geo columns included; neither gets its crosses or
buckets. Scores are logits of a binary task and of classes, values of a regression.

Axes: R rows, C columns, K classes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from trainer.compare.plain_table import PlainTable
from trainer.data_files import Part
from trainer.errors import UserError
from trainer.label import Task

# LightGBM's usual choice for tables of this size; the number of trees is found on validation rows.
LEARNING_RATE, NUM_LEAVES, MOST_TREES, PATIENCE = 0.05, 31, 2000, 50
# Trees where there are no validation rows to find it on.
DEFAULT_TREES = 300

Tables = Mapping[Part, PlainTable]


class Reference(NamedTuple):
    """Scores (R,) or (R, K) float64 by part; seconds of training, without imports and reading."""

    scores: dict[Part, np.ndarray]
    seconds: float
    note: str


def boosted_trees(
    tables: Tables, task: Task, num_threads: int = 0, options: Mapping[str, Any] | None = None
) -> Reference:
    """LightGBM with early stopping on the validation rows.

    Args:
        tables: by part.
        task: of the label.
        num_threads: 0 for all cores.
        options: LightGBM's, in the place of its usual choice.

    Raises:
        UserError: LightGBM is not installed.
    """
    began = time.monotonic()
    trees = _train_trees(tables, task, num_threads, options or {})
    return _as_reference(trees, tables, time.monotonic() - began, "")


def tuned_trees(
    tables: Tables, task: Task, num_trials: int, num_threads: int = 0, seed: int = 1
) -> Reference:
    """LightGBM with the options that do best on the validation rows, of so many trials.

    The search is Optuna's (tree-structured Parzen estimator) and begins with the usual choice.

    Raises:
        UserError: LightGBM or Optuna is not installed, or there are no validation rows.
    """
    if "validation" not in tables:
        raise UserError("--tuned chooses on validation rows; give data.validation")
    with _needed():
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    best: list[Any] = []

    def loss_of(trial: Any) -> float:
        trees = _train_trees(tables, task, num_threads, _suggest(trial))
        ((loss,),) = ([*losses.values()] for losses in trees.best_score.values())
        if not best or loss < best[0]:
            best[:] = [loss, trees]
        return float(loss)

    began = time.monotonic()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({"learning_rate": LEARNING_RATE, "num_leaves": NUM_LEAVES})
    study.optimize(loss_of, n_trials=num_trials)
    note = f"the best of {num_trials} trials, "
    return _as_reference(best[1], tables, time.monotonic() - began, note)


def _suggest(trial: Any) -> dict[str, Any]:
    """LightGBM's options of a trial."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 7, 255, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 200, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
        "bagging_freq": 1,
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 30.0, log=True),
        "cat_smooth": trial.suggest_float("cat_smooth", 1.0, 100.0, log=True),
        "cat_l2": trial.suggest_float("cat_l2", 1.0, 100.0, log=True),
    }


def _train_trees(tables: Tables, task: Task, num_threads: int, options: Mapping[str, Any]) -> Any:
    """A booster, stopped early where there are validation rows."""
    with _needed():
        import lightgbm
    train, validation = tables["train"], tables.get("validation")
    categories = [i for i, is_category in enumerate(train.is_category) if is_category]
    parameters: dict[str, Any] = {
        "objective": task,
        "learning_rate": LEARNING_RATE,
        "num_leaves": NUM_LEAVES,
        "num_threads": num_threads,
        "seed": 1,
        "deterministic": True,
        "verbosity": -1,
        **({"num_class": _num_classes(tables)} if task == "multiclass" else {}),
        **options,
    }

    def dataset(table: PlainTable, reference: Any = None) -> Any:
        return lightgbm.Dataset(
            table.values,
            table.label,
            weight=table.weight,
            categorical_feature=categories,
            reference=reference,
            params=parameters,
        )

    train_set = dataset(train)
    if validation is None:
        return lightgbm.train(parameters, train_set, DEFAULT_TREES)
    return lightgbm.train(
        parameters,
        train_set,
        MOST_TREES,
        valid_sets=[dataset(validation, train_set)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )


def _as_reference(trees: Any, tables: Tables, seconds: float, note: str) -> Reference:
    scores = {
        part: np.asarray(trees.predict(t.values, raw_score=True)) for part, t in tables.items()
    }
    return Reference(scores, seconds, f"{note}{trees.best_iteration or DEFAULT_TREES} trees")


def linear_model(tables: Tables, task: Task) -> Reference:
    """Ridge or logistic regression on scaled numbers and one-hot categories.

    Raises:
        UserError: scikit-learn is not installed.
    """
    with _needed():
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train = tables["train"]
    is_category = np.array(train.is_category)
    numbers = make_pipeline(
        SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=-1.0),
        OneHotEncoder(handle_unknown="ignore"),
    )
    encode = ColumnTransformer(
        [
            ("numbers", numbers, np.flatnonzero(~is_category)),
            ("categories", categories, np.flatnonzero(is_category)),
        ]
    )
    line = Ridge() if task == "regression" else LogisticRegression(max_iter=300)
    began = time.monotonic()
    line.fit(encode.fit_transform(train.values), train.label, sample_weight=train.weight)
    seconds = time.monotonic() - began
    score: Callable[[Any], np.ndarray] = (
        line.predict if task == "regression" else line.decision_function
    )
    scores = {part: score(encode.transform(t.values)) for part, t in tables.items()}
    if task == "multiclass":
        classes = line.classes_.astype(int)
        scores = {p: _of_classes(s, classes, _num_classes(tables)) for p, s in scores.items()}
    return Reference(scores, seconds, f"{line.coef_.size} weights")


def _num_classes(tables: Tables) -> int:
    """K, of which the training rows may not have all."""
    return int(max(table.label.max() for table in tables.values())) + 1


def _of_classes(scores: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """(R, K) logits of a linear model that knows some classes, or the one logit of two."""
    if scores.ndim == 1:
        scores = np.column_stack([np.zeros(len(scores)), scores])
    # A class that it has not seen is as unlikely to it as the least likely one.
    found = np.repeat(scores.min(axis=1, keepdims=True), num_classes, axis=1)
    found[:, classes] = scores
    return found


@contextlib.contextmanager
def _needed() -> Iterator[None]:
    """A block of imports; what is not installed is the user's to install."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"a comparison needs LightGBM, scikit-learn and Optuna ({error}); do: pip install -e "
            "'.[compare]'"
        ) from error
