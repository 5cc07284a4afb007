"""What the sections of a run's report are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trainer.config import Config
from trainer.data_files import Part
from trainer.datasets import Datasets
from trainer.evaluation import Predictions
from trainer.loop import RunState
from trainer.program import Program
from trainer.run_folder import RunFolder

Sections = dict[str, Any]


class Evidence(NamedTuple):
    """A trained model, its data, and what evaluation found; for the chief alone.

    The other processes of a cluster have gone on: nothing here may be a collective call, as
    `evaluation.predict` is. `program.model(ids, numbers)` gives the logits (B, O) of encoded rows.

    Attributes:
        config: resolved.
        datasets: parts (readers of raw blocks), statistics, encoder, stores of encoded rows.
        program: holds the weights that are exported.
        state: after training; `history` has one record for each evaluation.
        predictions: of validation and test, in file order, which is that of
            `datasets.parts[name].blocks()` and of `datasets.stores[name].in_order()`; of a large
            set of many outputs only the first rows, see `evaluation.MOST_KEPT_LOGITS`.
        folder: of the run.
        report: report.json so far: metrics, baselines, rows, versions, seconds, and by their keys
            the sections that earlier producers gave.
    """

    config: Config
    datasets: Datasets
    program: Program
    state: RunState
    predictions: Mapping[Part, Predictions]
    folder: RunFolder
    report: Mapping[str, Any]
