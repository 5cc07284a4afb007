"""The study of a sampled table: every decision of the config, with its reason. Prints nothing.

Imports the modules of this package that decide, and config, errors, storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainer.errors import UserError
from trainer.init.code_columns import has_id_name
from trainer.init.column_kinds import ColumnChoice, choose_kind
from trainer.init.cross_proposals import CrossProposal, propose_crosses
from trainer.init.point_pairs import Way, find_points, find_way
from trainer.init.split_choice import allowed_bad_rows, held_out_fraction
from trainer.init.table_facts import TableFacts
from trainer.init.table_sample import TableSample
from trainer.init.target_kind import LabelTask, Target, choose_target, find_target
from trainer.insight.column_power import LEAK_POWER, SUSPECT_POWER, column_power, find_twins
from trainer.insight.column_profile import DEFAULT_NULLS, ColumnProfile, profile_column
from trainer.insight.held_out import Halves, bounded_target


@dataclass(frozen=True)
class Wishes:
    """What the user said of the table, None or () where it is to be found out.

    Attributes:
        target: name of the column, or its number from 1.
        train: files and patterns as given, for the config.
    """

    target: str
    train: tuple[str, ...]
    task: LabelTask | None = None
    positive: str | None = None
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """All decisions.

    Attributes:
        choices: of every column but the target, in the order of the table.
        powers: share of the target that a column alone explains on held-out rows, by name.
        missing: share of missing values, by name.
        crosses: proposals, the most telling first.
        null_values: texts for data.null_values besides the default ones.
        max_bad_rows: for data.max_bad_rows.
        split_column: raw column for data.split_column.
        fraction: for data.validation_fraction and test_fraction.
        split_notes: other ways to hold rows out, and when they are the right ones.
        findings: what the user should look at, one a line.
    """

    sample: TableSample
    wishes: Wishes
    target: Target
    choices: tuple[ColumnChoice, ...]
    way: Way | None
    powers: Mapping[str, float]
    missing: Mapping[str, float]
    crosses: tuple[CrossProposal, ...]
    null_values: tuple[str, ...]
    max_bad_rows: int
    split_column: str | None
    fraction: float
    split_notes: tuple[str, ...]
    findings: tuple[str, ...]


def study_table(sample: TableSample, wishes: Wishes, held_out: TableSample | None = None) -> Study:
    """Decide everything.

    Args:
        sample: of the training files.
        wishes: of the user.
        held_out: of the validation files, None where a share of the training rows is held out.

    Raises:
        UserError: the target is no good, or no column is left to learn from.
    """
    name = find_target(wishes.target, tuple(sample.columns))
    has_nulls = sample.dialect is not None
    target_profile = profile_column(name, sample.columns[name], has_spelled_nulls=has_nulls)
    target = choose_target(target_profile, wishes.task, wishes.positive)
    usable = np.flatnonzero(np.isfinite(target.values))
    profiles = {
        column: profile_column(column, texts.take(pa.array(usable)), has_spelled_nulls=has_nulls)
        for column, texts in sample.columns.items()
        if column != name
    }
    facts = TableFacts(
        target=target.values[usable],
        task=target.task,
        total_rows=max(len(usable), sample.total_rows),
        new_values=_new_values(profiles, held_out),
        tests=len(profiles),
    )
    powers = _powers(profiles, facts)
    choices = _choices(profiles, powers, facts)
    if not any(choice.is_feature for choice in choices):
        raise UserError(
            f"no column of {sample.files[0]} is left to predict {name!r} from: "
            + "; ".join(f"{choice.name}: {choice.reason}" for choice in choices[:5])
        )
    numeric = {c.name: profiles[c.name] for c in choices if c.kind == "numeric"}
    used = [profiles[c.name] for c in choices if c.is_feature]
    nulls = dict.fromkeys(text for profile in used for text in profile.null_texts)
    return Study(
        sample=sample,
        wishes=wishes,
        target=target,
        choices=tuple(choices),
        way=find_way(find_points(numeric), frozenset(sample.columns)),
        powers=powers,
        missing={column: profile.missing_share for column, profile in profiles.items()},
        crosses=tuple(propose_crosses(profiles, choices, powers, facts)),
        null_values=tuple(text for text in nulls if text not in DEFAULT_NULLS),
        max_bad_rows=allowed_bad_rows(
            target.num_missing + sample.num_misfits,
            len(target.values) + sample.num_misfits,
            sample.total_rows,
        ),
        split_column=next((c.name for c in choices if c.kind == "key"), None),
        fraction=held_out_fraction(sample.total_rows),
        split_notes=tuple(_split_notes(choices)),
        findings=tuple(_findings(sample, target, choices, powers)),
    )


def data_values(study: Study) -> dict[str, Any]:
    """The data section of the config."""
    sample, wishes = study.sample, study.wishes
    values: dict[str, Any] = {"train": list(wishes.train)}
    for part in ("validation", "test"):
        if given := getattr(wishes, part):
            values[part] = list(given)
        else:
            values[f"{part}_fraction"] = study.fraction
    is_split = "validation_fraction" in values or "test_fraction" in values
    if study.split_column is not None and is_split:
        values["split_column"] = study.split_column
    dialect = sample.dialect
    if dialect is None:
        values["format"] = "parquet"
    else:
        if not dialect.has_header:
            values["column_names"] = list(dialect.names)
        if dialect.delimiter != ",":
            values["delimiter"] = dialect.delimiter
        if dialect.decimal_point != ".":
            values["decimal_point"] = dialect.decimal_point
    if study.null_values:
        values["null_values"] = [*DEFAULT_NULLS, *study.null_values]
    if study.max_bad_rows:
        values["max_bad_rows"] = study.max_bad_rows
    return values


def _powers(profiles: Mapping[str, ColumnProfile], facts: TableFacts) -> dict[str, float]:
    halves = Halves.of(len(facts.target))
    return {
        name: column_power(profile, facts.target, halves, facts.task)
        for name, profile in profiles.items()
    }


def _choices(
    profiles: Mapping[str, ColumnProfile], powers: Mapping[str, float], facts: TableFacts
) -> list[ColumnChoice]:
    """Kinds of all columns, then without leaks, doubles and further keys."""
    judged = replace(facts, target=bounded_target(facts.target, facts.task))
    choices = [choose_kind(profile, judged) for profile in profiles.values()]
    return _one_key(_without_twins(_without_leaks(choices, powers), profiles))


def _new_values(
    profiles: Mapping[str, ColumnProfile], held_out: TableSample | None
) -> frozenset[str]:
    """Columns of which less than half of the held-out rows have a value that the sample has."""
    if held_out is None:
        return frozenset()
    new = []
    for name in profiles.keys() & held_out.columns.keys():
        texts, tokens = held_out.columns[name], pa.array(profiles[name].tokens, pa.string())
        num_known = pc.sum(pc.is_in(texts, value_set=tokens)).as_py() or 0
        if 2 * num_known < len(texts):
            new.append(name)
    return frozenset(new)


def _without_leaks(
    choices: Sequence[ColumnChoice], powers: Mapping[str, float]
) -> list[ColumnChoice]:
    kept = []
    for choice in choices:
        power = powers[choice.name]
        if choice.is_feature and power >= LEAK_POWER:
            note = (
                f"tells {power:.1%} of the target by itself: a copy of it, or known only "
                "afterwards? Left out"
            )
            choice = replace(
                choice,
                options={"kind": "ignore"},
                reason=f"a likely leak, it alone explains {power:.1%} of the target",
                findings=(*choice.findings, note),
                instead=choice.kind,
            )
        elif choice.is_feature and power >= SUSPECT_POWER:
            note = f"tells {power:.1%} of the target by itself: is it known before the target is?"
            choice = replace(choice, findings=(*choice.findings, note))
        kept.append(choice)
    return kept


def _without_twins(
    choices: Sequence[ColumnChoice], profiles: Mapping[str, ColumnProfile]
) -> list[ColumnChoice]:
    """A number beside its text, as 13 beside Bachelors, stays: each enters the model in its way."""
    twins: dict[str, str] = {}
    for kind in ("numeric", "categorical", "boolean"):
        twins |= find_twins({c.name: profiles[c.name] for c in choices if c.kind == kind})
    return [
        replace(
            choice,
            options={"kind": "ignore"},
            reason=f"says the same as {twins[choice.name]}, value for value",
            instead=choice.kind,
        )
        if choice.name in twins
        else choice
        for choice in choices
    ]


def _one_key(choices: Sequence[ColumnChoice]) -> list[ColumnChoice]:
    """The first identifier is the key; a config has one, and an unnamed column cannot be it."""
    kept, has_key = [], False
    for choice in choices:
        if choice.kind == "key" and (has_key or not choice.name.strip()):
            choice = replace(choice, options={"kind": "ignore"})
        has_key |= choice.kind == "key"
        kept.append(choice)
    return kept


def _split_notes(choices: Sequence[ColumnChoice]) -> Iterator[str]:
    for choice in choices:
        if choice.kind == "datetime":
            yield (
                f"For a model that is asked about later rows than it learned from, hold out the "
                f"latest by {choice.name}: files of their own, given as validation and test."
            )
            break
    for choice in choices:
        if choice.kind == "categorical" and has_id_name(choice.name):
            yield (
                f"For a model that is asked about values of {choice.name} that it has not seen, "
                f"hold out whole ones: split_column: {choice.name}."
            )
            break


def _findings(
    sample: TableSample,
    target: Target,
    choices: Sequence[ColumnChoice],
    powers: Mapping[str, float],
) -> list[str]:
    notes = [f"{choice.name}: {note}" for choice in choices for note in choice.findings]
    for name, found in sample.unreadable.items():
        notes.append(f"{name}: has type {found}, which the trainer does not read; left out")
    if target.num_missing:
        notes.append(
            f"{target.name}: missing in {target.num_missing} of {len(target.values)} rows, which "
            "are left out (data.max_bad_rows)"
        )
    if sample.num_misfits:
        notes.append(
            f"{sample.num_misfits} rows have another number of fields and are left out "
            "(data.max_bad_rows)"
        )
    if target.label_task == "binary":
        share = float(np.nanmean(target.values))
        if min(share, 1 - share) < 0.02:
            notes.append(
                f"{target.name}: only {min(share, 1 - share):.2%} of the rows are the rarer class"
            )
    best = max((powers[c.name] for c in choices if c.is_feature), default=0.0)
    if best < 0.001:
        notes.append("no column by itself tells anything about the target on held-out rows")
    return notes
