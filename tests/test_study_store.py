import json
import sys

import pytest

from trainer.errors import UserError
from trainer.jobs import study_store
from trainer.jobs.search_space import Parameter, grid
from trainer.jobs.stopping import Measurement
from trainer.jobs.study import Study
from trainer.jobs.study_store import StudyStore
from trainer.jobs.trials import Trial

pytest.importorskip("optuna")
pytestmark = pytest.mark.usefixtures("no_fsync")


SPACE = (
    Parameter("x", "x", "double", low=-1.0, high=2.0),
    Parameter(
        "kind",
        "kind",
        "categorical",
        choices=("a", "b"),
        children=(Parameter("n", "kind=b/n", "integer", low=1.0, high=9.0, parent_values=("b",)),),
    ),
    Parameter("size", "size", "discrete", choices=(64.0, 128.0, 256.0)),
)


def study_of(algorithm="tpe", parameters=SPACE, **fields):
    return Study({"m": "MINIMIZE"}, parameters, algorithm, max_trials=20, **fields)


def objective(point):
    return (point["x"] - 0.5) ** 2 + (point["kind"] == "a") + abs(point.get("n", 5) - 5)


def tell(store, trial_id, point, state="SUCCEEDED"):
    value = objective(point)
    store.tell(
        Trial(str(trial_id), state, point, {"m": value}, steps=3, seconds=1.5),
        [Measurement(3, 1.0, value)],
    )


def run(store, num_trials):
    """The points of the next trials, each told of before the next is asked for."""
    points = []
    for _ in range(num_trials):
        trial_id, point = store.ask()
        tell(store, trial_id, point)
        points.append(point)
    return points


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_points_depend_on_the_seed_alone(tmp_path, algorithm):
    points = {
        (name, seed): run(StudyStore(study_of(algorithm), tmp_path / f"{name}{seed}", seed), 8)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    }

    assert points["a", 0] == points["b", 0] != points["c", 1]
    assert len({str(point) for point in points["a", 0]}) == 8


@pytest.mark.parametrize("algorithm", ["tpe", "random", "grid"])
def test_study_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path, algorithm):
    parameters = SPACE[1:]
    whole = study_of(algorithm, tuple(parameters))

    def value(point):
        return {"x": 0.0, **point}

    def go(store, num_trials):
        points = []
        for _ in range(num_trials):
            trial_id, point = store.ask()
            tell(store, trial_id, value(point))
            points.append(point)
        return points

    expected = go(StudyStore(whole, tmp_path / "whole", 0), 12)

    found = []
    for num_trials in (1, 4, 7):
        found += go(StudyStore(whole, tmp_path / "cut", 0), num_trials)

    assert found == expected


def test_trial_that_was_cut_off_has_the_same_parameters(tmp_path):
    store = StudyStore(study_of(), tmp_path / "journal", 0)
    run(store, 2)
    asked = [store.ask(), store.ask()]

    again = StudyStore(study_of(), tmp_path / "journal", seed=5)

    assert again.unfinished() == asked
    assert [trial_id for trial_id, _ in asked] == [3, 4]
    tell(again, *asked[0])
    assert again.unfinished() == [asked[1]]
    assert again.num_asked() == 4


def test_trial_that_was_cut_off_while_its_point_was_made_gets_the_rest(tmp_path):
    store = StudyStore(study_of("random"), tmp_path / "cut", 0)
    _, point = store.ask()
    lines = (tmp_path / "cut").read_bytes().splitlines(keepends=True)
    of_point = [i for i, line in enumerate(lines) if b'"param_name":"kind"' in line]
    # Ends within the line that holds the second parameter.
    (tmp_path / "cut").write_bytes(b"".join(lines[: of_point[0]]) + lines[of_point[0]][:20])

    ((trial_id, completed),) = StudyStore(study_of("random"), tmp_path / "cut", 0).unfinished()

    assert (trial_id, completed["x"]) == (1, point["x"])
    assert {"x", "kind", "size"} <= set(completed)
    again = StudyStore(study_of("random"), tmp_path / "cut", 0)
    assert again.unfinished() == [(1, completed)]


def test_lock_of_a_killed_process_does_not_hold_up(tmp_path):
    run(StudyStore(study_of(), tmp_path / "journal", 0), 1)
    (tmp_path / "journal.lock").symlink_to(tmp_path / "journal")

    assert run(StudyStore(study_of(), tmp_path / "journal", 0), 1)


def test_trials_are_kept_as_they_were_told(tmp_path):
    trials = [
        Trial("1", "SUCCEEDED", {"x": 0.1, "kind": "a", "size": 64.0}, {"m": 1 / 3}, 9, 1.25),
        Trial("2", "STOPPED", {"x": 0.2, "kind": "a", "size": 64.0}, {"m": 2.0}, 4, 1.0, "below"),
        Trial("3", "INFEASIBLE", {"x": 0.3}, reason="error"),
    ]
    store = StudyStore(study_of(), tmp_path / "journal", 0)
    for trial in trials:
        store.ask()
        store.tell(trial, [Measurement(1, 0.5, 3.0)])

    again = StudyStore(study_of(), tmp_path / "journal", 0)

    assert again.ended() == trials
    assert again.curves() == [[Measurement(1, 0.5, 3.0)]] * 2
    lines = (tmp_path / "journal").read_text().splitlines()
    states = [json.loads(line).get("state") for line in lines]
    assert [s for s in states if s is not None] == [1, 2, 3]  # complete, pruned, failed


def test_grid_is_gone_through_in_order(tmp_path):
    parameters = SPACE[1:]
    store = StudyStore(study_of("grid", parameters), tmp_path / "journal", 0)

    points = [store.ask()[1] for _ in range(30)]

    expected = [{key.split("/")[-1]: v for key, v in point.items()} for point in grid(parameters)]
    assert points == expected
    assert len(points) == 3 * (1 + 9)


@pytest.mark.parametrize(
    ("scale", "median"),
    # Half of the values lie below: evenly spread values, logarithms, logarithms from the top.
    [("linear", 50.5), ("log", 10.0), ("reverse_log", 91.0)],
)
def test_random_values_are_spread_by_their_scale(tmp_path, scale, median):
    parameters = (Parameter("x", "x", "double", low=1.0, high=100.0, scale=scale),)
    store = StudyStore(study_of("random", parameters), tmp_path / "journal", 0)

    values = [store.ask()[1]["x"] for _ in range(101)]

    below = sum(value < median for value in values)
    assert 35 <= below <= 66  # 3 standard deviations of a fair coin
    assert min(values) >= 1.0 and max(values) <= 100.0


def test_maximizing_is_minimizing_the_negative(tmp_path):
    def points(goal, sign):
        study = Study({"m": goal}, SPACE, max_trials=20)
        store = StudyStore(study, tmp_path / goal, 0)
        found = []
        for _ in range(20):
            trial_id, point = store.ask()
            metrics = {"m": sign * objective(point)}
            store.tell(Trial(str(trial_id), "SUCCEEDED", point, metrics), [])
            found.append(point)
        return found

    assert points("MAXIMIZE", -1.0) == points("MINIMIZE", 1.0)


def test_missing_optuna_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(UserError, match=r"needs Optuna; pip install 'wide-and-deep-trainer\[loc"):
        study_store.import_optuna()
