"""How training went, from the history: layers, norms, throughput, and how long it waited for rows.

Imports nothing of TensorFlow by itself: all was measured while training, see `layer_probe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.insight.evidence import Evidence, Sections

# What is measured of a layer, by the prefix of its key in a record.
MEASURES = ("dead", "zeros", "gradient_norm", "weight_norm")

Record = dict[str, Any]


def produce(evidence: Evidence) -> Sections:
    """`health`, see `health_of`."""
    history = evidence.state.history
    return {"health": health_of(history)} if history else {}


def health_of(history: Sequence[Record]) -> dict[str, Any]:
    """The section of the report.

    steps: of the evaluations that looked at the layers.
    layers: by layer its name and, at those steps, its dead, zeros, gradient_norm and weight_norm;
        what a layer does not have is left out.
    seconds: of training, and of these waiting for rows.
    input_bound: share of the seconds of training in which it waited for rows, from 0 to 1.
    examples_per_second: of training, evaluations aside.
    note: what could not be measured; left out where nothing.

    Time is counted from the first evaluation on, as the first call compiles; where there is one
    evaluation only, from the start.

    Args:
        history: the records of the evaluations; at least one.
    """
    probed = [record for record in history if any("/" in name for name in record)]
    names = dict.fromkeys(
        key.partition("/")[2] for record in probed for key in record if "/" in key
    )
    layers = []
    for name in names:
        layer: dict[str, Any] = {"name": name}
        for measure in MEASURES:
            values = [record.get(f"{measure}/{name}") for record in probed]
            if any(value is not None for value in values):
                layer[measure] = values
        layers.append(layer)
    last = history[-1]
    first = history[0] if len(history) > 1 else dict.fromkeys(last, 0)
    training, waiting, examples = (
        last.get(key, 0) - first.get(key, 0) for key in ("seconds", "waiting_seconds", "examples")
    )
    health: dict[str, Any] = {
        "steps": [record["step"] for record in probed],
        "layers": layers,
        "seconds": {"training": last["seconds"], "waiting": last.get("waiting_seconds", 0.0)},
        "input_bound": waiting / training if training > 0 else 0.0,
        "examples_per_second": examples / training if training > 0 else 0.0,
    }
    if layers and not any("gradient_norm" in layer for layer in layers):
        health["note"] = (
            "under parameter servers norms of gradients and weights are not measured: they would "
            "fetch whole tables"
        )
    return health
