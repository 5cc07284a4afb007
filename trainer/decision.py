"""What the validation rows decide after training: the calibration and the threshold of a model.

Both are chosen on validation rows alone, never on test rows, and kept with the model. numpy only,
no TensorFlow.

Axes: R rows, O outputs, L labels.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trainer.calibration import Calibration, fit_calibration
from trainer.class_metrics import MOST_KEPT
from trainer.evaluation_config import EvaluationConfig
from trainer.label import Task
from trainer.operating_point import Choice, Costs, choose_threshold, curve_of
from trainer.threshold_rule import NEUTRAL

logger = logging.getLogger(__name__)

# Labels of a report whose thresholds are written out.
_MOST_LABELS = 1000


class Decision(NamedTuple):
    """A calibration, and thresholds of the calibrated probabilities.

    Attributes:
        thresholds: one, or one for each label of multilabel; of other tasks without effect.
        rule: `evaluation.threshold`.
        calibration: of the logits.
        num_rows: validation rows that were asked; 0 where nothing was chosen.
        is_reached: whether the threshold has the level of its rule on them.
    """

    thresholds: tuple[float, ...] = (NEUTRAL,)
    rule: float | str = NEUTRAL
    calibration: Calibration = Calibration()
    num_rows: int = 0
    is_reached: bool = True

    @property
    def threshold(self) -> float:
        """The first threshold: that of a binary task."""
        return self.thresholds[0]

    @property
    def is_chosen(self) -> bool:
        """Whether rows have decided anything."""
        return self.num_rows > 0

    def describe(self) -> str:
        """For the log.

        >>> Decision((0.25,), "f1", num_rows=90).describe()
        'threshold 0.25 (f1 on 90 validation rows)'
        """
        texts = []
        if not isinstance(self.rule, float):
            low, high = min(self.thresholds), max(self.thresholds)
            shown = f"{low:.4g}" if len(self.thresholds) == 1 else f"{low:.4g} to {high:.4g}"
            texts.append(f"threshold {shown} ({self.rule} on {self.num_rows} validation rows)")
        if self.calibration.kind != "none":
            texts.append(self.calibration.describe())
        return "; ".join(texts)

    def to_dict(self, classes: Sequence[str] = ()) -> dict[str, Any]:
        """`operating_point` and `calibration` of report.json.

        Args:
            classes: names of the labels, where each has a threshold or a calibration.
        """
        found: dict[str, Any] = {}
        if self.thresholds:
            point: dict[str, Any] = {"rule": self.rule, "threshold": self.threshold}
            if len(self.thresholds) > 1:
                pairs = zip(classes[:_MOST_LABELS], self.thresholds, strict=False)
                point = {"rule": self.rule, "thresholds": dict(pairs)}
            if not isinstance(self.rule, float):
                point |= {"chosen_on": "validation", "rows": self.num_rows}
                point |= {"is_reached": self.is_reached}
            found["operating_point"] = point
        calibration = self.calibration
        if calibration.kind != "none":
            found["calibration"] = {
                "kind": calibration.kind,
                "fitted_on": "validation",
                "rows": self.num_rows,
            }
            if calibration.kind == "isotonic":
                found["calibration"] |= {"knots": calibration.knots, "values": calibration.values}
            else:
                found["calibration"] |= {
                    "scale": calibration.scales[:_MOST_LABELS],
                    "shift": calibration.shifts[:_MOST_LABELS],
                }
        return found

    def to_json(self, classes: Sequence[str] = ()) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(classes), indent=1) + "\n"


def undecided(config: EvaluationConfig, task: Task) -> Decision:
    """The decision before any row is asked: the number of the config, or 0.5."""
    if task not in ("binary", "multilabel"):
        return Decision(())
    threshold = config.threshold_rule.while_training
    return Decision((threshold,), threshold)


def decide(
    config: EvaluationConfig,
    task: Task,
    labels_RL: np.ndarray,
    logits_RO: np.ndarray,
    weight_R: np.ndarray,
) -> Decision:
    """The calibration, then the threshold by it; of many outputs from the first rows only.

    Rules f1 and cost choose a threshold for each label of a multilabel task; precision and recall
    are those of all rows and labels together, with one threshold.

    Args:
        config: the section.
        task: of the label.
        labels_RL: of the validation rows.
        logits_RO: finite.
        weight_R: above 0.
    """
    rule, neutral = config.threshold_rule, undecided(config, task)
    if not config.decides:
        return neutral
    num_rows = max(1, MOST_KEPT // logits_RO.shape[1])
    labels_RL, logits_RO, weight_R = labels_RL[:num_rows], logits_RO[:num_rows], weight_R[:num_rows]
    calibration = fit_calibration(config.calibration, task, labels_RL, logits_RO, weight_R)
    decision = neutral._replace(calibration=calibration, num_rows=len(weight_R))
    if not rule.is_chosen or not len(weight_R):
        return decision
    decision = decision._replace(rule=config.threshold)
    costs = Costs(config.cost_false_positive, config.cost_false_negative)
    is_positive_RO, logits_RO = labels_RL > 0.5, calibration.apply(logits_RO)
    num_outputs = logits_RO.shape[1]
    if rule.name in ("precision", "recall"):
        flat = is_positive_RO.reshape(-1), logits_RO.reshape(-1), np.repeat(weight_R, num_outputs)
        choices = [choose_threshold(rule, curve_of(*flat), costs)]
    else:
        columns = zip(is_positive_RO.T, logits_RO.T, strict=True)
        choices = [
            choose_threshold(rule, curve_of(is_positive_R, logit_R, weight_R), costs)
            for is_positive_R, logit_R in columns
        ]
    return _with_choices(decision, choices)


def _with_choices(decision: Decision, choices: Sequence[Choice]) -> Decision:
    is_reached = all(choice.is_reached for choice in choices)
    if not is_reached:
        logger.warning(
            "no threshold reaches %s on the %d validation rows; the nearest is kept",
            decision.rule,
            decision.num_rows,
        )
    thresholds = tuple(choice.threshold for choice in choices)
    return decision._replace(thresholds=thresholds, is_reached=is_reached)
