import re

import pytest

from trainer import __version__
from trainer.config import SECTIONS
from trainer.errors import UserError
from trainer.flags import FLAGS, information, parse_flags
from trainer.sections import Key


def test_field_names_are_unique_so_that_a_flag_needs_no_prefix():
    names = [name for model in SECTIONS.values() for name in model.model_fields]
    assert sorted(names) == sorted(FLAGS)
    assert not {"config", "print_config", "version", "help"} & set(names)


def test_value_stands_behind_an_equals_sign_or_next():
    flags = parse_flags(
        ["--batch_size=64", "--epochs", "3", "--config", "a.yaml", "--momentum", "-1"]
    )
    assert flags.layer == {
        Key("training", "batch_size"): "64",
        Key("training", "epochs"): "3",
        Key("optimizer", "momentum"): "-1",
    }
    assert (flags.config_path, flags.print_config) == ("a.yaml", False)


def test_value_keeps_further_equals_signs_and_spaces():
    flags = parse_flags(["--train=gs://b/year=2015/a b*.csv", "--scratch_dir", "/a=b c"])
    assert flags.layer[Key("data", "train")] == "gs://b/year=2015/a b*.csv"
    assert flags.layer[Key("data", "scratch_dir")] == "/a=b c"


def test_last_occurrence_wins():
    flags = parse_flags(["--seed=1", "--config=a", "--seed", "2", "--config=b", "--seed=3"])
    assert flags.layer == {Key("training", "seed"): "3"}
    assert flags.config_path == "b"


def test_empty_value_unsets_where_that_has_a_meaning():
    flags = parse_flags(["--steps=", "--job_dir", "", "--validation=", "--null_values="])
    assert flags.layer == {
        Key("training", "steps"): None,
        Key("output", "job_dir"): None,
        Key("data", "validation"): "",
        Key("data", "null_values"): "",
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--batchsize=3"], r"^--batchsize: unknown flag; did you mean '--batch_size'\?; --help"),
        (["--batch-size", "3"], r"^--batch-size: unknown flag; did you mean '--batch_size'\?"),
        (["-seed=3"], r"^-seed: unknown flag; did you mean '--seed'\?"),
        (["--training.seed=3"], r"^--training\.seed: unknown flag"),
        (["--columns=a"], r"^--columns: unknown flag"),
        (["--qqqqqqqq"], r"^--qqqqqqqq: unknown flag; --help lists all flags$"),
        (["--seed"], r"^--seed needs a value; write --seed=VALUE$"),
        (["--seed", "--epochs=3"], r"^--seed needs a value"),
        (["--config"], r"^--config needs a value"),
        (["--config="], r"^--config needs a value; write --config=PATH$"),
        (
            ["--print_config=true"],
            r"^--print_config takes no value; received '--print_config=true'$",
        ),
        (["train.csv"], r"^unexpected argument 'train\.csv'; every setting is a flag"),
        (["--hidden_units", "64", "32"], r"^unexpected argument '32'; .* needs quotes$"),
        (["seed=3"], r"^unexpected argument 'seed=3'"),
        (["--"], r"^unexpected argument '--'"),
        ([""], r"^unexpected argument ''"),
    ],
)
def test_wrong_argument_is_named(argv, message):
    with pytest.raises(UserError, match=message):
        parse_flags(argv)


def test_help_lists_every_flag_once_with_its_default_under_its_section():
    text = information(["--batch_size=3", "--help"])
    shown = re.findall(r"^  --(\w+) ", text, re.MULTILINE)
    assert shown == ["config", "compat", "print_config", "version", "help", *FLAGS]
    flat = " ".join(text.split())
    widths = "Widths of the deep layers, e.g. 128,64; up to 64 of up to 65,536. Default: 128,128."
    assert widths in flat
    assert "learn (label - mean) / standard deviation. One of true, false. Default: true." in flat
    assert "Budget in steps. Default: not given." in flat
    assert "Parts of the model. One of wide, deep, both. Default: both." in flat
    assert re.search(r"^training: The budget", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 100


def test_information_is_none_without_help_or_version():
    assert information(["--batch_size=3"]) is None
    assert information(["-h"]) == information(["--help"])
    assert information(["--version"]) == f"wide-and-deep-trainer {__version__}"
