"""trainer.config: rules between fields and sections."""

import re

import pytest
from pydantic import BaseModel, ValidationError

from trainer.config import SECTIONS, Config, describe, parse_config
from trainer.errors import UserError

COLUMNS = {"a": "numeric", "c": "categorical"}
BASE = {"columns": COLUMNS, "label": {"column": "y", "task": "binary"}}


def _message(values):
    with pytest.raises(UserError) as caught:
        parse_config(BASE | values, "run.yaml")
    return str(caught.value)


def test_the_smallest_config_has_the_defaults():
    config = parse_config(BASE, "run.yaml")

    assert config.training.seed == 1
    assert config.model.hidden_units == (128, 128)
    assert config.data.train == ("sample:train",)


def test_what_a_tuning_service_sends_is_taken():
    config = parse_config(
        BASE
        | {
            "training": {"batch_size": 64.0, "steps": "1e3", "xla": "true"},
            "model": {"hidden_units": "128,64", "dropout": "0.2"},
        },
        "run.yaml",
    )

    assert (config.training.batch_size, config.training.steps) == (64, 1000)
    assert config.training.xla is True
    assert config.model.hidden_units == (128, 64)
    assert config.model.dropout == 0.2


def test_a_config_read_back_is_equal():
    config = parse_config(BASE | {"crosses": [{"columns": ["a", "c"]}]}, "run.yaml")

    assert parse_config(config.model_dump(mode="json"), "again") == config


def test_a_written_config_may_have_the_defaults_of_another_version():
    values = BASE | {"model": {"num_sampled": 7}}
    assert "model.num_sampled has an effect with model.softmax sampled only" in _message(values)
    config = parse_config(values, "model/assets.extra/config.yaml", is_written=True)
    assert config.model.num_sampled == 7
    with pytest.raises(UserError, match=r"model\.num_sampled must be"):
        parse_config(BASE | {"model": {"num_sampled": "x"}}, "run.yaml", is_written=True)


def test_sections_are_the_models_of_the_config():
    assert list(SECTIONS) == [
        "data",
        "model",
        "optimizer",
        "training",
        "evaluation",
        "export",
        "tuning",
        "output",
    ]


def test_field_names_are_unique_so_that_flags_need_no_prefix():
    names = [name for section in SECTIONS.values() for name in section.model_fields]

    assert len(set(names)) == len(names)
    assert not set(names) & set(SECTIONS)


def test_every_field_says_what_it_means():
    def undescribed(model: type[BaseModel], where: str) -> list[str]:
        return [f"{where}.{n}" for n, f in model.model_fields.items() if not f.description]

    assert [name for key, model in SECTIONS.items() for name in undescribed(model, key)] == []


def test_defaults_are_valid_values():
    for section in SECTIONS.values():
        assert section.model_validate(section().model_dump()) == section()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"train": ""}}, "data.train names no file"),
        (
            {"data": {"validation": "v.csv", "validation_fraction": 0.1}},
            "give data.validation or data.validation_fraction, not both",
        ),
        (
            {"data": {"test": "t.csv", "test_fraction": 0.1}},
            "give data.test or data.test_fraction, not both",
        ),
        (
            {"data": {"validation_fraction": 0.5, "test_fraction": 0.5}},
            "data.validation_fraction + data.test_fraction must stay below 1",
        ),
        (
            {"data": {"split_column": "a"}},
            "data.split_column needs validation_fraction, test_fraction or folds",
        ),
        (
            {"training": {"epochs": 1, "steps": 5}},
            "training: give one of epochs, steps, num_train_examples, seconds; "
            "received epochs, steps",
        ),
        (
            {"training": {"num_evals": 3, "eval_steps": 5}},
            "training: give num_evals or eval_steps, not both",
        ),
        *(
            (
                {"training": {"profile_steps": steps}},
                "training: profile_steps must be FIRST,LAST with 1 <= FIRST <= LAST, such as "
                f"100,200; received '{steps}'",
            )
            for steps in ("7", "0,5", "9,8", "a,b")
        ),
        (
            {"training": {"num_evals": 3, "seconds": 5}},
            "training: num_evals needs a budget in steps, epochs or examples, not seconds",
        ),
        (
            {"model": {"loss": "mse"}},
            "model.loss 'mse' does not fit label.task 'binary'; it may be auto, log_loss, focal",
        ),
        (
            {"model": {"focal_gamma": 1.5}},
            "model.focal_gamma has an effect with model.loss focal only",
        ),
        (
            {"model": {"huber_delta": 0.5, "loss": "focal"}},
            "model.huber_delta has an effect with model.loss huber only",
        ),
        (
            {"model": {"hidden_units": []}},
            "model.hidden_units is empty; use model.towers: wide for no deep part",
        ),
        (
            {"model": {"hidden_units": [8, 0]}},
            "model.hidden_units must be within 1 and 65536; received [8, 0]",
        ),
        (
            {"optimizer": {"wide_optimizer": "sgd", "wide_l2_shrinkage": 0.1}},
            "optimizer.wide_l2_shrinkage has an effect with wide_optimizer ftrl only",
        ),
    ],
)
def test_rules_of_the_sections(values, message):
    assert _message(values) == f"run.yaml: {message}"


