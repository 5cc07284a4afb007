"""The sections about columns: profile of the data, importance, partial dependence.

One pass over the held-out rows serves all three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainer.insight.column_shifts import TableProfile
from trainer.insight.data_profile import data_profile, label_powers
from trainer.insight.evidence import Evidence, Sections
from trainer.insight.held_out_rows import read_held_out
from trainer.insight.id_counts import uncounted_ids
from trainer.insight.importance import (
    GRID_POINTS,
    MOST_CELLS,
    TOP_COLUMNS,
    partial_dependence,
    permutation_importance,
    predictor,
)

# Columns that are shuffled, times all columns, which each prediction encodes: 0.3 s at 2,000.
MOST_SHUFFLED, _MOST_ENCODED = 100, 10_000
# Rows that an importance is measured on, however many columns there are.
_LEAST_ROWS = 200


def produce(evidence: Evidence) -> Sections:
    """`data_profile`, `importance`, of what it was measured, and `partial_dependence`."""
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
    answers = predictor(program, datasets.encoder)
    powers = label_powers(config, rows)
    names = [raw.name for raw in config.feature_inputs]
    shuffled = shuffled_columns(names, powers)
    some = rows.spread(max(_LEAST_ROWS, MOST_CELLS // (len(shuffled) * len(rows.columns))))
    importance = permutation_importance(
        some,
        shuffled,
        predictor=answers,
        measure=program.objective.metrics,
        monitor=program.objective.monitor,
        maximize=program.objective.maximize,
        seed=config.training.seed,
    )
    num_top = max(1, min(TOP_COLUMNS, _MOST_ENCODED // (GRID_POINTS * len(rows.columns))))
    top = [item["column"] for item in importance[:num_top]]
    dependence = partial_dependence(rows, top, predictor=answers, objective=program.objective)
    classes = getattr(program.objective.head, "classes", ())
    for found in dependence.values():
        if "class" in found:
            found["class"] = classes[found["class"]]
    return {
        "data_profile": data_profile(config, train, profiles, powers),
        "importance": importance,
        "importance_of": {
            "part": held_out.sampled,
            "rows": len(some.weight),
            "columns": len(importance),
            "all_columns": len(names),
        },
        "partial_dependence": dependence,
    }


def shuffled_columns(names: Sequence[str], powers: Mapping[str, float]) -> list[str]:
    """The columns whose importance is measured: all, or those that tell most of the label alone.

    Args:
        names: raw columns of features.
        powers: see `label_powers`; a column without one comes last.
    """
    most = min(MOST_SHUFFLED, max(10, _MOST_ENCODED // len(names)))
    strongest = sorted(names, key=lambda name: -powers.get(name, 0.0))[:most]
    return [name for name in names if name in set(strongest)]
