"""The section `optimizer` of a config: how each part learns; no TensorFlow.

The rules of `config.py` hold: a field states its meaning, unit and range once, and its name is
unique across sections.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainer.fields import Auto, Float
from trainer.sections import Fraction, NotNegative, Penalty, Rate, Section

OptimizerName = Literal["ftrl", "adam", "adamw", "adagrad", "sgd"]


class OptimizerConfig(Section):
    """How each part learns."""

    wide_optimizer: OptimizerName = Field("ftrl", description="Optimizer of the wide part.")
    wide_learning_rate: Auto | Rate = Field(
        "auto",
        description="Of the wide part. auto: 0.001 for adam and adamw, else 0.05 over the loss's "
        "curvature (2 for mse, 1 for huber and mae, p (1 - p) for log_loss at the mean p).",
    )
    wide_l1: Penalty = Field(0.0, description="L1 penalty of the wide weights (FTRL: proximal).")
    wide_l2: Penalty = Field(0.0, description="L2 penalty of the wide weights (FTRL: proximal).")
    wide_l2_shrinkage: Penalty = Field(0.0, description="FTRL's L2 that acts on the gradient.")
    deep_optimizer: OptimizerName = Field("adamw", description="Optimizer of the deep part.")
    deep_learning_rate: Rate = Field(0.001, description="Of the deep part.")
    deep_l1: Penalty = Field(0.0, description="L1 penalty of the deep matrices.")
    deep_l2: Penalty = Field(0.0, description="L2 penalty of the deep matrices.")
    weight_decay: Penalty = Field(
        0.01, description="Decoupled decay of the deep matrices (adamw only; not embeddings)."
    )
    momentum: Fraction = Field(0.9, description="Of sgd.")
    clip_norm: Penalty = Field(0.0, description="Bound of the global gradient norm; 0: none.")
    schedule: Literal["constant", "cosine", "exponential"] = Field(
        "constant", description="Course of both learning rates after the warm-up."
    )
    warmup_steps: NotNegative = Field(0, description="Steps of linear warm-up from 0.")
    decay_steps: NotNegative = Field(
        0, description="cosine: steps to 0; exponential: steps per decay_rate; 0: the whole run."
    )
    decay_rate: Annotated[Float, Field(gt=0, le=1)] = Field(
        0.1, description="exponential: the factor per decay_steps."
    )
    ema_decay: Fraction = Field(
        0.99,
        description="Exponential moving average of the weights, evaluated and exported, with "
        "warm-up min(ema_decay, (1 + step) / (10 + step)); 0: none. Tables too large for dense "
        "updates are used as they are.",
    )
