"""trainer.optimizer_config: the values that the options allow."""

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
    ],
)
def test_values_that_no_optimizer_has_are_refused(values):
    with pytest.raises(ValidationError):
        OptimizerConfig.model_validate(values)


def test_the_wide_rate_may_be_chosen_by_the_loss():
    assert OptimizerConfig.model_validate({"wide_learning_rate": "auto"}) == OptimizerConfig()
    assert OptimizerConfig.model_validate({"wide_learning_rate": "1e-3"}).wide_learning_rate == 1e-3
