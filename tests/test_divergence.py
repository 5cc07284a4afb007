"""trainer.insight.divergence: the two measures, and what chance does to them."""

import numpy as np
import pytest
from scipy.spatial.distance import chebyshev, jensenshannon

from trainer.insight.divergence import jensen_shannon, l_infinity, shift_between


def test_measures_equal_those_of_scipy():
    random = np.random.default_rng(1)
    for _ in range(20):
        p, q = random.dirichlet(np.ones(7), 2)
        p[2] = q[4] = 0.0
        p, q = p / p.sum(), q / q.sum()
        assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-9)
        assert l_infinity(p, q) == pytest.approx(chebyshev(p, q), rel=1e-12)


def test_shift_has_the_measures_of_the_shares():
    shift = shift_between(np.array([30, 10, 0]), np.array([100, 50, 50]))
    p, q = np.array([0.75, 0.25, 0]), np.array([0.5, 0.25, 0.25])
    assert shift.js == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert shift.linf == pytest.approx(0.25)


@pytest.mark.parametrize("num_rows", [(200, 50), (5000, 1000), (65536, 20000)])
@pytest.mark.parametrize("num_bins", [2, 10, 300])
@pytest.mark.parametrize("level", [0.95, 0.999])
def test_equal_sources_stay_below_what_chance_does(num_rows, num_bins, level):
    """Of 200 pairs, at most the promised share and three standard errors."""
    random = np.random.default_rng(num_bins)
    shares = random.dirichlet(np.ones(num_bins))
    above = np.zeros(2)
    for _ in range(200):
        base, other = (random.multinomial(n, shares) for n in num_rows)
        shift = shift_between(base, other, level)
        above += [shift.js > shift.js_by_chance, shift.linf > shift.linf_by_chance]
    miss = 1 - level
    assert (above / 200 <= miss + 3 * np.sqrt(miss * level / 200) + 0.005).all()
    # Nor is the bound so wide that nothing would ever be seen.
    if level == 0.95 and num_rows[1] >= 1000:
        assert above[0] > 0


def test_chance_of_a_divergence_is_that_of_chi_square():
    """(1/n + 1/m) / (8 ln 2) times the 95% quantile of chi-square with K - 1 degrees."""
    counts = np.full(10, 1000)
    shift = shift_between(counts, counts // 2)
    expected = (1 / 10_000 + 1 / 5_000) / (8 * np.log(2)) * 16.919
    assert shift.js_by_chance == pytest.approx(expected, rel=0.15)
    assert (shift.js, shift.linf) == (0.0, 0.0)


def test_what_has_few_rows_counts_as_one():
    base, other = np.array([50, 50, 3, 0, 1]), np.array([40, 40, 0, 4, 0])
    merged = shift_between(np.array([50, 50, 4]), np.array([40, 40, 4]))
    assert shift_between(base, other) == merged
    assert merged.linf == pytest.approx(4 / 84 - 4 / 104)


def test_a_new_category_of_many_rows_stands_for_itself():
    base, other = np.array([10_000, 10_000, 0, 3]), np.array([30, 30, 40, 0])
    assert shift_between(base, other).linf == pytest.approx(0.4)


def test_a_constant_column_has_no_chance():
    assert shift_between(np.array([5]), np.array([7])) == (0.0, 0.0, 0.0, 0.0)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="without rows"):
        shift_between(np.array([0, 0]), np.array([1, 0]))
