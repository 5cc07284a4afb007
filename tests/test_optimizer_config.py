"""trainer.optimizer_config: the values that the options allow."""

import re

import pytest
from pydantic import ValidationError

from trainer.optimizer_config import OptimizerConfig


@pytest.mark.parametrize(
    "values",
    [
        {"wide_optimizer": "adamax"},
        {"deep_learning_rate": 0.0},
        {"wide_l1": -1.0},
        {"momentum": 1.0},
        {"decay_rate": 1.5},
        {"ema_decay": 1.0},
        {"wide_beta_1": 1.0},
        {"rho": "high"},
        {"epsilon": 0.0},
        {"clip_value": -1.0},
        {"schedule": "step"},
    ],
)
def test_values_that_no_optimizer_has_are_refused(values):
    with pytest.raises(ValidationError):
        OptimizerConfig.model_validate(values)


def test_the_wide_rate_may_be_chosen_by_the_loss():
    assert OptimizerConfig.model_validate({"wide_learning_rate": "auto"}) == OptimizerConfig()
    assert OptimizerConfig.model_validate({"wide_learning_rate": "1e-3"}).wide_learning_rate == 1e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"wide_optimizer": "adam", "wide_l2_shrinkage": 0.1}, "wide_optimizer ftrl only"),
        ({"deep_l2_shrinkage": 0.1}, "deep_l2_shrinkage has an effect with deep_optimizer ftrl"),
        ({"wide_beta_1": 0.5}, "wide_beta_1 has an effect with wide_optimizer adam or adamw only"),
        ({"deep_optimizer": "sgd", "deep_beta_2": 0.5}, "with deep_optimizer adam or adamw only"),
        ({"deep_optimizer": "adam", "weight_decay": 0.5}, "with deep_optimizer adamw only"),
        ({"momentum": 0.5}, "with wide_optimizer or deep_optimizer sgd only"),
        ({"nesterov": True}, "nesterov has an effect with wide_optimizer or deep_optimizer sgd"),
        ({"rho": 0.5}, "with wide_optimizer or deep_optimizer adadelta or rmsprop only"),
        ({"rmsprop_momentum": 0.5}, "rmsprop_momentum has an effect with"),
        ({"deep_optimizer": "sgd", "epsilon": 1e-3}, "epsilon has an effect with"),
        ({"deep_optimizer": "sgd", "momentum": 0, "nesterov": True}, "needs a momentum above 0"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "clip_norm or clip_value, not both"),
        ({"decay_steps": 5}, "decay_steps has no effect with schedule constant"),
        ({"schedule": "linear", "decay_rate": 0.5}, "schedule exponential or staircase only"),
        ({"schedule": "staircase"}, "staircase needs decay_steps"),
        ({"schedule": "inverse_sqrt"}, "inverse_sqrt needs decay_steps or warmup_steps"),
    ],
)
def test_options_without_effect_are_refused(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        OptimizerConfig(**values).check("both")


@pytest.mark.parametrize(
    ("values", "towers"),
    [
        ({}, "both"),
        ({"wide_beta_1": 0.5}, "deep"),
        ({"deep_optimizer": "rmsprop", "rho": 0.8, "rmsprop_momentum": 0.5}, "both"),
        ({"wide_optimizer": "sgd", "momentum": 0.5, "nesterov": True}, "both"),
        ({"schedule": "inverse_sqrt", "warmup_steps": 5}, "both"),
        ({"schedule": "staircase", "decay_steps": 5, "decay_rate": 0.5}, "both"),
        # A study over the towers: what belongs to an absent part is left alone.
        ({"deep_optimizer": "sgd", "weight_decay": 0.5, "momentum": 0.5}, "wide"),
    ],
)
def test_options_that_act_are_allowed(values, towers):
    OptimizerConfig(**values).check(towers)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"schedule": "linear"}, True),
        ({"schedule": "linear", "decay_steps": 9}, False),
        ({"schedule": "inverse_sqrt", "warmup_steps": 9}, False),
    ],
)
def test_courses_over_the_whole_run_are_known(values, expected):
    assert OptimizerConfig(**values).follows_the_run is expected
