"""Which id features stand in which table, and where: the only place that knows.

The wide part has a table of width O, the deep part one for each width of embedding; each of them
another for features of many ids, and the deep part one for embeddings that are not trained. Imports
features; must not know layers. Axes: O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.encoders import IdFeature
from trainer.features import FeatureLayout

# Features of more ids have a table of their own, so that the others' can be small and stay dense.
LARGE_FEATURE_IDS = 32_768


@dataclass(frozen=True)
class TablePlan:
    """Features whose rows stand in one table, one id space behind the other.

    name: of the table.
    width: numbers of a row.
    features: behind the first of their columns among all ids of a row.
    sections: the rows of each feature, in their order; the same for those that share an embedding.
    is_trained: whether steps move the rows.
    """

    name: str
    width: int
    features: tuple[tuple[int, IdFeature], ...]
    sections: tuple[range, ...]
    is_trained: bool = True

    @property
    def num_rows(self) -> int:
        """Of all sections."""
        return max(section.stop for section in self.sections)

    @property
    def columns(self) -> tuple[int, ...]:
        """All columns of ids that are looked up."""
        return tuple(i + slot for i, f in self.features for slot in range(f.slots))

    @property
    def id_spaces(self) -> tuple[tuple[int, int], ...]:
        """Rows of each different section, and how many ids of it a row of a batch looks up."""
        counts: dict[range, int] = {}
        for (_, feature), section in zip(self.features, self.sections, strict=True):
            counts[section] = counts.get(section, 0) + feature.slots
        return tuple((len(section), count) for section, count in counts.items())


def wide_plans(layout: FeatureLayout, num_outputs: int) -> list[TablePlan]:
    """The tables of the wide part; every feature has a section of its own."""
    members = [(i, f) for i, f in layout.placed_ids if f.wide]
    return _by_size(members, num_outputs, "table", sharing=False)


def deep_plans(layout: FeatureLayout) -> list[TablePlan]:
    """The tables of embeddings, by rising width."""
    embedded = [(i, f) for i, f in layout.placed_ids if f.embedding_dim]
    plans = []
    for width in sorted({f.embedding_dim for _, f in embedded}):
        members = [(i, f) for i, f in embedded if f.embedding_dim == width]
        name = f"embedding_{width}"
        plans += _by_size([m for m in members if not m[1].frozen], width, name, sharing=True)
        frozen = [m for m in members if m[1].frozen]
        if frozen:
            sections = _sections(frozen, sharing=True)
            plans.append(
                TablePlan(f"{name}_frozen", width, tuple(frozen), sections, is_trained=False)
            )
    return plans


def _by_size(
    members: Sequence[tuple[int, IdFeature]], width: int, name: str, *, sharing: bool
) -> list[TablePlan]:
    """One table for the features of few ids, one for those of many."""
    plans = []
    for is_large in (False, True):
        part = tuple(m for m in members if (m[1].size > LARGE_FEATURE_IDS) == is_large)
        if part:
            full_name = f"{name}_large" if is_large else name
            plans.append(TablePlan(full_name, width, part, _sections(part, sharing=sharing)))
    return plans


def _sections(members: Sequence[tuple[int, IdFeature]], *, sharing: bool) -> tuple[range, ...]:
    """Rows for each feature, behind those of the features before it."""
    sections: list[range] = []
    by_name: dict[str, range] = {}
    end = 0
    for _, feature in members:
        section = by_name.get(feature.shared) if sharing and feature.shared else None
        if section is None:
            section = range(end, end + feature.size)
            end = section.stop
            by_name[feature.shared] = section
        sections.append(section)
    return tuple(sections)
