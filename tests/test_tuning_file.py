"""trainer.init.tuning_file: the study of configs/tuning_default.yaml for another table."""

from pathlib import Path

import pytest
import yaml

from trainer.init.tuning_file import tuning_text

ROOT = Path(__file__).parents[1]
DEFAULT = yaml.safe_load((ROOT / "configs/tuning_default.yaml").read_text())


def study(rows=100_000, task="regression", path="people.yaml"):
    return yaml.safe_load(tuning_text(path, "people.tuning.yaml", task, rows))


def test_it_is_the_default_study_but_for_the_config():
    ours, theirs = study(), yaml.safe_load(yaml.safe_dump(DEFAULT))
    spec = ours["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    assert spec.pop("args") == [
        "--config=gs://${BUCKET}/configs/people.yaml",
        "--baseline=constant",
        "--report=none",
    ]
    theirs["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"].pop("args")
    assert ours == theirs


def test_metric_is_that_of_the_task():
    assert study(task="binary")["studySpec"]["metrics"] == [
        {"metricId": "val_log_loss", "goal": "MINIMIZE"}
    ]


@pytest.mark.parametrize(("rows", "sizes"), [(5_000, [256, 512]), (353, None), (2_048, None)])
def test_batches_leave_eight_steps_in_an_epoch(rows, sizes):
    found = {p["parameterId"]: p for p in study(rows)["studySpec"]["parameters"]}
    spec = found.get("batch_size")
    assert (spec and spec["discreteValueSpec"]["values"]) == sizes


def test_a_config_in_a_bucket_is_named_as_it_is():
    args = study(path="gs://b/x/people.yaml")["trialJobSpec"]["workerPoolSpecs"][0]
    assert args["containerSpec"]["args"][0] == "--config=gs://b/x/people.yaml"
