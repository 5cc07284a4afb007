"""Contender: this project's trainer, a whole run by `model.train_and_evaluate`.

    python scripts/benchmark_peers/ours.py call -- FLAGS OF trainer.task
    python scripts/benchmark_peers/ours.py epoch -- FLAGS OF trainer.task

The first word says what a tick is: a call of the compiled loop, or an evaluation, with which go the
checkpoints.
"""

from __future__ import annotations

import os
import sys

from pacer import Pacer


def main(argv: list[str]) -> int:
    """Train without end."""
    unit, _, *flags = argv
    pacer = Pacer()
    # Also from a checkout, in which the package may not be installed.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    from trainer import cli
    from trainer.quick_imports import quick_imports

    with quick_imports():  # as in trainer.task
        import keras

        from trainer import model

    config = cli.load_config([*flags, "--steps=1000000000", "--baseline=none"], {}).config
    batch_size = config.training.batch_size

    class Ticks(keras.callbacks.Callback):
        """The loop's calls, or its evaluations, as ticks."""

        done = 0

        def tell(self, step: int) -> None:
            """Count what was trained up to `step`."""
            pacer.tick((step - self.done) * batch_size)
            self.done = step

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            """A call ended with this step."""
            if unit == "call":
                self.tell(batch + 1)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            """An evaluation."""
            if unit == "epoch":
                self.tell(int(logs["step"]))

    model.train_and_evaluate(config, callbacks=[Ticks()])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
