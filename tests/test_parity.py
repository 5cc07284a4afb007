import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trainer import parity
from trainer.answers import MOST_PROBABILITIES, Served
from trainer.errors import TrainingFailed
from trainer.label import Label
from trainer.parity import Expected, FreshProcess, check_answers
from trainer.serving import ServingInputs

pytestmark = pytest.mark.usefixtures("cold_proof")

INPUTS = ServingInputs({"size": "float32", "id": "string"}, {"size": "size", "id": "id"}, "id")
ROWS = [{"size": 1.0, "id": "a"}, {"size": 2.0, "id": "b"}]
REGRESSION = Served(INPUTS, Label(column="y", task="regression"), (0.5,))
BINARY = Served(INPUTS, Label(column="y", task="binary"), (0.5,))


def answers(**outputs):
    return {"serving_default": {"key": ["a", "b"], **outputs}}


def check(found, expected, served=REGRESSION, tolerance=1e-5):
    return check_answers(
        found, ROWS, Expected(np.array(expected)), served=served, tolerance=tolerance
    )


def test_difference_is_relative_above_1_and_absolute_below():
    assert check(answers(prediction=[1000.005, 0.0]), [1000.0, 0.0]) == pytest.approx(5e-6)
    assert check(answers(prediction=[0.500004, 0.0]), [0.5, 0.0]) == pytest.approx(4e-6)


def test_largest_difference_over_the_signatures_is_given():
    found = answers(prediction=[0.0, 1e-6])
    found["serving_examples"] = {"key": ["a", "b"], "prediction": [3e-6, 0.0]}
    assert check(found, [0.0, 0.0]) == pytest.approx(3e-6)


def test_answers_past_the_rows_are_not_looked_at():
    found = {"serving_default": {"key": ["a", "b", "z"], "prediction": [0.0, 0.0, 9.0]}}
    assert check(found, [0.0, 0.0]) == 0


@pytest.mark.parametrize("bad", [0.00002, np.nan, np.inf])
def test_difference_above_the_tolerance_names_row_and_option(bad):
    message = r"sample row 1 gives .* by serving_default .*export\.parity_tolerance \(1e-05\)"
    with pytest.raises(TrainingFailed, match=message):
        check(answers(prediction=[0.0, bad]), [0.0, 0.0])


def test_expected_that_is_not_a_number_fails():
    with pytest.raises(TrainingFailed, match="sample row 0 gives 0 by serving_default and nan"):
        check(answers(prediction=[0.0, 0.0]), [np.nan, 0.0])


def test_swapped_classes_fail():
    found = answers(**{"probability": [0.9, 0.1], "class": [0, 1]})
    with pytest.raises(TrainingFailed, match=r"'class' is wrong .*\[0, 1\] for \[1, 0\]"):
        check(found, [0.9, 0.1], served=BINARY)


CLASSES = ("cat", "dog", "eel")
MULTICLASS = Served(INPUTS, Label(column="y", task="multiclass"), (0.5,), CLASSES)
PROBABILITIES = [[0.2, 0.7, 0.1], [0.5, 0.2, 0.3]]


def of_classes(**outputs):
    right = {"probabilities": PROBABILITIES, "probability": [0.7, 0.5], "class": ["dog", "cat"]}
    return answers(**(right | outputs))


def test_probabilities_of_all_classes_are_compared():
    found = [[0.2, 0.7, 0.1], [0.5, 0.2, 0.300004]]
    assert check(of_classes(probabilities=found), PROBABILITIES, MULTICLASS) == pytest.approx(4e-6)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"probabilities": [[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]}, "sample row 1 gives 0.[32] by"),
        ({"class": ["dog", "eel"]}, r"'class' is wrong .*'eel'\] for \['dog', 'cat'\]"),
        ({"probability": [0.7, 0.3]}, "'probability' is wrong"),
    ],
)
def test_other_answers_of_classes_fail(outputs, message):
    with pytest.raises(TrainingFailed, match=message):
        check(of_classes(**outputs), PROBABILITIES, MULTICLASS)


