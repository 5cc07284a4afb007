"""trainer.insight.doctor: planted illnesses are named, sound runs have none.

Of five seeds: `pytest -m slow tests/test_doctor.py`; what the runs looked like:
`python tests/ill_runs.py`.
"""

import numpy as np
import pytest
from ill_runs import PLANTED, examine, healthy, slow_input
from sick_histories import SOUND, case

from trainer.insight.doctor import diagnose, find_repeats


def illnesses(report):
    return [finding["illness"] for finding in report["doctor"]]


def test_findings_come_worst_first():
    ill = case(
        [1.0 - 0.05 * i for i in range(10)],
        layers={"dead/h1": 0.95},
        stopped_by="budget",
        metrics={"validation": {"rmse": 0.6, "mean_label": 0.9, "num_rows": 1000}},
    )
    found = [(finding.severity, finding.illness) for finding in diagnose(ill)]
    assert found == [
        ("alarm", "dead units"),
        ("alarm", "constant prediction"),
        ("warning", "learning rate too low"),
        ("warning", "train/validation mismatch"),
    ]
    assert diagnose(case(SOUND)) == []


def test_repeats_are_pooled_variances():
    rng = np.random.default_rng(1)
    groups = [rng.normal(size=size) for size in (1, 2, 5, 9)]
    keys = np.repeat([7, 1, 9, 4], [1, 2, 5, 9])
    label, prediction = np.concatenate(groups), np.full(17, 0.25)

    found = find_repeats(keys, label, prediction)

    free = [len(group) - 1 for group in groups]
    pooled = sum(np.var(group, ddof=1) * n for group, n in zip(groups, free, strict=True) if n)
    assert found.num_free == sum(free)
    assert found.share == pytest.approx(16 / 17)
    assert found.variance == pytest.approx(pooled / sum(free))
    assert found.error == pytest.approx(np.mean((label[1:] - 0.25) ** 2))
    assert find_repeats(np.arange(3), np.zeros(3), np.zeros(3)) is None


def test_a_sound_run_has_none_and_an_ill_one_its_illness(tmp_path):
    assert illnesses(examine(*healthy(0), tmp_path / "sound")) == []
    tables, values = PLANTED["label noise floor reached"]
    found = illnesses(examine(tables(), values, tmp_path / "ill"))
    assert found == ["label noise floor reached"]


@pytest.mark.slow
@pytest.mark.parametrize("illness", PLANTED)
def test_a_planted_illness_is_named(tmp_path, illness):
    tables, values = PLANTED[illness]
    assert illness in illnesses(examine(tables(), values, tmp_path / "run"))


@pytest.mark.slow
def test_waiting_for_rows_is_named(tmp_path):
    assert "input-bound" in illnesses(examine(*slow_input(tmp_path), tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_sound_run_has_none(tmp_path, seed):
    assert illnesses(examine(*healthy(seed), tmp_path / "run")) == []
