"""Trials for tests of the tuner: computed at once, or the process of stand_in_trainer.py."""

import json
import sys
from pathlib import Path

from trainer.jobs import trial_run

PROGRAM = [sys.executable, str(Path(__file__).with_name("stand_in_trainer.py"))]


class Ended:
    """A process that has ended."""

    def __init__(self, exit_code=0):
        self.exit_code = exit_code

    def poll(self):
        return self.exit_code

    def terminate(self):
        pass

    kill = terminate


def flags_of(request):
    return dict(argument.removeprefix("--").split("=", 1) for argument in request.arguments)


def computed(objective, metric="val_rmse"):
    """A launcher whose trials report `objective(flags)`, a value or a list of them, and end."""

    def launch(request):
        values = objective(flags_of(request))
        lines = [
            json.dumps({"global_step": str(step), "timestamp": 2e9 + step, metric: str(value)})
            for step, value in enumerate(values if isinstance(values, list) else [values], 1)
        ]
        request.metric_file.write_text("\n".join(lines) + "\n")
        return Ended()

    return launch


def launch_stand_in(request):
    """Start stand_in_trainer.py as the trainer is started."""
    return trial_run.launch(request, PROGRAM)
