import pytest

from trainer.jobs.stopping import (
    MIN_ENDED_TRIALS,
    Measurement,
    add_measurements,
    is_below_median,
    parse_measurements,
    select,
)


def curve(*values, seconds=1.0):
    """Values at steps 1, 2, ..., `seconds` apart."""
    return [Measurement(step, step * seconds, value) for step, value in enumerate(values, 1)]


def test_reports_are_read_in_order_with_seconds_since_the_start():
    text = (
        '{"checkpoint_path": "", "global_step": "10", "timestamp": 101.5, "trial": "1", "m": "2"}\n'
        '{"global_step": "5", "timestamp": 103.0, "trial": "1", "m": "1e-3"}\n'
    )

    assert parse_measurements(text, "m", started=100.0) == [
        Measurement(10, 1.5, 2.0),
        Measurement(5, 3.0, 0.001),
    ]
    assert [m.seconds for m in parse_measurements(text, "m", started=102.0)] == [0.0, 1.0]


@pytest.mark.parametrize(
    "line",
    [
        "",
        '{"global_step": "1", "timestamp": 1.0, "m": "0.',
        '{"global_step": "1", "timestamp": 1.0, "other": "0.5"}',
        '{"m": "nan"}',
        '{"m": "inf"}',
        '{"m": null}',
        '{"m": "1", "global_step": "inf"}',
        '["m"]',
        "7",
        "\x00\x00",
    ],
)
def test_lines_without_a_usable_report_are_passed_over(line):
    good = '{"global_step": "3", "timestamp": 9.0, "m": "0.5"}'

    assert parse_measurements(f"{good}\n{line}", "m", 0.0) == [Measurement(3, 9.0, 0.5)]
    assert parse_measurements(f"{line}\n{good}", "m", 0.0) == [Measurement(3, 9.0, 0.5)]


def test_every_prefix_of_a_file_gives_a_prefix_of_its_reports():
    text = "".join(
        f'{{"global_step": "{i}", "timestamp": {i}.5, "m": "{i / 8}"}}\n' for i in range(5)
    )
    whole = parse_measurements(text, "m", 0.0)

    for length in range(len(text)):
        found = parse_measurements(text[:length], "m", 0.0)
        assert found == whole[: len(found)]
        assert len(found) >= text[:length].count("\n")


def test_file_that_dropped_old_reports_or_repeats_them_adds_only_new_ones():
    first = [Measurement(1, 1.0, 5.0), Measurement(2, 2.0, 4.0)]
    again = [Measurement(2, 9.0, 4.0), Measurement(3, 10.0, 3.0)]

    assert add_measurements(first, again) == [*first, Measurement(3, 10.0, 3.0)]


@pytest.mark.parametrize(
    ("selection", "maximize", "value"),
    [("last", False, 3.0), ("last", True, 3.0), ("best", False, 2.0), ("best", True, 5.0)],
)
def test_last_or_best_measurement_counts(selection, maximize, value):
    chosen = select(curve(5.0, 2.0, 3.0), selection, maximize=maximize)

    assert chosen is not None and chosen.value == value


def test_no_measurement_is_none_and_of_equals_the_first_counts():
    assert select([], "best", maximize=True) is None
    assert select([], "last", maximize=True) is None
    assert select(curve(2.0, 1.0, 1.0), "best", maximize=False) == Measurement(2, 2.0, 1.0)


# Means of what was reported up to step 2: 2, 4, 6, 8, 10; their median is 6.
ENDED = [curve(mean + 1, mean - 1, 0.0) for mean in (2.0, 4.0, 6.0, 8.0, 10.0)]


@pytest.mark.parametrize(
    ("values", "minimized", "maximized"),
    [
        ((9.0, 6.5), True, False),
        ((6.5, 9.0), True, False),
        ((9.0, 6.0), False, False),  # strictly worse: 6 is not
        ((9.0, 5.5), False, False),
        ((5.5, 5.0), False, True),
        ((5.5, 6.0), False, False),
        ((6.5, 5.0), False, False),
    ],
)
def test_best_value_is_compared_with_the_median_of_the_means(values, minimized, maximized):
    assert is_below_median(curve(*values), ENDED, maximize=False) == minimized
    assert is_below_median(curve(*values), ENDED, maximize=True) == maximized


def test_only_what_was_reported_up_to_the_same_step_counts():
    at_step_1 = curve(7.5)  # against 3, 5, 7, 9, 11
    at_step_3 = curve(7.5, 7.5, 4.5)  # against means 4/3, 8/3, 4, 16/3, 20/3

    assert is_below_median(at_step_1, ENDED, maximize=False)
    assert not is_below_median(curve(7.0), ENDED, maximize=False)
    assert is_below_median(at_step_3, ENDED, maximize=False)
    assert not is_below_median(curve(7.5, 7.5, 3.9), ENDED, maximize=False)


def test_elapsed_seconds_may_be_compared_instead_of_steps():
    # 2 s a step against 1 s: at step 1, those that ended are compared as of their step 2.
    slow = [Measurement(1, 2.0, 6.5)]

    assert is_below_median(slow, ENDED, maximize=False, by_seconds=True)  # median 6
    assert not is_below_median(slow, ENDED, maximize=False)  # median 7


def test_too_few_ended_trials_stop_nothing():
    assert len(ENDED) == MIN_ENDED_TRIALS
    assert not is_below_median(curve(99.0), ENDED[1:], maximize=False)
    assert not is_below_median([], ENDED, maximize=False)
    # Trials that have reported nothing yet at that time are no comparison.
    late = [[Measurement(7, 7.0, 1.0)]] * 5
    assert not is_below_median(curve(99.0), late, maximize=False)
