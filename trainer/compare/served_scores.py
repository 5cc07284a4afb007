"""Scores of an exported model for raw rows: what a user of it gets.

Axes: R rows.
"""

from __future__ import annotations

import numpy as np

from trainer.blocks import DataPart
from trainer.trained_model import TrainedModel

_MOST_CERTAIN = 1e-7  # a float32 probability of exactly 0 or 1 has no finite logit


def served_scores(model_dir: str, part: DataPart) -> np.ndarray:
    """(R,) float64 values of a regression, or logits of a binary task, in file order.

    Args:
        model_dir: of the SavedModel.
        part: the rows.
    """
    model = TrainedModel(model_dir)
    is_regression = model.config.label.task == "regression"
    output = "prediction" if is_regression else "probability"
    scores = np.concatenate(
        [model.answer(block.columns)[output].astype(np.float64) for block in part.blocks()]
    )
    if is_regression:
        return scores
    probability = np.clip(scores, _MOST_CERTAIN, 1 - _MOST_CERTAIN)
    return np.log(probability) - np.log1p(-probability)
