"""The section `optimizer` of a config: how each part learns; no TensorFlow.

The rules of `config.py` hold: a field states its meaning, unit and range once, and its name is
unique across sections.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from trainer.fields import Auto, Float
from trainer.sections import Fraction, NotNegative, Penalty, Rate, Section

OptimizerName = Literal["ftrl", "adam", "adamw", "adagrad", "adadelta", "rmsprop", "sgd"]
# Keras and tf.estimator write Adagrad and RMSProp.
_AnyCase = BeforeValidator(lambda name: name.lower() if isinstance(name, str) else name)

_BOTH = ("wide", "deep")
_ADAMS = ("adam", "adamw")
# The optimizers that read an option, and the parts for which they may be chosen.
_READERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "wide_l2_shrinkage": (("ftrl",), ("wide",)),
    "deep_l2_shrinkage": (("ftrl",), ("deep",)),
    "wide_beta_1": (_ADAMS, ("wide",)),
    "wide_beta_2": (_ADAMS, ("wide",)),
    "deep_beta_1": (_ADAMS, ("deep",)),
    "deep_beta_2": (_ADAMS, ("deep",)),
    "weight_decay": (("adamw",), ("deep",)),
    "momentum": (("sgd",), _BOTH),
    "nesterov": (("sgd",), _BOTH),
    "rho": (("adadelta", "rmsprop"), _BOTH),
    "rmsprop_momentum": (("rmsprop",), _BOTH),
    "epsilon": ((*_ADAMS, "adagrad", "adadelta", "rmsprop"), _BOTH),
}


class OptimizerConfig(Section):
    """How each part learns."""

    wide_optimizer: Annotated[OptimizerName, _AnyCase] = Field(
        "ftrl", description="Optimizer of the wide part."
    )
    wide_learning_rate: Auto | Rate = Field(
        "auto",
        description="Of the wide part. auto: 0.001 for adam, adamw and rmsprop, 1 for adadelta, "
        "else 0.05 over the loss's "
        "curvature (2 for mse, 1 for huber and mae, p (1 - p) for log_loss at the mean p).",
    )
    wide_l1: Penalty = Field(0.0, description="L1 penalty of the wide weights (FTRL: proximal).")
    wide_l2: Penalty = Field(0.0, description="L2 penalty of the wide weights (FTRL: proximal).")
    wide_l2_shrinkage: Penalty = Field(0.0, description="FTRL's L2 that acts on the gradient.")
    deep_optimizer: Annotated[OptimizerName, _AnyCase] = Field(
        "adamw", description="Optimizer of the deep part."
    )
    deep_learning_rate: Rate = Field(
        0.001, description="Of the deep part; adadelta wants some 1, adagrad 0.05."
    )
    deep_l1: Penalty = Field(0.0, description="L1 penalty of the deep matrices.")
    deep_l2: Penalty = Field(0.0, description="L2 penalty of the deep matrices.")
    weight_decay: Penalty = Field(
        0.01, description="Decoupled decay of the deep matrices (adamw only; not embeddings)."
    )
    deep_l2_shrinkage: Penalty = Field(
        0.0, description="FTRL's L2 of the deep matrices that acts on the gradient."
    )
    wide_beta_1: Fraction = Field(
        0.9, description="adam, adamw in the wide part: decay of the mean of gradients."
    )
    wide_beta_2: Fraction = Field(
        0.999, description="adam, adamw in the wide part: decay of the mean of their squares."
    )
    deep_beta_1: Fraction = Field(
        0.9, description="adam, adamw in the deep part: decay of the mean of gradients."
    )
    deep_beta_2: Fraction = Field(
        0.999, description="adam, adamw in the deep part: decay of the mean of their squares."
    )
    momentum: Fraction = Field(0.9, description="Of sgd.")
    nesterov: bool = Field(False, description="sgd: momentum that looks ahead by one step.")
    rho: Auto | Fraction = Field(
        "auto",
        description="adadelta, rmsprop: decay of the mean of squares; auto: 0.95 and 0.9.",
    )
    rmsprop_momentum: Fraction = Field(0.0, description="Of rmsprop.")
    epsilon: Rate = Field(
        1e-7, description="Added to the root of the mean square (adadelta, rmsprop: below it)."
    )
    clip_norm: Penalty = Field(0.0, description="Bound of the global gradient norm; 0: none.")
    clip_value: Penalty = Field(
        0.0, description="Bound of each component of the gradient; 0: none. Not with clip_norm."
    )
    max_norm: Penalty = Field(
        0.0,
        description="Bound of the norm of the weights into each unit of the deep part, kept after "
        "each step; 0: none.",
    )
    schedule: Literal[
        "constant", "linear", "cosine", "exponential", "staircase", "inverse_sqrt"
    ] = Field("constant", description="Course of both learning rates after the warm-up.")
    warmup_steps: NotNegative = Field(0, description="Steps of linear warm-up from 0.")
    decay_steps: NotNegative = Field(
        0,
        description="linear, cosine: steps to 0; exponential, staircase: steps per decay_rate; "
        "inverse_sqrt: the rate is 1 / sqrt(1 + steps / decay_steps); 0: the whole run, or with "
        "inverse_sqrt the warm-up.",
    )
    decay_rate: Annotated[Float, Field(gt=0, le=1)] = Field(
        0.1, description="exponential, staircase: the factor per decay_steps."
    )
    ema_decay: Fraction = Field(
        0.99,
        description="Exponential moving average of the weights, evaluated and exported, with "
        "warm-up min(ema_decay, (1 + step) / (10 + step)); 0: none. Tables too large for dense "
        "updates are used as they are; a weight that FTRL's L1 holds at 0 is 0 in the average.",
    )

    @property
    def follows_the_run(self) -> bool:
        """Whether the course of the rates needs the number of steps of the whole run."""
        return self.schedule in ("linear", "cosine", "exponential") and not self.decay_steps

    def check(self, towers: str) -> None:
        """Refuse options that have no effect, or not the one that they seem to have.

        Args:
            towers: of the model: wide, deep or both.

        Raises:
            ValueError: names the option and the optimizers or schedules that read it.
        """
        used = {
            part: getattr(self, f"{part}_optimizer")
            for part in ("wide", "deep")
            if towers in (part, "both")
        }
        for name, (owners, parts) in _READERS.items():
            is_read = any(used.get(part, owners[0]) in owners for part in parts)
            if not is_read and self._is_changed(name):
                options = " or ".join(f"{part}_optimizer" for part in parts)
                raise ValueError(
                    f"optimizer.{name} has an effect with {options} {' or '.join(owners)} only"
                )
        if self.nesterov and not self.momentum:
            raise ValueError("optimizer.nesterov needs a momentum above 0")
        if self.clip_norm and self.clip_value:
            raise ValueError("give optimizer.clip_norm or clip_value, not both")
        self._check_schedule()

    def _check_schedule(self) -> None:
        if self.schedule == "constant" and self.decay_steps:
            raise ValueError("optimizer.decay_steps has no effect with schedule constant")
        if self.schedule not in ("exponential", "staircase") and self._is_changed("decay_rate"):
            raise ValueError(
                "optimizer.decay_rate has an effect with schedule exponential or staircase only"
            )
        if self.schedule == "staircase" and not self.decay_steps:
            raise ValueError("optimizer.schedule staircase needs decay_steps, the steps of a stair")
        if self.schedule == "inverse_sqrt" and not (self.decay_steps or self.warmup_steps):
            raise ValueError("optimizer.schedule inverse_sqrt needs decay_steps or warmup_steps")

    def _is_changed(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)
