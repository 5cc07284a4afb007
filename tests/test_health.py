"""trainer.insight.health: the section, from a history by hand."""

import pytest
from sick_histories import records

from trainer.insight.health import health_of


def test_layers_are_lists_over_the_evaluations_that_looked():
    layers = {
        "dead/h1": [0.0, 0.25, 0.5],
        "zeros/h1": [0.3, 0.4, 0.5],
        "gradient_norm/h1": [3.0, 2.0, 1.0],
        "weight_norm/h1": [5.0, 6.0, 7.0],
        "gradient_norm/wide": [0.3, 0.2, 0.1],
        "weight_norm/wide": [0.0, 1.0, 2.0],
    }
    history = records([3.0, 2.0, 1.0], **layers)
    # The second evaluation did not look.
    history[1] = {name: value for name, value in history[1].items() if "/" not in name}

    found = health_of(history)

    assert found["steps"] == [10, 30]
    assert found["layers"] == [
        {
            "name": "h1",
            "dead": [0.0, 0.5],
            "zeros": [0.3, 0.5],
            "gradient_norm": [3.0, 1.0],
            "weight_norm": [5.0, 7.0],
        },
        {"name": "wide", "gradient_norm": [0.3, 0.1], "weight_norm": [0.0, 2.0]},
    ]
    assert "note" not in found


def test_time_counts_from_the_first_evaluation():
    history = records([1.0, 1.0, 1.0])
    history[0] |= {"seconds": 9.0, "waiting_seconds": 8.0}
    history[2] |= {"seconds": 13.0, "waiting_seconds": 9.0}
    found = health_of(history)
    assert found["input_bound"] == pytest.approx((9 - 8) / (13 - 9))
    assert found["examples_per_second"] == pytest.approx(160 / 4)
    assert found["seconds"] == {"training": 13.0, "waiting": 9.0}


def test_of_one_evaluation_all_time_counts():
    found = health_of(records([1.0]))
    assert found["input_bound"] == pytest.approx(0.05)
    assert found["examples_per_second"] == pytest.approx(40)
    assert found["steps"] == []


def test_parameter_servers_leave_a_note():
    assert "parameter servers" in health_of(records([1.0], **{"dead/h1": 0.0}))["note"]
