"""What is compared: the model of each seed by its exported form, and the references.

Axes: R rows, K classes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from trainer import data_files, metrics, model, storage
from trainer.answers import MOST_PROBABILITIES
from trainer.blocks import DataPart, open_parts
from trainer.class_metrics import log_softmax
from trainer.compare.intervals import Interval, paired_differences, trimmed_rmse
from trainer.compare.plain_table import PlainReader, PlainTable
from trainer.compare.references import Reference, boosted_trees, linear_model, tuned_trees
from trainer.compare.served_scores import LEAST_PROBABILITY, served_scores
from trainer.config import Config, OutputConfig
from trainer.data_files import Part
from trainer.errors import UserError
from trainer.label import Task
from trainer.run_folder import RunFolder

# By task, in the order of the table. trimmed_rmse: without the worst 1% of the rows.
COMPARED = {
    "regression": ("rmse", "mae", "trimmed_rmse"),
    "binary": ("auc", "log_loss"),
    "multiclass": ("log_loss", "accuracy"),
}
LOWER_IS_BETTER = frozenset({"rmse", "mae", "trimmed_rmse", "log_loss"})


class Contender(NamedTuple):
    """Scores, (R,) or (R, K), on the judged rows by seed; mean seconds of a whole training."""

    name: str
    scores: tuple[np.ndarray, ...]
    seconds: float
    note: str


class Rows(NamedTuple):
    """The rows that judge: (R,) label and weight, and the number of each row's group or None."""

    part: Part
    label: np.ndarray
    weight: np.ndarray
    groups: np.ndarray | None


def open_rows(config: Config, group: str | None) -> tuple[dict[Part, DataPart], Rows]:
    """All parts of the data, and the rows that judge: the test rows, else the validation rows.

    Raises:
        UserError: neither is there, `group` is no column that the config reads, or the label is
            not compared.
    """
    label = config.label
    if label.task not in COMPARED or label.transform != "none" or label.columns:
        raise UserError(
            f"a comparison knows label.task {', '.join(COMPARED)} of one column without "
            f"label.transform; received {label.task} with transform {label.transform}"
        )
    files = data_files.find_files(config.data, below(config, "sample"))
    parts = open_parts(config, files)
    judged: Part = "test" if "test" in parts else "validation"
    if judged not in parts:
        raise UserError(
            "a comparison needs rows that training does not see; give data.test or "
            "data.test_fraction"
        )
    if label.task == "multiclass":
        _tell_classes(parts)
    part = parts[judged]
    labels, weights, groups = [], [], []
    for block in part.blocks():
        labels.append(part.labels(block)[:, 0])
        weights.append(part.weight(block))
        if group is not None:
            if group not in block.columns:
                raise UserError(
                    f"--group {group!r} is not read by this config; it reads "
                    f"{', '.join(block.columns)}. Name one of them, or data.split_column"
                )
            groups += block.columns[group].to_pylist()
    numbers = np.unique(np.array(groups, str), return_inverse=True)[1] if group else None
    return parts, Rows(judged, np.concatenate(labels), np.concatenate(weights), numbers)


def _tell_classes(parts: Mapping[Part, DataPart]) -> None:
    """Let all parts know the classes of the training rows.

    Raises:
        UserError: they are too many to be served with all their probabilities.
    """
    statistics = parts["train"].statistics()
    if len(statistics.classes) > MOST_PROBABILITIES:
        raise UserError(
            f"a comparison needs the probabilities of all classes, which a model serves of up to "
            f"{MOST_PROBABILITIES}; this label has {len(statistics.classes)}. Use the metrics of "
            "report.json"
        )
    for part in parts.values():
        part.know_classes(statistics)


