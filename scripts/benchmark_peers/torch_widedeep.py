"""Contender: pytorch-widedeep on arrays in memory, `Trainer.fit` with validation and checkpoints.

python torch_widedeep.py TABLE.npz BATCH_SIZE FOLDER
"""

import os
import sys

import columns
import numpy as np
from pacer import Pacer

EPOCHS = 100_000


def allow_torchvision() -> None:
    """Let torchvision's build for CUDA be imported beside a torch for the CPU.

    It ends on the names of two of its operators, which nothing here uses.
    """
    import torch

    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        allow_torchvision.kept = library


def arrays_of(table: dict[str, np.ndarray], prefix: str = "") -> dict[str, np.ndarray]:
    """What the trainer takes: ids of the wide part in one id space, ids and numbers of the deep."""
    ids = np.stack([table[prefix + name] for name in columns.PREPARED_IDS], axis=1)
    sizes = list(columns.PREPARED_IDS.values())
    offsets = np.concatenate([[0], np.cumsum(sizes[:-1])]) + 1  # 0 is padding
    numbers = np.stack([table[prefix + name] for name in columns.PREPARED_NUMBERS], axis=1)
    return {
        "X_wide": ids + offsets,
        "X_tab": np.concatenate([ids + 1, numbers], axis=1).astype(np.float32),
        "target": table[prefix + columns.PREPARED_LABEL],
    }


def make_model() -> object:
    """Wide part and MLP over the prepared columns."""
    from pytorch_widedeep.models import TabMlp, Wide, WideDeep

    names = [*columns.PREPARED_IDS, *columns.PREPARED_NUMBERS]
    deep = TabMlp(
        {name: i for i, name in enumerate(names)},
        cat_embed_input=[(n, s, columns.EMBEDDING_DIM) for n, s in columns.PREPARED_IDS.items()],
        continuous_cols=list(columns.PREPARED_NUMBERS),
        mlp_hidden_dims=list(columns.HIDDEN_UNITS),
        mlp_dropout=0.0,
    )
    return WideDeep(wide=Wide(sum(columns.PREPARED_IDS.values())), deeptabular=deep)


def main(argv: list[str]) -> int:
    """Train without end."""
    path, batch_size, folder = argv[0], int(argv[1]), argv[2]
    pacer = Pacer()
    allow_torchvision()

    from pytorch_widedeep import Trainer
    from pytorch_widedeep.callbacks import Callback, ModelCheckpoint
    from pytorch_widedeep.metrics import R2Score

    table = dict(np.load(path))
    train = arrays_of(table)

    class Ticks(Callback):
        """Epochs as ticks."""

        def on_epoch_end(
            self, epoch: int, logs: dict[str, float] | None = None, metric: float | None = None
        ) -> None:
            """An epoch more."""
            pacer.tick(len(train["target"]))

    # Workers of the loader only slow it down here: 76,000 examples a second with its default of
    # two at best, 81,000 without (November 2026).
    trainer = Trainer(
        make_model(),
        objective="regression",
        metrics=[R2Score()],
        callbacks=[ModelCheckpoint(os.path.join(folder, "weights"), max_save=1), Ticks()],
        verbose=0,
        num_workers=0,
    )
    trainer.fit(
        X_train=train,
        X_val=arrays_of(table, "validation/"),
        n_epochs=EPOCHS,
        batch_size=batch_size,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
