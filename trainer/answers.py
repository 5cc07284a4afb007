"""What an exported model answers: its outputs by task, from the scores of the rows.

    regression  prediction
    binary      probability, class
    multiclass  class, probability (of it), probabilities of all classes; of more than
                `MOST_PROBABILITIES` classes top_classes and top_probabilities instead
    multilabel  probabilities of all labels, is_positive

A calibrated model also serves the probabilities that it has without its calibration:
raw_probability, raw_probabilities, or raw_top_probabilities of the top_classes. What is decided,
is_positive and class, follows from the calibrated ones.

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
    """What a model takes and gives.

    thresholds: of a yes; one, or one for each label; () of other tasks. classes: their names.
    is_calibrated: whether raw scores are served besides.
    """

    inputs: ServingInputs
    label: Label
    thresholds: tuple[float, ...]
    classes: tuple[str, ...] = ()
    is_calibrated: bool = False

    @property
    def score(self) -> str:
        """The output that carries the numbers."""
        if self.label.has_classes:
            return "top_probabilities" if self.has_top else "probabilities"
        return "prediction" if self.label.task == "regression" else "probability"

    @property
    def raw_score(self) -> str:
        """The output of the numbers without the calibration."""
        return f"raw_{self.score}"

    @property
    def has_top(self) -> bool:
        """Whether only the most probable classes are served."""
        return self.label.task == "multiclass" and len(self.classes) > MOST_PROBABILITIES

    def numbers(self, scores: np.ndarray) -> np.ndarray:
        """The numbers of the output `score`: (B,), (B, K) or (B, NUM_TOP) of such scores."""
        if not self.has_top:
            return scores
        return np.take_along_axis(scores, self._top(scores), axis=1)

    def raw_numbers(self, raw_scores: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The numbers of the output `raw_score`, in the places of those of `score`."""
        if not self.has_top:
            return raw_scores
        return np.take_along_axis(raw_scores, self._top(scores), axis=1)

    def decisions(self, numbers: np.ndarray) -> dict[str, list[Any]]:
        """The outputs that follow from the numbers of `score`, as the model makes them."""
        thresholds = np.array(self.thresholds, np.float32)
        if self.label.task == "binary":
            values = self.label.class_values
            return {"class": [values[int(np.float32(p) >= thresholds[0])] for p in numbers]}
        if self.label.task == "multilabel":
            return {"is_positive": (numbers.astype(np.float32) >= thresholds).tolist()}
        if self.label.task == "regression":
            return {}
        found: dict[str, list[Any]] = {"probability": numbers.max(axis=1).tolist()}
        if not self.has_top:
            found["class"] = [self.classes[k] for k in numbers.argmax(axis=1)]
        return found

    def answers(self, scores: np.ndarray, raw_scores: np.ndarray | None = None) -> list[Outputs]:
        """The outputs of each row, without the key; `raw_scores` of a calibrated model."""
        numbers = self.numbers(scores)
        outputs = {self.score: numbers.tolist(), **self.decisions(numbers)}
        if raw_scores is not None:
            outputs[self.raw_score] = self.raw_numbers(raw_scores, scores).tolist()
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
