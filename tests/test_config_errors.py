import pytest
from pydantic import BaseModel, ValidationError

from trainer.config import Config
from trainer.config_errors import describe_findings

BASE = {"columns": {"a": "numeric"}, "label": {"column": "y", "task": "binary"}}
KINDS = (
    "numeric, vector, bucketized, categorical, identity, boolean, multi_hot, text, "
    "datetime, geo, weight, key, ignore"
)
TRIP = {"kind": "geo", "from_point": ["p", "q"], "to_point": ["r", "s"]}


def _describe(values):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(BASE | values)
    return describe_findings(caught.value, Config)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"trainig": {}}, "trainig: unknown key; did you mean 'training'?"),
        ({"zzz": {}}, "zzz: unknown key"),
        (
            {"training": {"batch_sise": 3}},
            "training.batch_sise: unknown key; did you mean 'batch_size'?",
        ),
        (
            {"columns": {"a": {"kind": "numeric", "scal": "log"}}},
            "columns.a.scal: unknown key; did you mean 'scale'?",
        ),
        (
            {"columns": {"t": TRIP | {"numeric": {"bucket": 3}}}},
            "columns.t.numeric.bucket: unknown key; did you mean 'buckets'?",
        ),
        (
            {"crosses": [{"columns": ["a", "b"], "bin": 3}]},
            "crosses.0.bin: unknown key; did you mean 'bins'?",
        ),
        ({"label": {"column": "y"}}, "label.task is missing"),
        (
            {"columns": {"a": "numerik"}},
            f"columns.a.kind: unknown kind 'numerik'; did you mean 'numeric'?; valid: {KINDS}",
        ),
        ({"columns": {"a": {"scale": "log"}}}, f"columns.a needs kind, one of {KINDS}"),
        ({"columns": {"a": 3}}, "columns.a must be a mapping of options; received 3"),
        ({"columns": ["a"]}, "columns must be a mapping; received ['a']"),
        ({"training": 3}, "training must be a mapping of options; received 3"),
        ({"crosses": 3}, "crosses must be a list; received 3"),
        (
            {"training": {"batch_size": 64.5}},
            "training.batch_size must be a whole number or 'auto'; received 64.5",
        ),
        (
            {"training": {"batch_size": "many"}},
            "training.batch_size must be a whole number or 'auto'; received 'many'",
        ),
        (
            {"training": {"batch_size": 0}},
            "training.batch_size must be at least 1 or 'auto'; received 0",
        ),
        (
            {"training": {"steps": True}},
            "training.steps must be a whole number; received True",
        ),
        (
            {"training": {"seed": [1]}},
            "training.seed must be a whole number; received [1]",
        ),
        (
            {"optimizer": {"wide_learning_rate": "fast"}},
            "optimizer.wide_learning_rate must be a number or 'auto'; received 'fast'",
        ),
        (
            {"optimizer": {"wide_learning_rate": 0}},
            "optimizer.wide_learning_rate must be greater than 0 or 'auto'; received 0",
        ),
        (
            {"optimizer": {"decay_rate": 2}},
            "optimizer.decay_rate must be at most 1; received 2",
        ),
        (
            {"optimizer": {"clip_norm": float("inf")}},
            "optimizer.clip_norm must be a finite number; received inf",
        ),
        (
            {"model": {"dropout": "1.5"}},
            "model.dropout must be less than 1 or 'auto'; received '1.5'",
        ),
        (
            {"training": {"xla": "perhaps"}},
            "training.xla must be true or false or 'auto'; received 'perhaps'",
        ),
        ({"output": {"job_dir": 3}}, "output.job_dir must be a text; received 3"),
        (
            {"model": {"activation": "rleu"}},
            "model.activation must be 'relu', 'leaky_relu', 'randomized_leaky_relu', 'prelu', "
            "'elu', 'gelu', 'relu6', 'selu', 'silu', 'swish', 'softplus', 'tanh' or 'sigmoid'; "
            "received 'rleu'; did you mean 'relu'?",
        ),
        (
            {"columns": {"a": {"kind": "numeric", "buckets": "many"}}},
            "columns.a.buckets must be a whole number or 'auto'; received 'many'",
        ),
        (
            {"columns": {"a": {"kind": "numeric", "clip": ["x", 3]}}},
            "columns.a.clip.0 must be a number; received 'x'",
        ),
        (
            {"columns": {"a": {"kind": "numeric", "towers": ["wide", "depe"]}}},
            "columns.a.towers.1 must be 'wide' or 'deep'; received 'depe'; did you mean 'deep'?",
        ),
        (
            {"columns": {"a": {"kind": "numeric", "clip": [3, 1]}}},
            "columns.a: clip must be [low, high] with low < high; received (3.0, 1.0)",
        ),
        (
            {"columns": {"t": TRIP | {"landmarks": {"JFK": [40.6]}}}},
            "columns.t.landmarks.JFK.1 is missing",
        ),
    ],
)
def test_a_finding_is_a_line_in_the_words_of_the_yaml(values, line):
    assert _describe(values) == line


def test_three_findings_are_shown_and_the_rest_counted():
    optimizer = {f"nothing_like_it_{i}": 1 for i in range(5)}

    line = _describe({"optimizer": optimizer})

    assert line.count("unknown key") == 3
    assert line.endswith("(and 2 more)")


def test_a_kind_of_finding_without_words_of_ours_keeps_those_of_pydantic():
    class Pair(BaseModel):
        delimiter: bytes

    with pytest.raises(ValidationError) as caught:
        Pair.model_validate({"delimiter": 3})

    line = describe_findings(caught.value, Pair)
    assert line == "delimiter: input should be a valid bytes; received 3"
