"""What a model is compared with: LightGBM and a linear model, untuned, on a plain table.

Both get the columns of the config, distances of geo columns included; neither gets its crosses or
buckets. Scores are logits of a binary task, values of a regression.

Axes: R rows, C columns.
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
from trainer.metrics import Task

# LightGBM's usual choice for tables of this size; the number of trees is found on validation rows.
LEARNING_RATE, NUM_LEAVES, MOST_TREES, PATIENCE = 0.05, 31, 2000, 50
# Trees where there are no validation rows to find it on.
DEFAULT_TREES = 300

Tables = Mapping[Part, PlainTable]


class Reference(NamedTuple):
    """Scores (R,) float64 by part, and the seconds of training, without imports and reading."""

    scores: dict[Part, np.ndarray]
    seconds: float
    note: str


def boosted_trees(tables: Tables, task: Task, num_threads: int = 0) -> Reference:
    """LightGBM with early stopping on the validation rows.

    Raises:
        UserError: LightGBM is not installed.
    """
    with _needed():
        import lightgbm
    train, validation = tables["train"], tables.get("validation")
    categories = [i for i, is_category in enumerate(train.is_category) if is_category]
    parameters: dict[str, Any] = {
        "objective": "binary" if task == "binary" else "regression",
        "learning_rate": LEARNING_RATE,
        "num_leaves": NUM_LEAVES,
        "num_threads": num_threads,
        "seed": 1,
        "deterministic": True,
        "verbosity": -1,
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

    began = time.monotonic()
    train_set = dataset(train)
    if validation is None:
        trees = lightgbm.train(parameters, train_set, DEFAULT_TREES)
    else:
        trees = lightgbm.train(
            parameters,
            train_set,
            MOST_TREES,
            valid_sets=[dataset(validation, train_set)],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
    seconds = time.monotonic() - began
    scores = {
        part: np.asarray(trees.predict(t.values, raw_score=True)) for part, t in tables.items()
    }
    return Reference(scores, seconds, f"{trees.best_iteration or DEFAULT_TREES} trees")


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
    line = LogisticRegression(max_iter=300) if task == "binary" else Ridge()
    began = time.monotonic()
    line.fit(encode.fit_transform(train.values), train.label, sample_weight=train.weight)
    seconds = time.monotonic() - began
    score: Callable[[Any], np.ndarray] = (
        line.decision_function if task == "binary" else line.predict
    )
    scores = {part: score(encode.transform(t.values)) for part, t in tables.items()}
    return Reference(scores, seconds, f"{line.coef_.size} weights")


@contextlib.contextmanager
def _needed() -> Iterator[None]:
    """A block of imports; what is not installed is the user's to install."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"a comparison needs LightGBM and scikit-learn ({error}); do: pip install -e "
            "'.[compare]'"
        ) from error
