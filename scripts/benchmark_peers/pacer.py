"""What a contender does between its steps: wait for a round, run, and tell how long it took.

The benchmark starts every contender as a process of its own, which trains without end. It calls
`Pacer.tick` after each batch, call or epoch. Between rounds the call does not return, so the
process stands still while another one is measured. Lines of JSON go both ways:

    contender: {"ready": true}                                      after its first tick
    benchmark: {"warm_up": 65536, "seconds": 3.0, "quantum": 1}     begin a round
    contender: {"examples": 1572864, "seconds": 3.21}
    end of the benchmark's lines: the contender ends.

Imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NamedTuple


class Round(NamedTuple):
    """What is asked for.

    warm_up: examples before the clock starts, in which what was read ahead during the wait is used
        up and threads wake.
    seconds: at least so many.
    quantum: the examples that are counted must be a multiple: for who works in windows, whole ones.
    """

    warm_up: int
    seconds: float
    quantum: int


class Pacer:
    """Counts examples and keeps the rounds."""

    def __init__(self) -> None:
        """Take over stdout for the lines; what anyone else prints there goes to stderr."""
        sys.stdout.flush()
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._round: Round | None = None
        self._examples = 0
        self._started = 0.0

    def tick(self, num_examples: int) -> None:
        """Count examples that were just trained on; returns when there are more to train."""
        now = time.perf_counter()
        if self._round is None:
            self._say({"ready": True})
            self._wait()
            return
        self._examples += num_examples
        if not self._started:
            if self._examples >= self._round.warm_up:
                self._started, self._examples = now, 0
            return
        seconds = now - self._started
        if seconds >= self._round.seconds and not self._examples % self._round.quantum:
            self._say({"examples": self._examples, "seconds": seconds})
            self._wait()

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            # At once: nothing of the training is wanted, and threads of a library may hang.
            os._exit(0)
        self._round, self._examples, self._started = Round(**json.loads(line)), 0, 0.0

    def _say(self, answer: dict[str, object]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()
