"""Numbers that are no amounts: identifiers, one for each row, and codes, which come back.

Imports column_profile, held_out, table_facts and numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.init.column_profile import ColumnProfile
from trainer.init.held_out import (
    Floats,
    Halves,
    Ints,
    cell_gains,
    frequent_cells,
    out_of_fold,
    quantile_cells,
    t_bound,
)
from trainer.init.table_facts import TableFacts

# A column of distinct whole numbers is an identifier where chance would hardly leave them distinct.
_CHANCE = 1e-4
# As fine as a number's piecewise-linear encoding is by default.
_COARSE_CELLS = 16
_ID_NAME = re.compile(
    r"(?:^|[_\W])(?:id|uid|uuid|guid|key|zip|zipcode|postcode|plz|zip_?code|postal_?code|code)$"
    r"|(?<=[a-z])(?:Id|ID|Key|Code)$|^(?:ID|Id|id)(?:[_\W]|$)"
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
    birthday problem. Numbers from so wide a range that chance could do it need the name of an id.
    """
    count = profile.num_present
    if profile.numbers is None or profile.distinct < count or count < 3:
        return False
    width = float(profile.numbers.max() - profile.numbers.min()) + 1
    return count**2 / (2 * width) > -math.log(_CHANCE) or has_id_name(profile.name)


@dataclass(frozen=True)
class ValueEvidence:
    """What single values of a number tell beyond the trainer's buckets, on held-out rows.

    Attributes:
        t_value: of the gain over as many quantiles as the trainer makes buckets.
        of_size: bits a row that 16 cells of quantiles tell, as fine as its piecewise encoding.
        of_value: bits a row that single values add to these.
        num_frequent: values that are frequent enough to learn from.
    """

    t_value: float
    of_size: float
    of_value: float
    num_frequent: int

    @property
    def is_code(self) -> bool:
        """Whether values tell more than their size; of an amount the coarse size tells most."""
        return self.of_value > self.of_size


def value_evidence(profile: ColumnProfile, facts: TableFacts) -> ValueEvidence | None:
    """The evidence that single values count; None where it is not beyond chance.

    The halves are drawn row by row, as the config's own split is, since a table is often sorted by
    such a number. A number whose values do not come back in the validation files, as a day where
    days are held out, is left alone.
    """
    if profile.name in facts.new_values:
        return None
    frequent = int((profile.counts >= facts.least_rows).sum())
    if frequent <= facts.num_buckets or profile.num_present < 2 * profile.distinct:
        return None
    by_value = frequent_cells(profile.codes, profile.counts, facts.least_rows)
    by_size = quantile_cells(profile.values, 2 * facts.num_buckets)
    halves = Halves.shuffled(len(facts.target))

    def gains(known: Sequence[Ints], cells: Ints) -> Floats:
        base = out_of_fold(facts.target, known, halves, facts.task)
        return cell_gains(facts.target, base, cells, halves, facts.task)

    t_value = halves.t_value(gains([by_size], by_value))
    if t_value <= t_bound(facts.tests):
        return None
    coarse = quantile_cells(profile.values, _COARSE_CELLS)
    return ValueEvidence(
        t_value,
        float(gains([], coarse).mean()),
        float(gains([coarse], by_value).mean()),
        frequent,
    )
