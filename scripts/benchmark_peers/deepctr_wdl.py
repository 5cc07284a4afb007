"""Contender: DeepCTR's WDL on arrays in memory, `fit` with validation and checkpoints.

python deepctr_wdl.py TABLE.npz BATCH_SIZE FOLDER
"""

import os
import sys

import columns
import numpy as np
from pacer import Pacer

# DeepCTR is written for Keras 2.
os.environ["TF_USE_LEGACY_KERAS"] = "1"


def main(argv: list[str]) -> int:
    """Train without end."""
    path, batch_size, folder = argv[0], int(argv[1]), argv[2]
    pacer = Pacer()

    import tensorflow as tf
    from deepctr.feature_column import DenseFeat, SparseFeat
    from deepctr.models import WDL

    arrays = dict(np.load(path))
    features = [
        SparseFeat(name, size, embedding_dim=columns.EMBEDDING_DIM)
        for name, size in columns.PREPARED_IDS.items()
    ]
    features += [DenseFeat(name, 1) for name in columns.PREPARED_NUMBERS]
    model = WDL(features, features, dnn_hidden_units=columns.HIDDEN_UNITS, task="regression")
    model.compile("adam", "mse", metrics=["mse"])
    inputs = {f.name: arrays[f.name] for f in features}
    held_out = {name: arrays[f"validation/{name}"] for name in inputs}
    label, held_out_label = (arrays[f"{p}{columns.PREPARED_LABEL}"] for p in ("", "validation/"))

    class Ticks(tf.keras.callbacks.Callback):
        """Epochs as ticks."""

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            """An epoch more."""
            pacer.tick(len(label))

    path = os.path.join(folder, "weights")
    checkpoints = tf.keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    model.fit(
        inputs,
        label,
        batch_size=batch_size,
        epochs=1_000_000_000,
        validation_data=(held_out, held_out_label),
        verbose=0,
        callbacks=[checkpoints, Ticks()],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
