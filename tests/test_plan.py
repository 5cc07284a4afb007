"""trainer.plan against a simulation of a whole run, step by step."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainer.config import TrainingConfig
from trainer.errors import UserError
from trainer.plan import make_plan


def plan_of(num_rows=1000, num_validation_rows=200, **options):
    return make_plan(TrainingConfig(**options), num_rows, num_validation_rows)


def simulate(plan, last_step):
    """Ends of the calls, and the steps that an evaluation or a checkpoint follows."""
    step, ends, evaluations, checkpoints = 0, [], [], []
    while step < last_step and (length := plan.call_length(step)):
        step += length
        ends.append(step)
        if plan.evaluates_at(step):
            evaluations.append(step)
        if plan.saves_at(step):
            checkpoints.append(step)
    assert max(b - a for a, b in itertools.pairwise([0, *ends])) == plan.call_length(0)
    return ends, evaluations, checkpoints


STEPS = st.integers(1, 300)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 40), st.integers(0, 40), st.integers(1, 70))
def test_calls_cover_every_step_once_and_end_where_something_happens(
    total, eval_steps, checkpoint_steps, per_call
):
    plan = plan_of(
        batch_size=10,
        steps=total,
        eval_steps=eval_steps,
        checkpoint_steps=checkpoint_steps,
        steps_per_call=per_call,
    )
    ends, evaluations, checkpoints = simulate(plan, total + 1)
    by_eval = set(range(eval_steps, total + 1, eval_steps)) | {total}
    by_save = set(range(checkpoint_steps, total + 1, checkpoint_steps or total + 1))
    by_save.discard(0)
    assert evaluations == sorted(by_eval)
    assert checkpoints == sorted(by_save)
    # The ends are the shortest list that stops at each of those and never goes on for longer.
    expected, step = [], 0
    for stop in sorted(by_eval | by_save):
        while stop - step > per_call:
            step += per_call
            expected.append(step)
        step = stop
        expected.append(step)
    assert ends == expected
    assert plan.call_length(total) == 0


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 60), st.integers(1, 70))
def test_num_evals_is_exact_and_spread_evenly(total, num_evals, per_call):
    assume(num_evals <= total)
    plan = plan_of(batch_size=10, steps=total, num_evals=num_evals, steps_per_call=per_call)
    _, evaluations, _ = simulate(plan, total + 1)
    assert len(evaluations) == num_evals
    assert evaluations[-1] == total
    # Evaluation k is the first whole step at or after k / num_evals of the run.
    share = Fraction(total, num_evals)
    assert evaluations == [math.ceil(k * share) for k in range(1, num_evals + 1)]


def test_more_evaluations_than_steps_are_one_after_each_step():
    _, evaluations, _ = simulate(plan_of(batch_size=10, steps=3, num_evals=7), 4)
    assert evaluations == [1, 2, 3]


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 40), st.integers(0, 40), st.integers(0, 299))
def test_a_resumed_run_goes_on_with_the_same_calls(total, eval_steps, checkpoint_steps, seed):
    plan = plan_of(
        batch_size=10, steps=total, eval_steps=eval_steps, checkpoint_steps=checkpoint_steps
    )
    ends, _, _ = simulate(plan, total)
    start = ends[seed % len(ends)]
    step, rest = start, []
    while length := plan.call_length(step):
        step += length
        rest.append(step)
    assert rest == [end for end in ends if end > start]


def test_no_step_before_the_first_counts_as_evaluated():
    assert not plan_of(batch_size=10, steps=5).evaluates_at(0)


def test_a_limit_in_seconds_leaves_the_last_step():
    plan = plan_of(batch_size=10, steps=70, max_seconds=2.5)
    assert (plan.total_steps, plan.seconds) == (70, 2.5)
    assert plan_of(batch_size=10, seconds=3, max_seconds=2).seconds == 2
    assert plan.describe().startswith("70 steps or 2.5 s of 10 rows")


def test_a_budget_in_seconds_has_no_last_step():
    plan = plan_of(batch_size=10, seconds=2.5, eval_steps=30, steps_per_call=20)
    assert (plan.total_steps, plan.seconds) == (None, 2.5)
    ends, evaluations, checkpoints = simulate(plan, 120)
    assert ends == [20, 30, 50, 60, 80, 90, 110, 120]
    assert evaluations == [30, 60, 90, 120]
    assert checkpoints == []


@pytest.mark.parametrize(
    ("budget", "total_steps"),
    [
        ({}, 40 * 10),
        ({"epochs": 1}, 10),
        ({"epochs": 0.25}, 3),
        ({"epochs": 0.001}, 1),
        ({"steps": 7}, 7),
        ({"num_train_examples": 1000}, 10),
        ({"num_train_examples": 1001}, 11),
        ({"num_train_examples": 1}, 1),
    ],
)
def test_budgets_become_steps(budget, total_steps):
    assert plan_of(num_rows=1000, batch_size=100, **budget).total_steps == total_steps


@pytest.mark.parametrize(
    ("num_rows", "batch_size"),
    # 28 * 256 = 7,168 and 28 * 1024 = 28,672
    [(1, 1), (31, 31), (1_791, 32), (1_792, 64), (7_168, 256), (28_671, 512), (28_672, 1024)],
)
def test_auto_batch_size_follows_the_number_of_rows(num_rows, batch_size):
    plan = plan_of(num_rows=num_rows)
    assert plan.batch_size == batch_size
    assert plan.steps_per_epoch == num_rows / batch_size


@pytest.mark.parametrize(
    ("num_rows", "num_validation_rows", "options", "eval_steps"),
    [
        # An epoch of 1000 rows in batches of 32 is 31.25 steps.
        (1000, 10, {"steps": 100}, 32),
        # 102,400 rows are 100 steps of 1024: 64 steps come first.
        (102_400, 1024, {"steps": 100}, 64),
        # 200 validation batches are evaluated after 200 training batches, at the least.
        (1_024_000, 200 * 1024, {"steps": 1000}, 200),
        # but an epoch is never waited past
        (20_480, 200 * 1024, {"steps": 1000}, 40),
        # At most 1,000 evaluations, but one an epoch.
        (102_400, 1024, {"steps": 90_000}, 90),
        (1000, 10, {"steps": 500_000}, 32),
        (1000, 10, {"seconds": 5}, 32),
    ],
)
def test_auto_evaluation_rhythm(num_rows, num_validation_rows, options, eval_steps):
    assert plan_of(num_rows, num_validation_rows, **options).eval_steps == eval_steps


@pytest.mark.parametrize(("batch_size", "steps"), [(256, 64), (4096, 64), (16_384, 16), (10**6, 1)])
def test_a_call_is_bounded_in_rows_too(batch_size, steps):
    assert plan_of(num_rows=10**7, batch_size=batch_size).steps_per_call == steps


def test_batch_larger_than_the_training_set_is_refused():
    assert plan_of(num_rows=9, batch_size=9).batch_size == 9
    with pytest.raises(UserError, match=r"training.batch_size 10 is larger .* of 9 rows; use at"):
        plan_of(num_rows=9, batch_size=10)


def test_the_start_line_says_what_was_decided():
    assert plan_of(batch_size=100, steps=50, num_evals=5).describe() == (
        "50 steps of 100 rows (10.0 steps an epoch), 5 evaluations, at most 64 steps a call"
    )
    assert plan_of(batch_size=100, seconds=90, eval_steps=3, steps_per_call=2).describe() == (
        "90 s of 100 rows (10.0 steps an epoch), an evaluation every 3 steps, "
        "at most 2 steps a call"
    )


def test_a_batch_must_be_cut_into_parts_for_accumulation():
    config = TrainingConfig(batch_size=100, accumulate_steps=4)
    assert make_plan(config, 1000, 0).batch_size == 100
    with pytest.raises(
        UserError, match=r"multiple of 8, training.accumulate_steps times 2 repl.*96"
    ):
        make_plan(config, 1000, 0, num_replicas=2)
    auto = TrainingConfig(accumulate_steps=3)
    assert make_plan(auto, 1000, 0, num_replicas=2).batch_size == 30  # 32, cut to 6 equal parts
