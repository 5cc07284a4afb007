"""Expected values: the closed forms, evaluated in Python by hand-written steps."""

import math

import pytest
import tensorflow as tf

from trainer.errors import UserError
from trainer.optimizer_config import OptimizerConfig
from trainer.schedules import check_schedule, rate_factor


def _factor(step: int, total_steps: int | None = 110, **options) -> float:
    return float(rate_factor(OptimizerConfig(**options), tf.constant(step, tf.int64), total_steps))


def test_without_options_the_factor_is_one_at_every_step():
    assert [_factor(step, None) for step in (0, 1, 10**9)] == [1.0, 1.0, 1.0]


def test_warmup_rises_in_equal_parts_and_never_starts_at_zero():
    factors = [_factor(step, warmup_steps=4) for step in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (25, 0.853553), (50, 0.5), (100, 0.0), (1000, 0.0)]
)
def test_cosine_follows_half_a_wave_over_its_decay_steps(step, expected):
    assert _factor(step, schedule="cosine", decay_steps=100) == pytest.approx(expected, abs=1e-6)


def test_cosine_without_decay_steps_ends_with_the_run_after_the_warmup():
    options = {"schedule": "cosine", "warmup_steps": 10}
    assert _factor(10, **options) == pytest.approx(1.0)
    assert _factor(60, **options) == pytest.approx(0.5)
    assert _factor(109, **options) == pytest.approx((1 + math.cos(math.pi * 0.99)) / 2, abs=1e-6)
    assert _factor(110, **options) == pytest.approx(0.0, abs=1e-7)
    assert _factor(4, **options) == pytest.approx(0.5), "the course starts after the warm-up"


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (50, 0.5), (100, 0.25), (200, 0.0625)])
def test_exponential_multiplies_by_the_decay_rate_per_decay_steps(step, expected):
    factor = _factor(step, schedule="exponential", decay_steps=100, decay_rate=0.25)
    assert factor == pytest.approx(expected, rel=1e-6)


def test_exponential_without_decay_steps_reaches_the_decay_rate_at_the_end():
    assert _factor(110, schedule="exponential", decay_rate=0.3) == pytest.approx(0.3, rel=1e-6)


def test_a_run_shorter_than_its_warmup_has_finite_rates():
    factors = [_factor(step, 3, schedule="cosine", warmup_steps=5) for step in range(3)]
    assert factors == pytest.approx([0.2, 0.4, 0.6])


def test_a_course_over_the_whole_run_needs_a_number_of_steps():
    with pytest.raises(
        UserError, match=r"optimizer.schedule cosine needs .* optimizer.decay_steps"
    ):
        check_schedule(OptimizerConfig(schedule="cosine"), None)
    check_schedule(OptimizerConfig(schedule="cosine", decay_steps=5), None)
    check_schedule(OptimizerConfig(), None)


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (25, 0.75), (100, 0.0), (1000, 0.0)])
def test_linear_falls_by_equal_parts_to_zero(step, expected):
    assert _factor(step, schedule="linear", decay_steps=100) == pytest.approx(expected, abs=1e-6)
    late = _factor(step + 8, schedule="linear", decay_steps=100, warmup_steps=8)
    assert late == pytest.approx(expected, abs=1e-6)


def test_linear_without_decay_steps_ends_with_the_run():
    options = {"schedule": "linear", "warmup_steps": 10}
    assert [_factor(step, **options) for step in (60, 110)] == pytest.approx([0.5, 0.0])


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (99, 1.0), (100, 0.5), (199, 0.5), (300, 0.125)]
)
def test_staircase_multiplies_at_each_stair(step, expected):
    assert _factor(step, None, schedule="staircase", decay_steps=100, decay_rate=0.5) == expected


@pytest.mark.parametrize("step", [0, 1, 99, 100, 400, 10_000])
def test_inverse_sqrt_of_the_warmup_is_that_of_the_transformer(step):
    """Up to a constant min(s**-.5, s * w**-1.5), with s counted from 1."""
    w, s = 100, step + 1
    got = _factor(step, None, schedule="inverse_sqrt", warmup_steps=w)
    # Ours begins to fall one step later: at step w, not at step number w.
    assert got == pytest.approx(w**0.5 * min(s**-0.5, s * w**-1.5), rel=6e-3)
    assert got == pytest.approx(min((step + 1) / w, max(step / w, 1) ** -0.5), rel=1e-6)


def test_inverse_sqrt_is_half_after_three_decay_steps():
    options = {"schedule": "inverse_sqrt", "decay_steps": 50}
    assert _factor(150, None, **options) == pytest.approx(0.5)
    assert _factor(152, None, warmup_steps=2, **options) == pytest.approx(0.5)
