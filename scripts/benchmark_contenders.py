"""Sections: our trainer and its peers, each a process of its own, measured in turns.

All are started first and stand still, but for a round each in alternating order; what they and the
benchmark say to each other is in benchmark_peers/pacer.py.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from benchmark_measure import Recorder
from benchmark_peers import columns
from benchmark_setting import PEERS, Setting, child_environment

# The trainer permutes windows of so many rows: a round is whole windows.
WINDOW_ROWS = 262_144
# How long a contender may take to its first step, reading and compiling, and for a round.
MOST_SECONDS = 240.0
# How to get what a peer needs; a peer whose process ends before its first step is left out.
PEER_PACKAGES = {
    "plain Keras": "tensorflow-cpu",
    "FeatureSpace": "tensorflow-cpu",
    "row parsing": "tensorflow-cpu",
    "DeepCTR": "deepctr tf_keras",
    "pytorch-widedeep": "pytorch-widedeep",
}


class Contender:
    """A process that trains when asked to; a context, in which it lives."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, warm_up: int = 1, quantum: int = 1
    ):
        """Start it.

        Args:
            name: for messages.
            command: Python and what it runs.
            log: file of what it prints besides its answers.
            warm_up: examples of a round before its clock starts.
            quantum: a round's examples are a multiple of this.
        """
        self.name, self._log, self._warm_up, self._quantum = name, log, warm_up, quantum
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                command,
                env=child_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def __enter__(self) -> Contender:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def wait_until_ready(self) -> None:
        """Return after its first tick.

        Raises:
            RuntimeError: it ended, or took too long; with its last line.
        """
        self._answer()

    def rate(self, seconds: float) -> float:
        """Examples per second of a round of at least so many seconds."""
        asked = {"warm_up": self._warm_up, "seconds": seconds, "quantum": self._quantum}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["examples"] / answer["seconds"]

    def _answer(self) -> dict[str, float]:
        alarm = threading.Timer(MOST_SECONDS, self._process.kill)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            code = self._process.wait()
            said = self._log.read_text(errors="replace").strip().splitlines()
            errors = [line for line in said if "Error: " in line] or said or ["it said nothing"]
            raise RuntimeError(f"{self.name} ended with {code}: {errors[-1][:300]}")
        return json.loads(line)


def ours(unit: str, flags: Sequence[str]) -> list[str]:
    """The command of our trainer with ticks of a `unit`, call or epoch."""
    return [sys.executable, str(PEERS / "ours.py"), unit, "--", *flags]


def measure_csv(setting: Setting, recorder: Recorder) -> None:
    """CSV to trained example, shuffled, batch 1024: ours streaming the files, and the peers."""
    rides = setting.pattern("rides", "csv")
    batch_size = min(1024, setting.sizes.rides // 8)

    def streaming(name: str, batch_size: int) -> dict[str, object]:
        flags = [f"--config={configs[name]}", f"--train={rides}", f"--batch_size={batch_size}"]
        flags += [f"--job_dir={setting.scratch(f'csv-{name}-{batch_size}')}"]
        flags += ["--storage=stream", "--eval_steps=1000000000", "--checkpoint_seconds=0"]
        window = min(WINDOW_ROWS, setting.sizes.rides) // batch_size * batch_size
        return {"command": ours("call", flags), "warm_up": window, "quantum": window}

    def peer(script: str) -> dict[str, object]:
        command = [setting.peer_python, str(PEERS / script), rides, str(batch_size)]
        return {"command": command, "warm_up": 4 * batch_size}

    configs = {
        "course": setting.config_file("csv-course", columns.course_config()),
        "defaults": setting.config_file("csv-defaults", setting.default_config()),
    }
    large = 4 * batch_size
    entries = {
        "ours": streaming("course", batch_size),
        f"ours, batch {large}": streaming("course", large),
        "ours, default features": streaming("defaults", batch_size),
    }
    if setting.has_peers:
        entries |= {
            "plain Keras": peer("plain_keras.py"),
            "FeatureSpace": peer("feature_space.py"),
            "row parsing": peer("row_parsing.py"),
        }
    compete(setting, recorder, "csv", entries)


def measure_memory_peers(setting: Setting, recorder: Recorder) -> None:
    """Epochs over rows in memory, batch 1024, shuffled, validation and a checkpoint each epoch."""
    table = setting.folder / "prepared"
    config = setting.config_file("peers", columns.prepared_config())
    num_rows = setting.sizes.prepared - setting.sizes.prepared // 16
    batch_size = min(1024, num_rows // 4)
    steps = num_rows // batch_size
    flags = [
        f"--config={config}",
        f"--train={table}.parquet",
        f"--validation={table}-validation.parquet",
        f"--job_dir={setting.scratch('memory-ours')}",
        "--storage=memory",
        f"--batch_size={batch_size}",
        f"--eval_steps={steps}",
        f"--checkpoint_steps={steps}",
        "--patience=0",
    ]
    entries: dict[str, dict[str, object]] = {"ours": {"command": ours("epoch", flags)}}
    peers = {"DeepCTR": "deepctr_wdl.py", "pytorch-widedeep": "torch_widedeep.py"}
    for name, script in peers.items() if setting.has_peers else ():
        folder = setting.scratch(f"memory-{name}")
        command = [setting.peer_python, PEERS / script, f"{table}.npz", batch_size, folder]
        entries[name] = {"command": [str(word) for word in command]}
    compete(setting, recorder, "memory peers", entries)


def compete(
    setting: Setting, recorder: Recorder, section: str, entries: dict[str, dict[str, object]]
) -> None:
    """Start all, then measure them in turns; peers that cannot start are left out."""
    with contextlib.ExitStack() as stack:
        contenders = {
            name: stack.enter_context(
                Contender(name, log=setting.folder / f"{section}-{name}.log", **entry)
            )
            for name, entry in entries.items()
        }
        for name, contender in [*contenders.items()]:
            try:
                contender.wait_until_ready()
            except RuntimeError as error:
                if name not in PEER_PACKAGES:
                    raise
                print(f"left out: {error}. pip install {PEER_PACKAGES[name]}", flush=True)
                del contenders[name]
        recorder.alternate(
            "examples/s",
            {
                f"{section}/{name}": lambda c=contender: c.rate(3 * setting.sizes.seconds)
                for name, contender in contenders.items()
            },
        )
