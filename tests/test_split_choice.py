"""trainer.init.split_choice: held-out share and bad rows, by hand."""

import pytest

from trainer.init.split_choice import allowed_bad_rows, held_out_fraction


@pytest.mark.parametrize(
    ("rows", "share"),
    [(20, 0.2), (5_000, 0.2), (6_666, 0.16), (10_000, 0.1), (10**6, 0.1), (4 * 10**6, 0.03)],
)
def test_share_gives_a_thousand_rows_where_a_fifth_can_and_a_hundred_thousand_suffice(rows, share):
    assert held_out_fraction(rows) == share


def test_bad_rows_are_counted_in_a_whole_table_and_bounded_in_a_sample():
    assert allowed_bad_rows(7, 500, 500) == 7
    assert allowed_bad_rows(4, 1000, 10_000) == (4 + 3 * 2 + 3) * 10
