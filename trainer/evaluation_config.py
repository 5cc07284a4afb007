"""The section `evaluation` of a config: what is measured, and what is decided by it; no TensorFlow.

The rules of `config.py` hold: a field states its meaning, unit and range once, and its name is
unique across sections.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from trainer.data_config import DataConfig
from trainer.errors import UserError
from trainer.fields import TextList
from trainer.label import Label
from trainer.schema import Schema
from trainer.sections import NotNegative, Rate, Section
from trainer.threshold_rule import NEUTRAL, ThresholdRule, read_rule, valid_threshold


class EvaluationConfig(Section):
    """What is measured, and the decisions that are made by it."""

    threshold: Annotated[float | str, BeforeValidator(valid_threshold)] = Field(
        NEUTRAL,
        description="binary, multilabel: probability from which a row counts as positive, or how "
        "the validation rows choose it after training: f1 (the largest; of each label), cost (the "
        "least), precision@0.9 or recall@0.9 (the best of the other at such a level). While "
        "training, and for monitor f1, a chosen one counts as 0.5.",
    )
    cost_false_positive: Rate = Field(
        1.0, description="threshold cost: what a wrong yes costs, in any unit."
    )
    cost_false_negative: Rate = Field(
        1.0, description="threshold cost: what a wrong no costs, in the same unit."
    )
    calibration: Literal["none", "platt", "isotonic", "temperature"] = Field(
        "none",
        description="Map of the logits, fitted on the validation rows after training and part of "
        "the exported model, which also serves the raw probability. binary: each; multilabel: "
        "temperature, or platt of each label; multiclass: temperature.",
    )
    slice_columns: TextList = Field(
        (),
        description="Raw columns whose slices the report shows, besides the worst ones that it "
        "finds; numbers in tenths of the rows. They need not be features.",
    )
    fairness_columns: TextList = Field(
        (),
        description="binary: raw columns of groups whose rates the report compares. They need not "
        "be features.",
    )
    baseline: Literal["wide", "constant", "none"] = Field(
        "wide",
        description="Reference beside the model: the constant, and with wide also a wide-only "
        "model of the same columns, trained as many steps.",
    )
    report: Literal["full", "none"] = Field(
        "full",
        description="full: report.html, the model card, tables and their numbers in report.json, "
        "from the kept weights; none: report.json with metrics only, for tuning trials.",
    )
    eval_rows: NotNegative = Field(
        0, description="Validation rows used while training; 0: all. The final evaluation uses all."
    )

    @property
    def threshold_rule(self) -> ThresholdRule:
        """`threshold` as a rule."""
        return read_rule(self.threshold)

    @property
    def decides(self) -> bool:
        """Whether validation rows choose a threshold or fit a calibration."""
        return self.threshold_rule.is_chosen or self.calibration != "none"

    def check_rows(self, data: DataConfig) -> None:
        """Whoever decides on validation rows has some: known when tables in memory are, too.

        Raises:
            UserError: there are none.
        """
        if self.decides and not (data.validation or data.validation_fraction or data.folds):
            option = "threshold" if self.threshold_rule.is_chosen else "calibration"
            raise UserError(
                f"evaluation.{option} {getattr(self, option)} is chosen on validation rows; give "
                "data.validation or data.validation_fraction"
            )

    def check(self, schema: Schema) -> None:
        """Options have an effect on such a label.

        Raises:
            ValueError: one has none.
        """
        label = schema.label
        self._check_task(label)
        costs = (self.cost_false_positive, self.cost_false_negative)
        if costs != (1.0, 1.0) and self.threshold_rule.name != "cost":
            raise ValueError(
                "evaluation.cost_false_positive and cost_false_negative have an effect only with "
                f"evaluation.threshold cost; it is {self.threshold}"
            )
        self._check_columns(schema)

    def _check_task(self, label: Label) -> None:
        if label.task == "multiclass" and self.threshold != NEUTRAL:
            raise ValueError(
                "evaluation.threshold has no effect on multiclass, which takes the most probable "
                "class; leave it out"
            )
        if label.task == "regression" and self.threshold != NEUTRAL:
            raise ValueError("evaluation.threshold has no effect on regression; leave it out")
        valid = {
            "regression": (),
            "binary": ("platt", "isotonic", "temperature"),
            "multiclass": ("temperature",),
            "multilabel": ("platt", "temperature"),
        }[label.task]
        if self.calibration != "none" and self.calibration not in valid:
            instead = f"use {' or '.join(valid)}" if valid else "a value has no probability"
            raise ValueError(
                f"evaluation.calibration {self.calibration} is not for label.task {label.task}; "
                f"{instead}"
            )
        if self.fairness_columns and label.task != "binary":
            raise ValueError(
                "evaluation.fairness_columns compares decisions of label.task binary; this is "
                f"{label.task}. Use evaluation.slice_columns"
            )

    def _check_columns(self, schema: Schema) -> None:
        """No slices by what is no group: the label, the weight, texts of several values, vectors.

        A name that no column of the schema reads may stand in the file all the same.
        """
        kinds = {schema.raw_name(name): column.kind for name, column in schema.columns.items()}
        for option in ("slice_columns", "fairness_columns"):
            names: tuple[str, ...] = getattr(self, option)
            if len(set(names)) < len(names):
                raise ValueError(f"evaluation.{option} names a column twice: {', '.join(names)}")
            for name in names:
                if name in schema.label.raw_columns or kinds.get(name) == "weight":
                    role = "weight" if kinds.get(name) == "weight" else "label"
                    raise ValueError(f"evaluation.{option}: {name!r} is the {role}; name another")
                if kinds.get(name) in ("multi_hot", "text", "vector"):
                    raise ValueError(
                        f"evaluation.{option}: {name!r} has several values in a row, kind "
                        f"{kinds[name]}; name a column of one"
                    )
