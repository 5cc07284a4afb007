"""Numbers that are no amounts: identifiers, one for each row, and codes, which come back.

Imports column_profile, held_out, table_facts and numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

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
_TIME_WORD = re.compile(
    r"(?:^|[_\W])(?:year|month|week|day|date|hour|minute|second|time)s?(?:$|[_\W])|day$|time$", re.I
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


def code_evidence(profile: ColumnProfile, facts: TableFacts) -> str | None:
    """Why whole numbers are codes: their single values tell more than their size does.

    Two things on held-out rows: cells of the frequent values add to cells of quantiles, as many as
    the trainer makes buckets, more than chance; and they add more to 16 cells of quantiles than
    these tell, for of an amount the coarse size tells most. The halves are drawn row by row, as the
    config's own split is, since a table is often sorted by such a code. A number of time is none:
    its values are told apart by what happened then, which does not come back.
    """
    if _TIME_WORD.search(profile.name):
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
    of_size, of_value = gains([], coarse).mean(), gains([coarse], by_value).mean()
    if of_value <= of_size:
        return None
    ratio = f"{of_value / of_size:.1f} times" if of_size > 0 else "where size tells nothing,"
    return f"codes: single values tell {ratio} what their size does (t {t_value:.1f}, held-out)"
