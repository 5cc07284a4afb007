import inspect
import json
import math
import subprocess
import sys

import pytest
import tensorflow as tf

from trainer import replay

PAYLOAD = {
    "rows": [{"a b": 1.5, "n": 2, "s": "x"}, {"a b": None, "n": None, "s": ""}],
    "dtypes": {"a b": "float32", "n": "int64", "s": "string"},
    "names": {"a b": "a_b", "n": "n", "s": "s"},
    "missing": {"float32": math.nan, "int64": -1, "string": ""},
}


@pytest.fixture(scope="module")
def echo_dir(tmp_path_factory):
    """A model that answers with its inputs; absent features of examples become 0.5, 7 and '-'."""
    path = str(tmp_path_factory.mktemp("echo"))
    specs = {
        "a_b": tf.TensorSpec([None], tf.float32, name="a_b"),
        "n": tf.TensorSpec([None], tf.int64, name="n"),
        "s": tf.TensorSpec([None], tf.string, name="s"),
    }
    parsed = {
        "a b": tf.io.FixedLenFeature([], tf.float32, 0.5),
        "n": tf.io.FixedLenFeature([], tf.int64, 7),
        "s": tf.io.FixedLenFeature([], tf.string, "-"),
    }

    @tf.function(input_signature=[specs])
    def serving_default(inputs):
        return {name: tf.identity(value) for name, value in inputs.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_examples(examples):
        return tf.io.parse_example(examples, parsed)

    signatures = {"serving_default": serving_default, "serving_examples": serving_examples}
    tf.saved_model.save(tf.Module(), path, signatures=signatures)
    return path


def test_missing_values_are_sent_as_stated_or_left_out_of_examples(echo_dir):
    answers = replay.replay(echo_dir, PAYLOAD)
    number, nan = answers["serving_default"].pop("a_b")
    assert number == 1.5
    assert math.isnan(nan)
    assert answers == {
        "serving_default": {"n": [2, -1], "s": ["x", ""]},
        "serving_examples": {"a b": [1.5, 0.5], "n": [2, 7], "s": ["x", ""]},
    }


def test_no_rows_give_no_answers(echo_dir):
    answers = replay.replay(echo_dir, {**PAYLOAD, "rows": []})
    assert answers["serving_default"] == {"a_b": [], "n": [], "s": []}


def run_source(source: str, folder, **options) -> subprocess.CompletedProcess[str]:
    """Runs it as `parity.FreshProcess` does; the answers go to result.json."""
    return subprocess.run(
        [sys.executable, "-c", source, "result.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_source_runs_alone_and_cannot_reach_the_package(echo_dir, tmp_path):
    finished = run_source(
        inspect.getsource(replay) + "\nimport trainer\n",
        tmp_path,
        input=json.dumps({"export_dir": echo_dir, **PAYLOAD}),
    )
    assert finished.returncode == 1
    assert "import of trainer halted" in finished.stderr.splitlines()[-1]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["serving_default"]["n"] == [2, -1]


def test_without_anything_to_replay_it_just_ends(tmp_path):
    finished = run_source(inspect.getsource(replay), tmp_path, stdin=subprocess.DEVNULL)
    assert finished.returncode == 0, finished.stderr
    assert not (tmp_path / "result.json").exists()
