"""What is to be learned: the task of the target column, and the label of the config.

Imports column_profile, csv_files, errors and numpy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainer.csv_head import is_number
from trainer.errors import UserError, listed, nearest
from trainer.insight.column_profile import ColumnProfile

Task = Literal["regression", "binary"]
LabelTask = Literal["regression", "binary", "multiclass"]

# Of two texts, these are the ones that a question is asked for.
_POSITIVE = re.compile(
    r"1|y|yes|t|true|pos|positive|success|won|win|clicked|bought|fraud|spam|default|bad|churn"
    r"|churned|malignant|died|survived",
    re.I,
)
# Up to so many whole numbers may be classes as well as amounts, which is then said.
_FEW_VALUES = 10
# Of more texts one is seldom a class: they are names, or free text.
_MOST_CLASSES = 100


@dataclass(frozen=True)
class Target:
    """The target of N sampled rows.

    Attributes:
        task: by which the columns are judged. For several classes it is binary: the most frequent
            one against the rest.
        values: (N,) numbers, 0 or 1 for a binary task; NaN where the target is missing.
        label: the section of the config.
        reason: why this task.
        num_missing: sampled rows without a target, which the trainer takes for bad rows.
    """

    name: str
    task: Task
    values: npt.NDArray[np.float64]
    label: dict[str, object]
    reason: str
    num_missing: int
    class_counts: tuple[int, ...] = ()  # sampled rows of each of several classes

    @property
    def label_task(self) -> str:
        """The task of the config."""
        return str(self.label["task"])


def choose_target(profile: ColumnProfile, task: LabelTask | None, positive: str | None) -> Target:
    """The task that the values of the column ask for.

    Args:
        profile: of the target column.
        task: what the user wants, None to be chosen.
        positive: the text of the positive class, None to be chosen.

    Raises:
        UserError: the target is constant, missing everywhere, has too many classes, or does not
            fit what the user wants.
    """
    where = f"the target {profile.name!r}"
    if not profile.distinct:
        raise UserError(f"{where} is missing in every row; name another column with --target")
    if profile.distinct == 1:
        raise UserError(
            f"{where} is {profile.tokens[0]!r} in every row, so nothing can be learned from it; "
            "name another column with --target"
        )
    if positive is not None:
        return _binary_of_text(profile, where, task, positive)
    if task == "multiclass":
        return _multiclass(profile, where, "as --task says")
    if profile.numbers is None:
        return _text_target(profile, where, task)
    values = np.unique(profile.numbers)
    if task == "regression":
        return _regression(profile, "as --task says")
    if list(values) == [0.0, 1.0]:
        return _target(profile, "binary", profile.values, {}, "its values are 0 and 1")
    if len(values) == 2 and profile.distinct == 2:
        chosen = profile.tokens[int(np.argmax(profile.numbers))]
        reason = f"two values; {chosen} is taken for the positive one"
        return _binary_of_text(profile, where, task, chosen, reason)
    if task == "binary":
        raise UserError(
            f"{where} has {len(values)} values; binary needs 0 and 1, two values, or "
            "--positive=VALUE against the rest"
        )
    if len(values) <= _FEW_VALUES and profile.is_whole:
        shown = ", ".join(f"{value:g}" for value in values)
        return _regression(
            profile,
            f"{len(values)} whole numbers ({shown}), taken for amounts; if they are classes, "
            "--task=multiclass learns them, --positive=VALUE one against the rest",
        )
    return _regression(profile, f"{len(values)} different numbers")


def find_target(target: str, names: tuple[str, ...]) -> str:
    """The column that --target says by name, or by number from 1.

    Raises:
        UserError: there is none.
    """
    if target in names:
        return target
    if target.isdecimal() and 1 <= int(target) <= len(names):
        return names[int(target) - 1]
    raise UserError(
        f"there is no column {target!r}{nearest(target, names)}; the columns are {listed(names)}"
    )


def _text_target(profile: ColumnProfile, where: str, task: LabelTask | None) -> Target:
    if task == "regression":
        text = next(t for t in profile.tokens if not is_number(t))
        raise UserError(
            f"{where} has texts such as {text!r}; regression needs numbers. Write them without "
            "units and signs, or use --positive=TEXT"
        )
    if profile.distinct > 2 and task == "binary":
        raise UserError(
            f"{where} has {profile.distinct} different texts ({listed(profile.tokens[:5])}); "
            "binary needs two, or --positive=TEXT against the rest"
        )
    if profile.distinct > _MOST_CLASSES:
        raise UserError(
            f"{where} has {profile.distinct} different texts ({listed(profile.tokens[:5])}), more "
            f"than {_MOST_CLASSES}; if they are classes, --task=multiclass learns them, "
            "--positive=TEXT one against the rest"
        )
    if profile.distinct > 2:
        return _multiclass(profile, where, f"{profile.distinct} different texts")
    wanted = [t for t in profile.tokens if _POSITIVE.fullmatch(t.strip().strip("."))]
    if len(wanted) == 1:
        reason = f"two texts; {wanted[0]!r} is the positive one by its name"
        return _binary_of_text(profile, where, task, wanted[0], reason)
    rarer = profile.tokens[int(np.argmin(profile.counts))]
    reason = f"two texts; {rarer!r} is taken for the positive one, being rarer"
    return _binary_of_text(profile, where, task, rarer, reason)


def _binary_of_text(
    profile: ColumnProfile,
    where: str,
    task: LabelTask | None,
    positive: str,
    reason: str = "as --positive says",
) -> Target:
    if task in ("regression", "multiclass"):
        raise UserError("--positive has a meaning only with --task=binary; leave one of them out")
    if positive not in profile.tokens:
        raise UserError(
            f"{where} has no value {positive!r}{nearest(positive, profile.tokens)}; it has "
            f"{listed(profile.tokens)}"
        )
    if len(profile.tokens) == 2 and sorted(profile.tokens) == ["0", "1"] and positive == "1":
        return _target(profile, "binary", profile.values, {}, reason)
    is_positive = np.array([token == positive for token in profile.tokens], np.float64)
    values = np.append(is_positive, np.nan)[profile.codes]
    return _target(profile, "binary", values, {"positive": positive}, reason)


def _multiclass(profile: ColumnProfile, where: str, reason: str) -> Target:
    if profile.distinct < 3:
        raise UserError(f"{where} has two values; multiclass needs three, leave out --task")
    order = sorted(range(profile.distinct), key=lambda k: (-profile.counts[k], profile.tokens[k]))
    classes = [profile.tokens[k] for k in order]
    # Stated, so that one that only validation rows have is no bad row.
    options: dict[str, object] = {"classes": classes} if len(classes) <= _MOST_CLASSES else {}
    values = np.append(np.arange(profile.distinct) == order[0], np.nan)[profile.codes]
    judged = f"{reason}; the columns are judged by how they tell {classes[0]!r} from the rest"
    target = _target(profile, "binary", values, options, judged)
    return replace(
        target,
        label=target.label | {"task": "multiclass"},
        class_counts=tuple(int(profile.counts[k]) for k in order),
    )


def _regression(profile: ColumnProfile, reason: str) -> Target:
    return _target(profile, "regression", profile.values, {}, reason)


def _target(
    profile: ColumnProfile,
    task: Task,
    values: npt.NDArray[np.float64],
    options: dict[str, object],
    reason: str,
) -> Target:
    label: dict[str, object] = {"column": profile.name, "task": task, **options}
    num_missing = int(np.isnan(values).sum())
    return Target(profile.name, task, values, label, reason, num_missing)