@pytest.mark.parametrize(
    ("swap", "message"),
    [(None, None), ((0, 1), "'top_classes' are"), ((1, 2), "'top_classes' are")],
)
def test_the_most_probable_of_many_classes_are_compared_by_name(swap, message):
    classes = tuple(f"c{k}" for k in range(MOST_PROBABILITIES + 1))
    served = Served(INPUTS, Label(column="y", task="multiclass"), (0.5,), classes)
    scores = np.zeros((2, len(classes)))
    scores[:, 5:15] = np.arange(1, 11) / 55
    names = [f"c{k}" for k in range(14, 4, -1)]
    top = (np.arange(10, 0, -1) / 55).tolist()
    if swap:
        names[swap[0]], names[swap[1]] = names[swap[1]], names[swap[0]]
    found = {
        "top_classes": [names, names],
        "top_probabilities": [top, top],
        "probability": [top[0]] * 2,
        "class": ["c14"] * 2,
    }
    if message is None:
        assert check(answers(**found), scores, served) == 0
        return
    with pytest.raises(TrainingFailed, match=message):
        check(answers(**found), scores, served)


def test_swapped_decisions_of_labels_fail():
    served = Served(INPUTS, Label(columns=("a", "b"), task="multilabel"), (0.5,), ("a", "b"))
    scores = [[0.9, 0.1], [0.4, 0.6]]
    right = {"probabilities": scores, "is_positive": [[True, False], [False, True]]}
    assert check(answers(**right), scores, served) == 0
    wrong = right | {"is_positive": [[True, False], [True, False]]}
    with pytest.raises(TrainingFailed, match="'is_positive' is wrong"):
        check(answers(**wrong), scores, served)


def test_keys_in_another_order_fail():
    found = {"serving_default": {"key": ["b", "a"], "prediction": [0.0, 0.0]}}
    with pytest.raises(TrainingFailed, match=r"'key' is wrong .*\['b', 'a'\] for \['a', 'b'\]"):
        check(found, [0.0, 0.0])


def test_process_that_fails_gives_its_last_line(tmp_path):
    message = r"fresh process \(exit code 1\): OSError: .*model"
    with pytest.raises(TrainingFailed, match=message), FreshProcess(str(tmp_path)) as process:
        process.replay_rows(str(tmp_path / "model"), ROWS, INPUTS)


def test_process_that_does_not_end_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "REPLAY_TIMEOUT_SECONDS", 0.01)
    message = "gave no answer in 0.01 s; nothing is exported"
    with pytest.raises(TrainingFailed, match=message), FreshProcess(str(tmp_path)) as process:
        process.replay_rows(str(tmp_path / "model"), ROWS, INPUTS)


def test_interruption_ends_the_process(tmp_path):
    with pytest.raises(KeyboardInterrupt), FreshProcess(str(tmp_path)) as process:
        pid = process.pid
        os.kill(pid, 0)  # it is there
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_process_ends_without_a_file_when_its_parent_is_killed(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from trainer.parity import FreshProcess\n"
        "print(FreshProcess(sys.argv[1]).pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout)
    deadline = time.monotonic() + 60  # it imports TensorFlow first
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that has ended has no command line, nor a waited one."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text() != ""
    except OSError:
        return False


CALIBRATED = BINARY._replace(is_calibrated=True)


def check_calibrated(raw, probability, slack=None):
    found = answers(probability=probability, raw_probability=raw, **{"class": [0, 1]})
    expected = Expected(np.array([0.25, 0.75]), np.array([0.125, 0.875]), slack)
    return check_answers(found, ROWS, expected, served=CALIBRATED, tolerance=1e-5)


def test_raw_scores_of_a_calibrated_model_are_compared_too():
    assert check_calibrated([0.125, 0.875004], [0.25, 0.75]) == pytest.approx(4e-6)
    with pytest.raises(TrainingFailed, match=r"sample row 1 gives 0\.9 by .* and 0\.875"):
        check_calibrated([0.125, 0.9], [0.25, 0.75])
    with pytest.raises(TrainingFailed, match=r"sample row 0 gives 0\.26 by"):
        check_calibrated([0.125, 0.875], [0.26, 0.75])


def test_steps_of_a_calibration_have_slack():
    slack = np.array([0.02, 0.0])
    assert check_calibrated([0.125, 0.875], [0.26, 0.75], slack) == 0.0
    with pytest.raises(TrainingFailed, match=r"sample row 0 gives 0\.3 by"):
        check_calibrated([0.125, 0.875], [0.3, 0.75], slack)
