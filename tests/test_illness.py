"""trainer.insight.illness: what a case knows of itself."""

import inspect
import re

import pytest
import yaml
from sick_histories import case
from tiny_table import make_config

from trainer.config import Config
from trainer.insight import data_illnesses, training_illnesses


def test_a_case_has_its_losses_and_the_held_out_metrics():
    sound = case([3.0, 2.0])
    assert sound.losses == [3.0, 2.0]
    assert sound.held_out["rmse"] == 0.3
    assert case(metrics={}).held_out == {}


def source(module):
    """Its text, strings of several lines in one."""
    return re.sub(r'"\n\s*f?"', "", inspect.getsource(module))


@pytest.mark.parametrize("rules", [data_illnesses, training_illnesses])
def test_advice_names_options_and_values_that_there_are(rules):
    text = source(rules)
    options = re.findall(r"\b(data|model|training|evaluation|optimizer)\.(\w+)", text)
    assert len(options) > 5
    for section, option in options:
        assert option in Config.model_fields[section].annotation.model_fields, option
    setting = r"\b(model|optimizer)\.(\w+) to (\w+)(?: or (\w+)\b(?!\.))?"
    settings = re.findall(setting, text)
    assert len(settings) > 1
    for section, option, *values in settings:
        for value in filter(None, values):
            make_config("binary", **{section: {option: yaml.safe_load(value)}})
