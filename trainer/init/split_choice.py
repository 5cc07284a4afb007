"""Which rows are held out, and how many may be unreadable: the data section of the config.

Imports the standard library only.
"""

from __future__ import annotations

import math

# So many validation rows tell an improvement of a percent from chance; more cost time only.
_LEAST_ROWS, _MOST_ROWS = 1_000, 100_000


def held_out_fraction(total_rows: int) -> float:
    """Share of the rows for validation, and the same for the test.

    A tenth; up to a fifth where a tenth is less than 1,000 rows, and down to a hundredth where it
    is more than 100,000.

    >>> [held_out_fraction(n) for n in (442, 7_000, 50_000, 2_000_000, 10**9)]
    [0.2, 0.15, 0.1, 0.05, 0.01]
    """
    for wanted, lowest, highest in ((_LEAST_ROWS, 0.1, 0.2), (_MOST_ROWS, 0.01, 0.1)):
        share = min(highest, max(lowest, math.ceil(100 * wanted / total_rows) / 100))
        if share != 0.1:
            return share
    return 0.1


def allowed_bad_rows(num_bad: int, num_rows: int, total_rows: int) -> int:
    """Bad rows to expect in the table, where some were found among the sampled ones.

    Exactly those where the sample is the table; else k + 3 sqrt(k) + 3 of the sample's scale, an
    upper bound of a Poisson count of which k were seen: 3 where none was, the rule of three.

    >>> allowed_bad_rows(5, 100, 100), allowed_bad_rows(0, 100, 100), allowed_bad_rows(0, 100, 1000)
    (5, 0, 30)
    """
    if num_rows >= total_rows:
        return num_bad
    bound = num_bad + 3 * math.sqrt(num_bad) + 3
    return math.ceil(bound * total_rows / max(1, num_rows))