def test_log_loss_is_for_classes():
    label = {"label": {"column": "y", "task": "regression"}, "model": {"loss": "log_loss"}}

    assert _message(label).endswith(
        "model.loss 'log_loss' does not fit label.task 'regression'; it may be auto, mse, mae, "
        "huber, poisson"
    )


@pytest.mark.parametrize(
    "model", [{"class_weights": "auto"}, {"class_weights": {"a": 2}}, {"label_smoothing": 0.1}]
)
def test_options_of_classes_are_none_of_a_regression(model):
    label = {"label": {"column": "y", "task": "regression"}, "model": model}

    assert _message(label).endswith(
        f"model.{next(iter(model))} has an effect on classes only, not on a regression"
    )


def test_the_most_probable_class_needs_no_threshold():
    label = {"column": "y", "task": "multiclass"}

    assert _message({"label": label, "evaluation": {"threshold": 0.3}}).endswith(
        "evaluation.threshold has no effect on multiclass, which takes the most probable class; "
        "leave it out"
    )


def test_counts_are_not_standardized():
    label = {"column": "y", "task": "regression"}

    assert _message(
        {"label": label, "model": {"loss": "poisson", "standardize_target": False}}
    ).endswith("model.standardize_target has no effect with model.loss poisson")


def test_counts_are_learned_as_they_are():
    label = {"column": "y", "task": "regression", "transform": "log1p"}

    assert _message({"label": label, "model": {"loss": "poisson"}}).endswith(
        "model.loss poisson takes the count itself; leave out label.transform"
    )


def test_findings_are_described_with_the_names_of_the_config():
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(BASE | {"trainig": {}})

    assert describe(caught.value) == "trainig: unknown key; did you mean 'training'?"


def test_replayed_predictions_may_differ_more_in_bfloat16():
    base = {"columns": {"a": "numeric"}, "label": {"column": "y", "task": "regression"}}
    tolerances = [
        parse_config({**base, **sections}, "c").parity_tolerance
        for sections in (
            {},
            {"training": {"precision": "bfloat16"}},
            {"training": {"precision": "bfloat16"}, "export": {"parity_tolerance": 1e-3}},
        )
    ]
    assert tolerances == [1e-5, 0.03, 1e-3]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"train": ["a\0b.csv"]}}, r"data.train must be text .*; received 'a\\x00b.csv'$"),
        ({"output": {"job_dir": "\udcff"}}, r"output.job_dir must be text .*; received '\\udcff'$"),
        ({"columns": {"\ud800": "numeric"}}, r"columns must be text of valid Unicode without NUL;"),
        ({"data": {"delimiter": "\0"}}, "data.delimiter must be one ASCII character"),
        ({"data": {"null_values": ["x" * 10**6, "\0"]}}, "data.null_values must be text"),
        ({"model": {"hidden_units": [10**9]}}, "model.hidden_units must be within 1 and 65536;"),
        ({"model": {"hidden_units": [1] * 65}}, "model.hidden_units: .*at most 64 items"),
        ({"model": {"embedding_dim": 10**9}}, "model.embedding_dim must be at most 4096"),
        ({"training": {"batch_size": 10**400}}, "training.batch_size must be at most 10{18} or"),
        ({"training": {"epochs": 1e308}}, "training.epochs must be at most 1000000000.0;"),
        ({"training": {"logical_cpus": 10**9}}, "training.logical_cpus must be at most 1024;"),
        ({"crosses": [{"columns": ["a", "c"], "bins": 10**18}]}, "crosses.0.bins must be at most"),
        (
            {"columns": {"c": {"kind": "categorical", "hash_buckets": 10**15}}},
            "columns.c.hash_buckets must be at most 1073741824; received 10{15}",
        ),
    ],
)
def test_what_no_machine_and_no_file_has_is_refused(values, message):
    assert re.search(message, _message(values))
    assert len(_message(values)) < 250
