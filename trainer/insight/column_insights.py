"""The sections about columns: profile of the data, importance, partial dependence.

One pass over the held-out rows serves all three.
"""

from __future__ import annotations

from trainer.insight.column_shifts import TableProfile
from trainer.insight.data_profile import data_profile, label_powers
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.held_out_rows import read_held_out
from trainer.insight.id_counts import uncounted_ids
from trainer.insight.importance import (
    TOP_COLUMNS,
    partial_dependence,
    permutation_importance,
    predictor,
)


def produce(evidence: Evidence) -> Sections:
    """`data_profile`, `importance` and `partial_dependence`."""
    config, datasets, program = evidence.config, evidence.datasets, evidence.program
    held_out = read_held_out(datasets, config.training.seed)
    rows = held_out.sample
    profiles = {
        part: TableProfile(found, uncounted_ids(config, datasets.encoder, datasets.stores[part]))
        for part, found in held_out.statistics.items()
    }
    train = TableProfile(
        datasets.statistics, uncounted_ids(config, datasets.encoder, datasets.stores["train"])
    )
    predict = predictor(program, datasets.encoder)
    importance = permutation_importance(
        rows,
        [raw.name for raw in config.feature_inputs],
        predict=predict,
        measure=program.objective.metrics,
        monitor=program.objective.monitor,
        maximize=program.objective.maximize,
        seed=config.training.seed,
    )
    top = [item["column"] for item in importance[:TOP_COLUMNS]]
    return {
        "data_profile": data_profile(config, train, profiles, label_powers(config, rows)),
        "importance": importance,
        "partial_dependence": partial_dependence(
            rows, top, predict=predict, objective=program.objective
        ),
    }
