"""Whether a model can be held at all, before anything of it is allocated.

The system grants more memory than it has and kills a process that uses it, without a word; so an
absurd size must be refused before TensorFlow asks for it. Imports columns, config, features and
errors; must not allocate.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from trainer.encoders import IdFeature
from trainer.errors import UserError
from trainer.features import FeatureLayout
from trainer.model_config import ModelConfig

_BYTES = 4  # of a float32
# At least: for training, and as the optimizer's slot or the best so far.
_COPIES = 2
_MOST_ROWS = 2**31 - 1  # ids are int32
# What a container may use. Source: Linux, "Control Group v2", memory.max.
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_bytes() -> int:
    """Main memory of this machine, or what its container may use of it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdecimal() else memory


def check_size(layout: FeatureLayout, config: ModelConfig, num_outputs: int, memory: int) -> None:
    """Refuse a model whose weights alone do not fit into `memory` bytes.

    Raises:
        UserError: they do not, or the ids of a table are more than int32 can count; with the
            largest part.
    """
    parts = dict(_num_weights(layout, config, num_outputs))
    num_bytes = sum(parts.values()) * _BYTES * _COPIES
    if num_bytes > memory:
        raise UserError(
            f"the model has {sum(parts.values()):.2g} weights, which take {num_bytes / 1e9:.2g} GB "
            f"to train; this machine has {memory / 1e9:.2g} GB. The largest part is "
            f"{max(parts, key=lambda name: parts[name])}: lower its hash_buckets, bins, "
            "embedding_dim or model.hidden_units"
        )
    if config.softmax == "sampled" and config.towers != "deep":
        _check_pairs(layout, num_outputs)
    for tower in ("wide", "deep"):
        of_tower = [f for f in layout.ids if f.wide] if tower == "wide" else _embedded(layout)
        num_rows = sum(f.size for f in of_tower)
        if num_rows > _MOST_ROWS and config.towers in (tower, "both"):
            raise UserError(
                f"the features of the {tower} part have {num_rows} ids, more than {_MOST_ROWS}; "
                "lower their hash_buckets or bins"
            )


def _check_pairs(layout: FeatureLayout, num_classes: int) -> None:
    """Refuse a sampled softmax whose pairs of wide ids and classes int32 cannot count."""
    wide = [f for f in layout.ids if f.wide]
    num_pairs = sum(f.size for f in wide) * num_classes
    if num_pairs > _MOST_ROWS:
        largest = ", ".join(f.name for f in sorted(wide, key=lambda f: -f.size)[:3])
        raise UserError(
            f"the wide part has {num_pairs} pairs of ids and classes, more than {_MOST_ROWS}; take "
            f"the columns of most ids out of it (towers: [deep]): {largest}"
        )


def _num_weights(
    layout: FeatureLayout, config: ModelConfig, num_outputs: int
) -> list[tuple[str, int]]:
    """Weights of each table and layer; small ones are left out."""
    found = []
    if config.towers in ("wide", "both"):
        found += [(f"{f.name} (wide)", f.size * num_outputs) for f in layout.ids if f.wide]
    if config.towers in ("deep", "both"):
        found += [
            (f"the embedding of {f.name}", f.size * f.embedding_dim) for f in _embedded(layout)
        ]
        width = sum(f.embedding_dim for f in layout.ids) + sum(f.deep for f in layout.numbers)
        widths = itertools.pairwise([width, *config.hidden_units])
        # A projection is as large as its layer.
        matrices = 2 if config.residual else 1
        found += [
            (f"hidden layer {i}", a * b * (matrices if a != b else 1))
            for i, (a, b) in enumerate(widths, start=1)
        ]
        cross = 2 * width * config.cross_rank if config.cross_rank else width * width
        found.append(("the cross network (model.cross_rank)", cross * config.cross_layers))
        last = config.hidden_units[-1] + (width if config.cross_layers else 0)
        found.append(("the output layer", last * num_outputs))
    return found


def _embedded(layout: FeatureLayout) -> list[IdFeature]:
    """The features that have embeddings; of those that share one, one."""
    by_embedding = {(f.shared, f.shared or f.name): f for f in layout.ids if f.embedding_dim}
    return list(by_embedding.values())
