"""`fairness.<part>` of report.json: the decisions of a binary model, by group.

Axes: R rows, V values of a column.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from trainer.insight.confidence import effective_rows, wilson
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.row_groups import Grouping, RowGroups
from trainer.metrics import Vector, log_odds

logger = logging.getLogger(__name__)

MOST_GROUPS = 50


def produce(evidence: Evidence) -> Sections:
    """`fairness`: by part and column of `evaluation.fairness_columns`, see `group_rates`."""
    columns = evidence.config.evaluation.fairness_columns
    if not columns:
        return {}
    grouping = Grouping(evidence.config, only=columns)
    decision = evidence.program.objective.decision
    found: dict[str, dict[str, Any]] = {}
    for part, predictions in evidence.predictions.items():
        num_rows = grouping.num_rows(len(predictions.weight))
        if not num_rows:
            continue
        logit_R = decision.calibration.apply(predictions.logits[:num_rows])[:, 0]
        is_selected_R = logit_R >= log_odds(decision.threshold)
        is_positive_R = predictions.labels[:num_rows, 0] > 0.5
        weight_R = predictions.weight[:num_rows].astype(np.float64)
        found[part] = {
            groups.column: group_rates(groups, is_positive_R, is_selected_R, weight_R)
            for groups in grouping.groups(evidence.datasets.parts[part], num_rows)
        }
        for column, rates in found[part].items():
            _log_gap(part, column, rates)
    return {"fairness": found} if found else {}


def group_rates(
    groups: RowGroups, is_positive_R: np.ndarray, is_selected_R: np.ndarray, weight_R: Vector
) -> list[dict[str, Any]]:
    """Rates of each group, the largest groups first; a rate over nothing is None.

    positive_rate: share of label 1. selection_rate: share of decision 1. tpr, fpr: share of
    decision 1 among labels 1 and 0, the tpr with Wilson's interval at 95 %. tpr_behind: how far the
    tpr is below the largest among groups.
    """
    number = len(groups.values)

    def weight_of(chosen_R: np.ndarray | None) -> Vector:
        weights = weight_R if chosen_R is None else weight_R * chosen_R
        return np.bincount(groups.place_R, weights, number).astype(np.float64)

    rows_V, total_V = np.bincount(groups.place_R, minlength=number), weight_of(None)
    positive_V, selected_V = weight_of(is_positive_R), weight_of(is_selected_R)
    hit_V = weight_of(is_positive_R & is_selected_R)
    squares_V = np.bincount(groups.place_R, weight_R**2 * is_positive_R, number)
    with np.errstate(invalid="ignore"):
        tpr_V = hit_V / positive_V
        rates = {
            "positive_rate": positive_V / total_V,
            "selection_rate": selected_V / total_V,
            "tpr": tpr_V,
            "fpr": (selected_V - hit_V) / (total_V - positive_V),
        }
    low_V, high_V = wilson(tpr_V, effective_rows(positive_V, squares_V))
    shown = [v for v in np.argsort(-rows_V, kind="stable")[:MOST_GROUPS].tolist() if rows_V[v]]
    best = max((tpr_V[v] for v in shown if np.isfinite(tpr_V[v])), default=np.nan)
    columns = rates | {"tpr_low": low_V, "tpr_high": high_V, "tpr_behind": best - tpr_V}
    return [
        {"value": groups.values[v], "rows": int(rows_V[v])}
        | {name: _number(values[v]) for name, values in columns.items()}
        for v in shown
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _log_gap(part: str, column: str, rates: list[dict[str, Any]]) -> None:
    """The largest gap of the true positive rate, for the log."""
    known = sorted((one for one in rates if one["tpr"] is not None), key=lambda one: one["tpr"])
    if len(known) < 2:
        return
    worst, best = known[0], known[-1]
    logger.info(
        "fairness, %s rows: the true positive rate of %s %s is %.3f (%.3f to %.3f), of %s %.3f "
        "(%.3f to %.3f)",
        *(part, column, worst["value"], worst["tpr"], worst["tpr_low"], worst["tpr_high"]),
        *(best["value"], best["tpr"], best["tpr_low"], best["tpr_high"]),
    )
