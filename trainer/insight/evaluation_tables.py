"""`evaluation.<part>` of report.json: what a model is worth on rows that it has not seen.

Every figure is of the calibrated scores and of the operating point of the exported model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.class_heads import ClassHead, LabelSetHead
from trainer.data_files import Part
from trainer.evaluation import Predictions
from trainer.insight.binary_tables import binary_tables
from trainer.insight.confusion_tables import class_tables, label_tables
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.number_tables import number_tables
from trainer.number_head import NumberHead
from trainer.operating_point import Costs


def produce(evidence: Evidence) -> Sections:
    """`evaluation`: by part, see the tables of the task."""
    found = {
        part: _tables(evidence, part, predictions)
        for part, predictions in evidence.predictions.items()
    }
    found = {part: tables for part, tables in found.items() if tables}
    return {"evaluation": found} if found else {}


def _tables(evidence: Evidence, part: Part, predictions: Predictions) -> dict[str, Any]:
    objective = evidence.program.objective
    head, decision = objective.head, objective.decision
    weight_B = predictions.weight.astype(np.float64)
    logits_BO = decision.calibration.apply(predictions.logits)
    known = evidence.report.get("by_class", {}).get(part, {})
    if isinstance(head, NumberHead):
        columns = predictions.labels[:, 0].astype(np.float64), logits_BO[:, 0].astype(np.float64)
        return number_tables(*head.in_units(*columns), weight_B)
    if isinstance(head, ClassHead):
        labels = predictions.labels
        is_soft = labels.shape[1] > 1
        class_B = labels.argmax(axis=1) if is_soft else labels[:, 0].astype(np.int64)
        return class_tables(head.classes, class_B, logits_BO, weight_B, known)
    if isinstance(head, LabelSetHead):
        return label_tables(
            head.classes, predictions.labels, logits_BO, weight_B, decision.thresholds, known
        )
    config = evidence.config.evaluation
    tables = binary_tables(
        predictions.labels[:, 0] > 0.5,
        logits_BO[:, 0].astype(np.float64),
        weight_B,
        decision.threshold,
        Costs(config.cost_false_positive, config.cost_false_negative),
    )
    if tables:
        tables["operating_point"] = {"rule": str(decision.rule), **tables["operating_point"]}
    return tables
