"""The arithmetic of an estimate, against sums made by hand."""

import pytest

from trainer.config import TrainingConfig
from trainer.errors import UserError
from trainer.jobs.costs import (
    Costs,
    Line,
    ShortRun,
    Workload,
    derive_costs,
    draw_out,
    fit_line,
    plan_work,
)
from trainer.plan import make_plan


def timed(num_rows, examples, evaluated, *, finish, start):
    """2 s + 0.001 s a row read, 3 s + 0.0005 s a row trained or evaluated, and the ends."""
    return ShortRun(
        rows={"train": num_rows * 8 // 10, "validation": num_rows // 10, "test": num_rows // 10},
        examples=examples,
        evaluated=evaluated,
        prepare=2 + num_rows * 0.001,
        train=3 + (examples + evaluated) * 0.0005,
        finish=finish,
        start=start,
    )


SHORT = timed(1_000, 5_000, 1_000, finish=11.0, start=9.0)
LONG = timed(10_000, 50_000, 2_000, finish=13.0, start=11.0)


def test_slopes_and_intercepts_are_those_of_the_runs():
    costs = derive_costs(SHORT, LONG)

    assert costs.read == pytest.approx((0.001, 2.0, False))
    assert costs.train == pytest.approx((0.0005, 3.0, False))
    assert costs.fixed == pytest.approx(
        {"start": 10.0, "prepare": 2.0, "compile": 3.0, "evaluate and export": 12.0}
    )


def test_noise_gives_an_upper_bound():
    assert fit_line((1_000, 5.6), (4_000, 4.8)) == (4.8 / 4_000, 0.0, True)
    assert fit_line((1_000, 5.0), (4_000, 5.0)) == (5.0 / 4_000, 0.0, True)


def test_line_below_zero_goes_through_the_origin():
    """1 s for 1,000 rows and 8 s for 4,000: -1.33 s for none would be absurd."""
    assert fit_line((1_000, 1.0), (4_000, 8.0)) == (8.0 / 4_000, 0.0, False)


def test_runs_of_equal_length_say_what_to_try():
    with pytest.raises(UserError, match=r"they read 1000 and 1000 rows.*--smoke_rows=250,1000"):
        derive_costs(SHORT, ShortRun(SHORT.rows, 50_000, 0, 1.0, 1.0, 1.0, 1.0))
    with pytest.raises(UserError, match=r"they trained 6000 and 6000 rows.*--smoke_steps=50,400"):
        derive_costs(SHORT, ShortRun(LONG.rows, 6_000, 0, 1.0, 1.0, 1.0, 1.0))


COSTS = Costs(read=Line(2e-6, 2.0), train=Line(4e-6, 3.0), fixed={"a": 25.0, "b": 35.0})


def test_one_machine_by_hand():
    """60 s fixed and 300 s to start; 12e6 x 2e-6 = 24 s; 54e6 x 4e-6 = 216 s: 600 s, 1/6 hour."""
    estimate = draw_out(COSTS, Workload(rows=12_000_000, work=54_000_000, startup=300))

    assert (estimate.fixed, estimate.read, estimate.train) == pytest.approx((360, 24, 216))
    assert estimate.seconds == pytest.approx(600)
    assert estimate.machine_hours == pytest.approx(1 / 6)


def test_machines_share_the_training_only():
    """(360 + 24 + 216 / 4) s = 438 s on each of 4 machines: 1752 s in all."""
    estimate = draw_out(COSTS, Workload(12_000_000, 54_000_000, machines=4, startup=300))

    assert estimate.seconds == pytest.approx(438)
    assert estimate.machine_hours == pytest.approx(1752 / 3600)


def test_speed_shortens_all_but_the_start():
    """300 + (60 + 24 + 216) / 2 = 450 s."""
    estimate = draw_out(COSTS, Workload(12_000_000, 54_000_000, speed=2.0, startup=300))

    assert estimate.seconds == pytest.approx(450)


def test_trials_cost_and_do_not_prolong_a_run():
    estimate = draw_out(COSTS, Workload(12_000_000, 54_000_000, trials=20, startup=300))

    assert estimate.seconds == pytest.approx(600)
    assert estimate.machine_hours == pytest.approx(20 / 6)


def _plan(num_rows, num_validation_rows, **settings):
    return make_plan(TrainingConfig(**settings), num_rows, num_validation_rows)


def test_work_counts_trained_and_evaluated_rows():
    """3 epochs of 1,000 rows by 100: 30 steps; every 10 steps 200 rows; 200 + 50 at the end."""
    plan = _plan(1_000, 200, epochs=3, batch_size=100, eval_steps=10)

    assert plan_work(plan, 200, 50) == 3_000 + 3 * 200 + 250


def test_work_counts_the_evaluations_that_are_asked_for():
    plan = _plan(1_000, 200, epochs=3, batch_size=100, num_evals=5)

    assert plan_work(plan, 200, 0, eval_rows=20) == 3_000 + 5 * 20 + 200


def test_last_evaluation_of_a_broken_rhythm_counts():
    plan = _plan(1_000, 200, steps=25, batch_size=100, eval_steps=10)

    assert plan_work(plan, 200, 0) == 2_500 + 3 * 200 + 200


def test_budget_in_seconds_needs_no_estimate():
    plan = _plan(1_000, 200, seconds=60.0, batch_size=100)

    with pytest.raises(UserError, match=r"the budget is training\.seconds, which is the answer"):
        plan_work(plan, 200, 0)