def train_model(
    config: Config, seeds: Sequence[int], parts: Mapping[Part, DataPart], part: Part, name: str
) -> Contender:
    """The model of each seed; each run has a folder below job_dir and is not repeated."""
    scores, seconds = [], []
    for seed in seeds:
        run = _config_of_run(config, seed)
        report = model.train_and_evaluate(run)
        seconds.append(report["seconds"]["total"])
        scores.append(served_scores(RunFolder(run).model_dir, parts[part]))
    # Whole jobs: reading, training, evaluation, export and its check.
    return Contender(name, tuple(scores), float(np.mean(seconds)), "whole job")


def train_references(
    config: Config, parts: Mapping[Part, DataPart], part: Part, num_trials: int = 0
) -> list[Contender]:
    """Boosted trees, also the best of `num_trials`, the linear model and the training mean."""
    task = config.label.task
    reader = PlainReader(config)
    tables = {name: reader.read(one) for name, one in parts.items()}  # train comes first
    found: list[tuple[str, Reference]] = [
        ("boosted trees", boosted_trees(tables, task)),
        ("linear", linear_model(tables, task)),
    ]
    if num_trials:
        found.insert(1, ("tuned trees", tuned_trees(tables, task, num_trials)))
    contenders = [
        Contender(name, (reference.scores[part],), reference.seconds, reference.note)
        for name, reference in found
    ]
    return [*contenders, _constant(tables["train"], tables[part], task)]


def measure(
    task: Task, label: np.ndarray, score: np.ndarray, weight: np.ndarray
) -> dict[str, float]:
    """The compared metrics of scores, as `served_scores` gives them; NaN where not defined."""
    if task == "binary":
        found = metrics.binary_metrics(label, score, weight)
    elif task == "multiclass":
        number_R = label.astype(np.int64)
        loss_R = -log_softmax(score)[np.arange(len(score)), number_R]
        is_right_R = score.argmax(axis=1) == number_R
        found = {
            "log_loss": float(np.average(loss_R, weights=weight)),
            "accuracy": float(np.average(is_right_R, weights=weight)),
        }
    else:
        found = metrics.regression_metrics(label, score, weight)
        found["trimmed_rmse"] = trimmed_rmse(label, score, weight)
    return {name: found.get(name, float("nan")) for name in COMPARED[task]}


def differences(
    task: Task, first: Contender, second: Contender, rows: Rows, num_draws: int
) -> dict[str, Interval]:
    """The compared metrics of `first` less those of `second`, with their intervals."""
    return paired_differences(
        functools.partial(measure, task),
        rows.label,
        rows.weight,
        first=first.scores,
        second=second.scores,
        groups=rows.groups,
        num_draws=num_draws,
    )


def in_folder(config: Config, folder: str) -> Config:
    """The config with all that it writes below a folder."""
    return config.model_copy(update={"output": OutputConfig(job_dir=folder)})


def below(config: Config, name: str) -> str:
    """The path of `name` in the folder of the runs."""
    return storage.join(config.output.job_dir or "", name)


def _config_of_run(config: Config, seed: int) -> Config:
    return in_folder(config, below(config, f"seed_{seed}")).model_copy(
        update={
            "training": config.training.model_copy(update={"seed": seed}),
            "evaluation": config.evaluation.model_copy(update={"baseline": "none"}),
        }
    )


def _constant(train: PlainTable, judged: PlainTable, task: Task) -> Contender:
    if task == "multiclass":
        num_classes = int(max(train.label.max(), judged.label.max())) + 1
        mass_K = np.bincount(train.label.astype(np.int64), train.weight, num_classes)
        score_K = np.log(np.maximum(mass_K / mass_K.sum(), LEAST_PROBABILITY))
        scores = np.tile(score_K, (len(judged.label), 1))
        return Contender("constant", (scores,), 0.0, "training shares")
    mean = float(np.average(train.label, weights=train.weight))
    score = mean if task == "regression" else float(np.log(mean) - np.log1p(-mean))
    return Contender("constant", (np.full(len(judged.label), score),), 0.0, "training mean")
