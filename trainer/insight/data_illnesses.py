"""What can be wrong with the data and with what was learned: each rule gives a finding or None.

No TensorFlow.
"""

from __future__ import annotations

import math

from trainer.insight.column_power import LEAK_POWER, SUSPECT_POWER
from trainer.insight.data_profile import DRIFT_THRESHOLD
from trainer.insight.illness import Case, Finding, listed, shares_text

# Source: Google's guide to imbalanced data sets: extreme below 1 %, moderate below 20 %.
EXTREME_IMBALANCE, MODERATE_IMBALANCE = 0.01, 0.2
# Of the monitored error of the best constant: what is no better has learned nothing.
NO_BETTER = 0.99
# Rows of a column whose value training did not have.
UNSEEN, MOSTLY_UNSEEN = 0.2, 0.5
# Of the label's mean, in standard deviations. Source: Cohen (1988) calls 0.2 a small effect; and
# so many standard errors that it is no chance.
SHIFT, SHIFT_ERRORS = 0.2, 4.0
# The model's error over the variance among equal rows; degrees of freedom for an estimate of it
# within 10 %; share of the rows that it must speak for.
AT_FLOOR, LEAST_FREE, LEAST_SHARE = 1.05, 200, 0.5


def leaking_column(case: Case) -> Finding | None:
    """One column alone tells the label."""
    powers = {
        column["column"]: column["leak"]
        for column in case.data_profile.get("columns", ())
        if column.get("leak") is not None and column["leak"] >= SUSPECT_POWER
    }
    if not powers:
        return None
    return Finding(
        "leaking column",
        "alarm" if max(powers.values()) >= LEAK_POWER else "warning",
        f"alone, on rows it was not fitted on, explains of the label: {shares_text(powers)}",
        "make sure that the column is known when a prediction is made, else remove it from columns",
    )


def noise_floor(case: Case) -> Finding | None:
    """Rows of equal features differ in their label by as much as the model is wrong."""
    repeats = case.repeats
    if repeats is None or repeats.num_free < LEAST_FREE or repeats.share < LEAST_SHARE:
        return None
    if repeats.error > AT_FLOOR * repeats.variance:
        return None
    return Finding(
        "label noise floor reached",
        "info",
        f"{repeats.share:.0%} of the validation rows have the features of another one; there the "
        f"squared error is {repeats.error:.4g}, and the labels of equal rows vary by "
        f"{repeats.variance:.4g}",
        "no model of these columns does better: longer training or more hidden_units gain "
        "nothing, other columns may",
    )


def class_imbalance(case: Case) -> Finding | None:
    """One class is so rare that it hardly counts in the loss, and nothing is done about it."""
    statistics, task = case.statistics, case.config.label.task
    if task == "binary" and statistics.label is not None:
        share = min(statistics.label.mean, 1 - statistics.label.mean)
        is_ignored = case.held_out.get("recall", 1.0) == 0 and share < MODERATE_IMBALANCE
    elif task == "multiclass" and statistics.classes:
        counts = [count for _, count in statistics.classes]
        share, is_ignored = 1 - max(counts) / sum(counts), False
    else:
        return None
    network = case.config.model
    is_treated = network.class_weights != "none" or network.loss == "focal"
    if (share >= EXTREME_IMBALANCE or is_treated) and not is_ignored:
        return None
    care = (
        "choose evaluation.threshold for the costs, and watch pr_auc (training.monitor)"
        if task == "binary"
        else "watch macro_f1 (training.monitor)"
    )
    said = "; no row is predicted to be of it" if is_ignored else ""
    return Finding(
        "class imbalance",
        "warning",
        f"{share:.2%} of the training rows are not of the most frequent class{said}",
        f"set model.class_weights to auto or model.loss to focal; {care}, not accuracy",
    )


def constant_prediction(case: Case) -> Finding | None:
    """The model is no better than the best constant."""
    constant = case.baselines.get("constant", {}).get("validation", {})
    name = next((n for n in ("log_loss", "poisson_deviance", "rmse") if n in constant), None)
    if name is None or name not in case.held_out or constant[name] <= 0:
        return None
    ratio = case.held_out[name] / constant[name]
    if ratio < NO_BETTER:
        return None
    return Finding(
        "constant prediction",
        "alarm",
        f"validation {name} is {case.held_out[name]:.4g}, that of the constant "
        f"{constant[name]:.4g}: the columns tell next to nothing of the label, or nothing was "
        "learned",
        "check label and columns (that the label belongs to its row), lower "
        "optimizer.deep_learning_rate, less model.dropout and penalties",
    )


def out_of_vocabulary(case: Case) -> Finding | None:
    """Held-out rows have values that training had not."""
    shares = {
        column["column"]: max(unseen.values())
        for column in case.data_profile.get("columns", ())
        if (unseen := column.get("unseen")) and max(unseen.values()) >= UNSEEN
    }
    if not shares:
        return None
    return Finding(
        "out-of-vocabulary",
        "alarm" if max(shares.values()) >= MOSTLY_UNSEEN else "warning",
        f"held-out rows whose value training did not have: {shares_text(shares)}; {UNSEEN:.0%} "
        "are too many",
        "train on newer or more rows; remove a column that names each row; where new values are to "
        "be expected, add columns that they have in common with known ones",
    )


def mismatch(case: Case) -> Finding | None:
    """Validation rows are not like training rows."""
    found, columns = [], []
    label, mean = case.statistics.label, case.held_out.get("mean_label")
    is_weighted = case.config.weight is not None or case.config.data.negative_keep < 1
    if label is not None and mean is not None and label.sd > 0 and not is_weighted:
        shift = (mean - label.mean) / label.sd
        num_rows = case.held_out["num_rows"]
        if abs(shift) > max(SHIFT, SHIFT_ERRORS * math.sqrt(1 / num_rows + 1 / label.count)):
            found.append(
                f"the mean label is {label.mean:.4g} in training, {mean:.4g} in validation"
            )
    for column in case.data_profile.get("columns", ()):
        measure = "js" if column.get("kind") == "number" else "linf"
        drift = column.get("drift", {}).get("validation", {})
        distance, by_chance = drift.get(measure, 0.0), drift.get(f"{measure}_by_chance", 0.0)
        if distance > max(DRIFT_THRESHOLD, by_chance):
            columns.append(f"{column['column']} (distance {distance:.2f})")
    found += [listed(columns)] if columns else []
    if not found:
        return None
    return Finding(
        "train/validation mismatch",
        "warning",
        f"validation differs from training: {', '.join(found)}",
        "split by chance (data.validation_fraction with split_column) unless the difference in "
        "time or place is meant; look at data_profile",
    )


RULES = (
    leaking_column,
    noise_floor,
    class_imbalance,
    constant_prediction,
    out_of_vocabulary,
    mismatch,
)
