import itertools

import pytest

from trainer.jobs.search_space import (
    Parameter,
    decode,
    distribution,
    encode,
    flags,
    grid,
    grid_size,
    is_equal,
    walk,
)

optuna = pytest.importorskip("optuna")
from optuna.distributions import (  # noqa: E402
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


def parameter(kind, name="p", **fields):
    return Parameter(name, fields.pop("key", name), kind, **fields)


def child(name, parent_values, kind="double", **fields):
    return parameter(kind, name, parent_values=parent_values, **fields)


OPTIMIZER = parameter(
    "categorical",
    "optimizer",
    choices=("adam", "sgd", "ftrl"),
    children=(
        child("momentum", ("sgd",), low=0.0, high=0.9),
        child(
            "decay",
            ("adam", "sgd"),
            "discrete",
            choices=(0.0, 0.1),
            children=(child("power", (0.1,), "integer", low=1.0, high=2.0),),
        ),
    ),
)


@pytest.mark.parametrize(
    ("searched", "expected"),
    [
        (parameter("double", low=-1.0, high=2.0), FloatDistribution(-1.0, 2.0)),
        (
            parameter("double", low=1e-4, high=0.1, scale="log"),
            FloatDistribution(1e-4, 0.1, log=True),
        ),
        (
            parameter("double", low=0.5, high=0.999, scale="reverse_log"),
            FloatDistribution(0.5, 0.999, log=True),
        ),
        (parameter("double", low=2.0, high=2.0), FloatDistribution(2.0, 2.0)),
        (parameter("integer", low=-3.0, high=512.0), IntDistribution(-3, 512)),
        (parameter("integer", low=1.0, high=64.0, scale="log"), IntDistribution(1, 64, log=True)),
        (parameter("discrete", choices=(128.0, 256.0, 512.0), scale="log"), IntDistribution(0, 2)),
        (parameter("discrete", choices=(0.5,)), IntDistribution(0, 0)),
        (parameter("categorical", choices=("b", "a")), CategoricalDistribution(("b", "a"))),
    ],
)
def test_distribution_is_the_one_written_by_hand(searched, expected):
    assert distribution(searched) == expected


@pytest.mark.parametrize(
    ("searched", "coordinate", "value"),
    [
        (parameter("double", low=0.0, high=1.0), 0.25, 0.25),
        (parameter("double", low=1.0, high=100.0, scale="log"), 10.0, 10.0),
        # Evenly spread logarithms 1, 10, 100 lie densely near the top: 100, 91, 1.
        (parameter("double", low=1.0, high=100.0, scale="reverse_log"), 1.0, 100.0),
        (parameter("double", low=1.0, high=100.0, scale="reverse_log"), 10.0, 91.0),
        (parameter("double", low=1.0, high=100.0, scale="reverse_log"), 100.0, 1.0),
        (parameter("integer", low=1.0, high=64.0), 7, 7),
        (parameter("integer", low=1.0, high=64.0, scale="reverse_log"), 1, 64),
        (parameter("discrete", choices=(128.0, 256.0)), 1, 256.0),
        (parameter("categorical", choices=("adam", "sgd")), "sgd", "sgd"),
    ],
)
def test_coordinate_and_value_go_both_ways(searched, coordinate, value):
    assert decode(searched, coordinate) == value
    assert type(decode(searched, coordinate)) is type(value)
    assert encode(searched, value) == coordinate


def test_reverse_log_never_leaves_the_range():
    searched = parameter("double", low=0.1, high=0.3, scale="reverse_log")

    values = [decode(searched, coordinate) for coordinate in (0.1, 0.3, 0.10000000000000002)]

    assert all(0.1 <= value <= 0.3 for value in values)


def test_flags_are_written_as_the_service_sends_them():
    space = (
        parameter("double", "rate", low=0.0, high=1.0),
        parameter("double", "tiny", low=0.0, high=1.0),
        parameter("integer", "units", low=1.0, high=512.0),
        parameter("discrete", "batch_size", choices=(128.0, 256.0)),
        parameter("categorical", "hidden_units", choices=("64,32",)),
    )
    point = {
        "rate": 0.1, "tiny": 1e-07, "units": 64, "batch_size": 128.0, "hidden_units": "64,32"
    }  # fmt: skip

    assert flags(space, point) == [
        "--rate=0.1",
        "--tiny=1e-07",
        "--units=64",
        "--batch_size=128.0",
        "--hidden_units=64,32",
    ]


@pytest.mark.parametrize(
    ("chosen", "active"),
    [
        ({"optimizer": "ftrl"}, ["optimizer"]),
        ({"optimizer": "adam", "decay": 0.0}, ["optimizer", "decay"]),
        ({"optimizer": "adam", "decay": 0.1, "power": 2}, ["optimizer", "decay", "power"]),
        (
            {"optimizer": "sgd", "momentum": 0.5, "decay": 0.0},
            ["optimizer", "momentum", "decay"],
        ),
    ],
)
def test_inactive_parameters_are_not_asked_for_and_not_passed(chosen, active):
    asked = []

    def choose(searched):
        asked.append(searched.name)
        return chosen[searched.name]

    assert walk((OPTIMIZER,), choose) == chosen
    assert asked == active
    assert [text.split("=")[0] for text in flags((OPTIMIZER,), chosen)] == [
        f"--{name}" for name in active
    ]


def test_values_match_conditions_as_in_the_service():
    assert is_equal(0.1, 0.1 + 1e-11) and not is_equal(0.1, 0.1 + 1e-9)
    assert is_equal(3, 3.0)
    assert not is_equal("1", 1)


def test_grid_is_the_exact_product():
    space = (
        parameter("categorical", "a", choices=("x", "y")),
        parameter("integer", "b", low=-1.0, high=1.0),
        parameter("discrete", "c", choices=(0.5, 8.0)),
    )

    expected = [
        dict(zip("abc", values, strict=True))
        for values in itertools.product(("x", "y"), (-1, 0, 1), (0.5, 8.0))
    ]
    assert list(grid(space)) == expected
    assert grid_size(space) == 12


def test_grid_of_conditional_parameters_has_each_branch_once():
    optimizer = parameter(
        "categorical",
        "optimizer",
        choices=("adam", "sgd", "ftrl"),
        children=(child("m", ("sgd",), "discrete", choices=(0.0, 0.9)),),
    )
    space = (optimizer, parameter("integer", "n", low=1.0, high=2.0))

    assert list(grid(space)) == [
        {"optimizer": "adam", "n": 1},
        {"optimizer": "adam", "n": 2},
        {"optimizer": "sgd", "m": 0.0, "n": 1},
        {"optimizer": "sgd", "m": 0.0, "n": 2},
        {"optimizer": "sgd", "m": 0.9, "n": 1},
        {"optimizer": "sgd", "m": 0.9, "n": 2},
        {"optimizer": "ftrl", "n": 1},
        {"optimizer": "ftrl", "n": 2},
    ]
    assert grid_size(space) == 8


def test_size_of_a_huge_grid_is_known_without_making_it():
    space = tuple(parameter("integer", f"p{i}", low=1.0, high=1e6) for i in range(3))

    assert grid_size(space) == 10**18
    assert next(grid(space)) == {"p0": 1, "p1": 1, "p2": 1}
