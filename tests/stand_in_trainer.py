"""A trainer for tests of the tuner: reports a curve instead of training, within milliseconds.

Flags: --curve=3,2,1 the values of steps 1, 2, 3; --x: one value, (x - 0.3)^2; --step_seconds: of
each step; --exit_code and --message: how it ends. As the trainer does, it leaves a checkpoint and
exit code 75 on SIGTERM, and goes on from there at the next start.
"""

import os
import signal
import sys
import time
from pathlib import Path


def main():
    import hypertune

    flags = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
    curve = [float(value) for value in flags.get("curve", "").split(",") if value]
    if "x" in flags:
        curve.append((float(flags["x"]) - 0.3) ** 2)
    checkpoint = Path(os.environ["AIP_CHECKPOINT_DIR"], "step")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    print(f"starting at step {first} with {' '.join(sys.argv[1:])}", flush=True)
    reporter = hypertune.HyperTune()
    for step, value in enumerate(curve, 1):
        if step > first:
            time.sleep(float(flags.get("step_seconds", 0)))
        reporter.report_hyperparameter_tuning_metric("val_rmse", value, global_step=step)
        if stopped:
            checkpoint.write_text(str(step))
            return 75
    Path(os.environ["AIP_MODEL_DIR"]).mkdir(exist_ok=True)
    if "message" in flags:
        print(flags["message"], file=sys.stderr)
    return int(flags.get("exit_code", 0))


if __name__ == "__main__":
    sys.exit(main())
