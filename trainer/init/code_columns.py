"""Numbers that are no amounts: identifiers, one for each row, and codes, which come back.

Imports column_profile, held_out, table_facts and numpy.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from trainer.init.table_facts import TableFacts
from trainer.insight.column_profile import ColumnProfile
from trainer.insight.held_out import (
    CURVE_BINS,
    Halves,
    Ints,
    cell_gains,
    frequent_cells,
    mean_gain,
    out_of_fold,
    out_of_fold_curve,
    quantile_cells,
    t_bound,
)

# A column of distinct whole numbers is an identifier where chance would hardly leave them distinct.
_CHANCE = 1e-4
_ID_NAME = re.compile(
    r"(?:^|[_\W])(?:id|uid|uuid|guid|key|zip|zipcode|postcode|plz|zip_?code|postal_?code|code)$"
    r"|(?<=[a-z])(?:Id|ID|Key|Code)$|^(?:ID|Id|id)(?:[_\W]|$)"
)

_TIME_WORD = re.compile(
    r"(?:^|[_\W])(?:year|month|week|day|date|hour|minute|second|time|trend)s?(?:$|[_\W])|(?:day|time)$",
    re.I,
)


def has_id_name(name: str) -> bool:
    """Whether a name says that the values are marks and no amounts.

    >>> [has_id_name(n) for n in ("id", "user_id", "PassengerId", "zip", "paid", "valid", "width")]
    [True, True, True, True, False, False, False]
    """
    return _ID_NAME.search(name) is not None


def is_identifier(profile: ColumnProfile) -> bool:
    """Whether distinct whole numbers are so by making.

    n numbers drawn from R are all distinct with a chance of about exp(-n^2 / 2R). Source: the
    birthday problem. Numbers from so wide a range that chance could do it need the name of an id;
    those that are called year or day and the like may count the rows of a series.
    """
    count = profile.num_present
    if profile.numbers is None or profile.distinct < count or count < 3:
        return False
    if _TIME_WORD.search(profile.name):
        return False
    width = float(profile.numbers.max() - profile.numbers.min()) + 1
    return count**2 / (2 * width) > -math.log(_CHANCE) or has_id_name(profile.name)


@dataclass(frozen=True)
class ValueEvidence:
    """What single values, or fine buckets, of a number tell beyond a curve, on held-out rows.

    Attributes:
        t_value: of the gain over the curve that the deep part sees of a number.
        of_curve: bits a row that the curve tells.
        of_value: bits a row that the values add to it.
        num_frequent: values that are frequent enough to learn from; 0 where hardly one comes back,
            and buckets were tried in their place.
    """

    t_value: float
    of_curve: float
    of_value: float
    num_frequent: int

    @property
    def is_code(self) -> bool:
        """Whether values tell more than their size; of an amount the curve tells most."""
        return self.num_frequent > 0 and self.of_value > self.of_curve


def value_evidence(profile: ColumnProfile, facts: TableFacts) -> ValueEvidence | None:
    """The evidence that a number should be seen value by value; None where it is within chance.

    The curve is piecewise linear over CURVE_BINS quantile bins, as the deep part sees a number.
    The halves are of neighbouring rows; where these part the values, as in a table that is sorted
    by this number, they are drawn row by row, as the config's own split is. A number whose values
    do not come back in the validation files, as a day where days are held out, is left alone.
    """
    if profile.name in facts.new_values or profile.distinct <= CURVE_BINS + 1:
        return None
    num_frequent = int((profile.counts >= facts.least_rows).sum())
    if profile.num_present >= 2 * profile.distinct and num_frequent > CURVE_BINS + 1:
        cells = frequent_cells(profile.codes, profile.counts, facts.least_rows)
    else:
        cells, num_frequent = quantile_cells(profile.values, 2 * facts.num_buckets), 0
    halves = _halves(cells)
    nothing = out_of_fold(facts.target, [], halves, facts.task)
    curve = out_of_fold_curve(facts.target, profile.values, halves, facts.task)
    gains = cell_gains(facts.target, curve, cells, halves, facts.task)
    t_value = halves.t_value(gains)
    if t_value <= t_bound(facts.tests):
        return None
    of_curve = mean_gain(facts.target, nothing, curve, facts.task)
    return ValueEvidence(t_value, of_curve, float(gains.mean()), num_frequent)


def _halves(cells: Ints) -> Halves:
    """Halves of neighbours, or drawn row by row where these part the rows of most values.

    That is where 2 min(a, b) summed up over values with a and b rows in the halves is less than
    half of the rows: near all rows in a table of any order, 0 in one sorted by the value.
    """
    halves = Halves.of(len(cells))
    second = halves.is_second
    num_cells = int(cells.max()) + 1
    counts = [np.bincount(cells[half], minlength=num_cells) for half in (second, ~second)]
    is_mixed = 4 * np.minimum(*counts).sum() > len(cells)
    return halves if is_mixed else Halves.shuffled(len(cells))
