"""Whether an exported model answers as training does, asked in a fresh process.

Knows models by their folder and their answers only; imports no TensorFlow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from trainer import storage
from trainer.answers import Served
from trainer.errors import TrainingFailed
from trainer.serving import MISSING, Row, ServingInputs

# Importing TensorFlow and loading takes seconds; a table of many GB from a slow disk, minutes.
REPLAY_TIMEOUT_SECONDS = 1800

# Values of each row by signature and output.
Answers = dict[str, dict[str, list[Any]]]


class Expected(NamedTuple):
    """What training has for the sample rows, (B,) or (B, K) each.

    scores: calibrated, where the model is. raw_scores: without the calibration; None where there is
    none. slack: how far scores may move where logits move by the tolerance, of a calibration whose
    steps make much of little; None: not at all.
    """

    scores: np.ndarray
    raw_scores: np.ndarray | None = None
    slack: np.ndarray | None = None


def interpreter() -> list[str]:
    """The command that is Python; tests take one that starts sooner."""
    return [sys.executable]


class FreshProcess:
    """A process with TensorFlow and without this package, for a `with`; it ends with it.

    It imports TensorFlow, 2 s, while its model is still being written, and waits for `replay_rows`.
    It is gone when the `with` is left, however that is, and after at most this import when this
    process is killed.
    """

    def __init__(self, work_dir: str) -> None:
        """Start it in a folder of its own, which must stay until it has ended."""
        self._result_path = os.path.join(work_dir, "result.json")
        # The text and not the file: run as a file, its folder would come first on the module path,
        # and our statistics.py would stand in for the standard library's.
        text = resources.files("trainer").joinpath("replay.py").read_text()
        self._process = subprocess.Popen(
            [*interpreter(), "-c", text, self._result_path],
            cwd=work_dir,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def replay_rows(self, export_dir: str, rows: Sequence[Row], inputs: ServingInputs) -> Answers:
        """Its answers to the rows, in their order, by signature and output. Only once.

        Raises:
            TrainingFailed: it fails or does not end; the message has its last line.
        """
        payload = {
            "export_dir": export_dir,
            "rows": rows,
            "missing": MISSING,
            **inputs._asdict(),
        }
        try:
            _, messages = self._process.communicate(
                json.dumps(payload).encode(), REPLAY_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise TrainingFailed(
                f"the exported model gave no answer in {error.timeout:g} s; nothing is exported"
            ) from error
        if self._process.returncode != 0:
            lines = messages.decode(errors="replace").split("\n")
            reason = next((line for line in reversed(lines) if line.strip()), "no message")
            raise TrainingFailed(
                f"the exported model fails in a fresh process (exit code "
                f"{self._process.returncode}): {reason.strip()}; nothing is exported"
            )
        answers: Answers = json.loads(storage.read_text(self._result_path))
        return answers


def check_answers(
    answers: Answers,
    rows: Sequence[Row],
    expected: Expected,
    *,
    served: Served,
    tolerance: float,
) -> float:
    """The largest |answer - expected| / max(1, |expected|) over rows and signatures.

    Answers past the last of `rows` are not looked at. Of a calibrated model the raw scores are
    compared too.

    Raises:
        TrainingFailed: it exceeds `tolerance` or is not finite, or a class or key is wrong.
    """
    largest = 0.0
    for signature, outputs in answers.items():
        found = np.asarray(outputs[served.score][: len(rows)], np.float64)
        slack = served.numbers(expected.slack) if expected.slack is not None else 0.0
        wanted_numbers = served.numbers(expected.scores)
        difference = _check_numbers(found, wanted_numbers, slack, signature, tolerance)
        if expected.raw_scores is not None:
            raw = np.asarray(outputs[served.raw_score][: len(rows)], np.float64)
            wanted_numbers = served.raw_numbers(expected.raw_scores, expected.scores)
            raw_difference = _check_numbers(raw, wanted_numbers, 0.0, signature, tolerance)
            difference = max(difference, raw_difference)
        wanted: dict[str, list[Any]] = served.decisions(found)
        if served.has_top:
            names = outputs["top_classes"][: len(rows)]
            wanted["class"] = [row[0] for row in names]
            _check_top(names, found, expected.scores, served=served, tolerance=tolerance)
        if served.inputs.key is not None:
            wanted["key"] = [row[served.inputs.key] for row in rows]
        for name, values in wanted.items():
            if outputs[name][: len(rows)] != values:
                raise TrainingFailed(
                    f"the exported model's {name!r} is wrong by {signature}: "
                    f"{outputs[name][:3]} for {values[:3]}; nothing is exported"
                )
        largest = max(largest, difference)
    return largest


def _check_numbers(
    found: np.ndarray,
    wanted: np.ndarray,
    slack: np.ndarray | float,
    signature: str,
    tolerance: float,
) -> float:
    """The largest relative difference beyond the slack.

    Raises:
        TrainingFailed: it exceeds `tolerance` or is not finite.
    """
    beyond = np.maximum(np.abs(found - wanted) - slack, 0.0)
    difference = beyond / np.maximum(1.0, np.abs(wanted))
    worst = np.unravel_index(
        np.argmax(np.where(np.isnan(difference), np.inf, difference)), difference.shape
    )
    if not difference[worst] <= tolerance:
        raise TrainingFailed(
            f"the exported model differs from training: sample row {worst[0]} gives "
            f"{found[worst]:.8g} by {signature} and {wanted[worst]:.8g} in training, "
            f"relative difference {difference[worst]:.2g}; nothing is exported. If that is "
            f"rounding and not a defect, raise export.parity_tolerance ({tolerance:g})"
        )
    return float(difference[worst])


def _check_top(
    names: Sequence[Sequence[str]],
    found: np.ndarray,
    expected: np.ndarray,
    *,
    served: Served,
    tolerance: float,
) -> None:
    """The classes named beside the top probabilities have these in training."""
    places = {name: k for k, name in enumerate(served.classes)}
    in_training = [[row[places[n]] for n in top] for row, top in zip(expected, names, strict=True)]
    if not np.all(np.abs(np.array(in_training) - found) <= tolerance):
        raise TrainingFailed(
            f"the exported model's 'top_classes' are wrong: {names[:1]}; nothing is exported"
        )
