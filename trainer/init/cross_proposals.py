"""Pairs of columns that tell more about the target together than each by itself.

Imports column_kinds, column_profile, date_formats, held_out and numpy.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.init.column_kinds import ColumnChoice
from trainer.init.date_formats import find_format
from trainer.init.table_facts import TableFacts
from trainer.insight.column_profile import ColumnProfile
from trainer.insight.held_out import (
    Halves,
    Ints,
    bounded_target,
    cell_gains,
    frequent_cells,
    mean_gain,
    out_of_fold,
    quantile_cells,
    t_bound,
)

# Cells of a number in a cross, by equal row counts: 16 x 16 cells need rows to fill them.
NUMBER_CELLS = 16
MOST_PROPOSALS = 8
# Work: so many rows, and pairs of so many features, those that tell most by themselves.
_MOST_ROWS, _MOST_FEATURES = 50_000, 24


@dataclass(frozen=True)
class CrossProposal:
    """A pair with its evidence.

    Attributes:
        columns: what the cross combines, as the config names it.
        cells: columns to declare for it: {name: options}, cells of numbers.
        bins: room for every combination.
        gain: bits a row about the target beyond the columns alone, on held-out rows.
        share: the gain as a share of what all columns and this cross tell.
        t_value: of the gain, over blocks of neighbouring rows.
    """

    columns: tuple[str, str]
    cells: Mapping[str, Mapping[str, object]]
    bins: int
    gain: float
    share: float
    t_value: float


@dataclass(frozen=True)
class _Feature:
    name: str  # as crosses name it
    source: str  # column that it is made of
    cells: Ints
    options: Mapping[str, object] | None  # of the column of cells that it needs


def propose_crosses(
    profiles: Mapping[str, ColumnProfile],
    choices: Sequence[ColumnChoice],
    powers: Mapping[str, float],
    facts: TableFacts,
) -> list[CrossProposal]:
    """Pairs whose evidence is beyond chance, the most telling first, at most MOST_PROPOSALS.

    On one half of the rows an additive model of all columns is fitted, and the mean residual of
    each combination; the other half says how much the loss falls, and the other way round. Counted
    are gains whose t value over blocks of neighbouring rows passes 1% divided by the pairs tried.

    Args:
        profiles: of all columns, by name, rows as in `facts`.
        choices: kinds of the columns.
        powers: what each column tells alone.
        facts: of the table.
    """
    step = -(-len(facts.target) // _MOST_ROWS)
    target = bounded_target(facts.target[::step], facts.task)
    halves = Halves.of(len(target))
    features = [
        feature
        for choice in choices
        if choice.is_feature
        for feature in _features(choice, profiles[choice.name], facts, step)
    ]
    features.sort(key=lambda feature: -powers.get(feature.source, 0.0))
    features = features[:_MOST_FEATURES]
    pairs = [(a, b) for a, b in itertools.combinations(features, 2) if a.source != b.source]
    if not pairs:
        return []
    base = out_of_fold(target, [f.cells for f in features], halves, facts.task)
    nothing = out_of_fold(target, [], halves, facts.task)
    whole = max(0.0, mean_gain(target, nothing, base, facts.task))
    found = []
    for a, b in pairs:
        width = int(b.cells.max()) + 1
        cells = a.cells * width + b.cells
        gains = cell_gains(target, base, cells, halves, facts.task)
        found.append((float(gains.mean()), halves.t_value(gains), a, b))
    bound = t_bound(len(pairs))
    kept = sorted((f for f in found if f[1] > bound), key=lambda f: (-f[0], f[2].name, f[3].name))
    return [_proposal(*f, whole) for f in kept[:MOST_PROPOSALS]]


def _features(
    choice: ColumnChoice, profile: ColumnProfile, facts: TableFacts, step: int
) -> list[_Feature]:
    """Ids that a cross can take of a column, as the trainer makes them."""
    name, codes = choice.name, profile.codes[::step]
    if choice.kind == "datetime":
        found = find_format(name, profile.tokens, profile.numbers)
        if found is None:
            return []
        days = found.seconds // 86_400
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12
        parts = {
            "month": months,
            "day_of_week": (days + 3) % 7,
            "hour": found.seconds % 86_400 // 3600,
        }
        wanted = [p for p in choice.options["parts"] if p in parts]  # type: ignore[attr-defined]
        return [
            _Feature(f"{name}.{part}", name, np.append(parts[part] + 1, 0)[codes], None)
            for part in wanted
        ]
    if choice.kind == "numeric":
        options = {
            "kind": "bucketized",
            "source": name,
            "quantiles": NUMBER_CELLS,
            "towers": [],
        }
        cells = quantile_cells(profile.values[::step], NUMBER_CELLS)
        return [_Feature(f"{name}_cell", name, cells, options)]
    if choice.kind in ("categorical", "boolean"):
        cells = frequent_cells(codes, profile.counts, facts.least_rows)
        return [_Feature(name, name, cells, None)]
    return []


def _proposal(gain: float, t_value: float, a: _Feature, b: _Feature, whole: float) -> CrossProposal:
    cells = {f.name: f.options for f in (a, b) if f.options is not None}
    combinations = (int(a.cells.max()) + 1) * (int(b.cells.max()) + 1)
    return CrossProposal(
        (a.name, b.name), cells, combinations, gain, gain / (whole + gain), t_value
    )
