"""The label of a table as the user's YAML states it, and its rules; no TensorFlow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from trainer.column_base import STRICT
from trainer.fields import Text, TextList

Task = Literal["regression", "binary", "multiclass", "multilabel"]
_DELIMITER = "|"


def _not_classification(task: Any) -> Any:
    """Raise ValueError where a task is what others call two of ours."""
    if task == "classification":
        raise ValueError(
            "must be binary, of two classes, or multiclass, of several; received 'classification'"
        )
    return task


class Label(BaseModel):
    """What is learned."""

    model_config = STRICT

    column: str | None = Field(None, description="Raw column of the label.")
    columns: TextList = Field(
        (),
        description="Instead of column. multiclass: a probability for each class, in the columns "
        "that name them. multilabel: 0 or 1 for each label, in the columns that name them.",
    )
    task: Annotated[Task, BeforeValidator(_not_classification)] = Field(
        description="regression, binary, multiclass (one class of several) or multilabel (any "
        "number of several labels)."
    )
    positive: Text | None = Field(
        None,
        description="binary: the text of the positive class, any other text is negative. Not "
        "given: the label is 0 or 1.",
    )
    classes: TextList = Field(
        (),
        description="multiclass and multilabel with one column: the classes or labels in their "
        "order. Not given: those of the training rows, the most frequent first.",
    )
    delimiter: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="multilabel with one column: what stands between two labels; | by default.",
    )
    transform: Literal["none", "log1p"] = Field(
        "none",
        description="regression: what is learned in the place of the label; log1p: log(1 + label), "
        "for a label above -1. The model and the metrics give the label's own units.",
    )

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Raw columns that the label is read from."""
        return self.columns if self.column is None else (self.column,)

    @property
    def name(self) -> str:
        """How messages and reports call it."""
        return ", ".join(self.raw_columns)

    @property
    def has_classes(self) -> bool:
        """Whether it is of several classes or labels, which have names."""
        return self.task in ("multiclass", "multilabel")

    @property
    def class_values(self) -> tuple[int, int] | tuple[str, str]:
        """The served values of the negative and of the positive class of a binary task.

        Any text but `positive` is negative, so the negative class has no text of its own.

        >>> Label(column="income", task="binary", positive=">50K").class_values
        ('not >50K', '>50K')
        """
        return (0, 1) if self.positive is None else (f"not {self.positive}", self.positive)

    @property
    def separator(self) -> str:
        """What stands between two labels of a cell."""
        return self.delimiter or _DELIMITER

    @model_validator(mode="after")
    def _check_column(self) -> Label:
        if (self.column is None) == (not self.columns):
            raise ValueError("give column or columns, one of them")
        if self.columns and not self.has_classes:
            raise ValueError("columns has a meaning only with task: multiclass or multilabel")
        for name, texts in (("columns", self.columns), ("classes", self.classes)):
            if texts and (len(texts) < 2 or len(set(texts)) < len(texts)):
                raise ValueError(f"{name} must be two or more, each once; received {list(texts)}")
        return self

    @model_validator(mode="after")
    def _check_options(self) -> Label:
        if self.positive is not None and self.task != "binary":
            raise ValueError("positive has a meaning only with task: binary")
        if self.classes and not (self.has_classes and self.column):
            raise ValueError("classes has a meaning only with column and several classes or labels")
        if self.delimiter is not None and not (self.task == "multilabel" and self.column):
            raise ValueError("delimiter has a meaning only with task: multilabel and column")
        if self.transform != "none" and self.task != "regression":
            raise ValueError("transform has a meaning only with task: regression")
        return self
