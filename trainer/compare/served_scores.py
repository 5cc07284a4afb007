"""Scores of an exported model for raw rows: what a user of it gets.

Axes: R rows, K classes.
"""

from __future__ import annotations

import numpy as np

from trainer.blocks import DataPart
from trainer.trained_model import TrainedModel

LEAST_PROBABILITY = 1e-7  # a float32 probability of exactly 0 or 1 has no finite logit

_OUTPUTS = {"regression": "prediction", "binary": "probability", "multiclass": "probabilities"}


def served_scores(model_dir: str, part: DataPart) -> np.ndarray:
    """(R,) float64 values of a regression or logits of a binary task, (R, K) logits of classes.

    They are in the order of the file.

    Args:
        model_dir: of the SavedModel.
        part: the rows.
    """
    model = TrainedModel(model_dir)
    task = model.config.label.task
    output = _OUTPUTS[task]
    scores = np.concatenate(
        [model.answer(block.columns)[output].astype(np.float64) for block in part.blocks()]
    )
    if task == "regression":
        return scores
    probability = np.clip(scores, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    if task == "multiclass":
        return np.log(probability)
    return np.log(probability) - np.log1p(-probability)
