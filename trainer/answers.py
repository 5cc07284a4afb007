"""What an exported model answers: its outputs by task, from the scores of the rows.

    regression  prediction
    binary      probability, class
    multiclass  class, probability (of it), probabilities of all classes; of more than
                `MOST_PROBABILITIES` classes top_classes and top_probabilities instead
    multilabel  probabilities of all labels, is_positive

Works on plain Python and numpy values; imports neither TensorFlow nor Arrow.

Axes: B rows, K classes or labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trainer.label import Label
from trainer.serving import Row, ServingInputs

MOST_PROBABILITIES = 1000
NUM_TOP = 10
# Values of a row by output.
Outputs = dict[str, Any]


class Served(NamedTuple):
    """What a model takes and gives: its inputs, its label, the threshold of a yes, its classes."""

    inputs: ServingInputs
    label: Label
    threshold: float
    classes: tuple[str, ...] = ()

    @property
    def score(self) -> str:
        """The output that carries the numbers."""
        if self.label.has_classes:
            return "top_probabilities" if self.has_top else "probabilities"
        return "prediction" if self.label.task == "regression" else "probability"

    @property
    def has_top(self) -> bool:
        """Whether only the most probable classes are served."""
        return self.label.task == "multiclass" and len(self.classes) > MOST_PROBABILITIES

    def numbers(self, scores: np.ndarray) -> np.ndarray:
        """The numbers of the output `score`: (B,), (B, K) or (B, NUM_TOP) of such scores."""
        if not self.has_top:
            return scores
        return np.take_along_axis(scores, self._top(scores), axis=1)

    def decisions(self, numbers: np.ndarray) -> dict[str, list[Any]]:
        """The outputs that follow from the numbers of `score`, as the model makes them."""
        threshold = np.float32(self.threshold)
        if self.label.task == "binary":
            values = self.label.class_values
            return {"class": [values[int(np.float32(p) >= threshold)] for p in numbers]}
        if self.label.task == "multilabel":
            return {"is_positive": (numbers.astype(np.float32) >= threshold).tolist()}
        if self.label.task == "regression":
            return {}
        found: dict[str, list[Any]] = {"probability": numbers.max(axis=1).tolist()}
        if not self.has_top:
            found["class"] = [self.classes[k] for k in numbers.argmax(axis=1)]
        return found

    def answers(self, scores: np.ndarray) -> list[Outputs]:
        """The outputs of each row, without the key."""
        numbers = self.numbers(scores)
        outputs = {self.score: numbers.tolist(), **self.decisions(numbers)}
        if self.has_top:
            names = [[self.classes[k] for k in row] for row in self._top(scores)]
            outputs |= {"top_classes": names, "class": [row[0] for row in names]}
        return [{name: values[i] for name, values in outputs.items()} for i in range(len(scores))]

    def _top(self, scores: np.ndarray) -> np.ndarray:
        return np.argsort(-scores, axis=1, kind="stable")[:, :NUM_TOP]


def response_json(rows: Sequence[Row], answers: Sequence[Mapping[str, Any]], served: Served) -> str:
    """The answer to expect: an object for each row, or the bare value where it is all there is."""
    predictions: list[object] = []
    for row, answer in zip(rows, answers, strict=True):
        outputs = {name: _plain(value) for name, value in answer.items()}
        if served.inputs.key is not None:
            outputs["key"] = row[served.inputs.key]
        predictions.append(outputs if len(outputs) > 1 else outputs[served.score])
    return json.dumps({"predictions": predictions}, indent=1, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    """A number by the shortest text of its float32; lists item by item."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(str(np.float32(value))) if isinstance(value, float | np.floating) else value
