"""What is to be learned: the task of the target column, and the label of the config.

Imports column_profile, csv_files, errors and numpy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trainer.csv_files import is_number
from trainer.errors import UserError, listed, nearest
from trainer.init.column_profile import ColumnProfile

Task = Literal["regression", "binary"]

# Of two texts, these are the ones that a question is asked for.
_POSITIVE = re.compile(
    r"1|y|yes|t|true|pos|positive|success|won|win|clicked|bought|fraud|spam|default|bad|churn"
    r"|churned|malignant|died|survived",
    re.I,
)
# Up to so many whole numbers may be classes as well as amounts, which is then said.
_FEW_VALUES = 10


@dataclass(frozen=True)
class Target:
    """The target of N sampled rows.

    Attributes:
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


def choose_target(profile: ColumnProfile, task: Task | None, positive: str | None) -> Target:
    """The task that the values of the column ask for.

    Args:
        profile: of the target column.
        task: what the user wants, None to be chosen.
        positive: the text of the positive class, None to be chosen.

    Raises:
        UserError: the target is constant, missing everywhere, has several classes, or does not
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
            "--positive=VALUE learns one against the rest",
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


def _text_target(profile: ColumnProfile, where: str, task: Task | None) -> Target:
    if task == "regression":
        text = next(t for t in profile.tokens if not is_number(t))
        raise UserError(
            f"{where} has texts such as {text!r}; regression needs numbers. Write them without "
            "units and signs, or use --positive=TEXT"
        )
    if profile.distinct > 2:
        raise UserError(
            f"{where} has {profile.distinct} different texts ({listed(profile.tokens[:5])}); "
            "several classes are not supported. Learn one against the rest with --positive=TEXT"
        )
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
    task: Task | None,
    positive: str,
    reason: str = "as --positive says",
) -> Target:
    if task == "regression":
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
