"""trainer.sidecar: what an evaluator makes of the checkpoints that it finds."""

import json

import pytest
from tiny_table import make_config, make_program

from trainer.checkpoint import CheckpointFolder
from trainer.errors import Interrupted
from trainer.sidecar import follow_checkpoints


def test_each_new_checkpoint_is_evaluated_once_with_its_own_weights(tmp_path):
    chief = make_program(make_config())
    checkpoints = CheckpointFolder(str(tmp_path / "checkpoints"))
    evaluator = make_program(make_config())
    weight = chief.parameters[0].variable
    looks = iter([8, 8, 16])

    def is_over():
        """The chief saves beside the evaluator; the third look finds the run at its end."""
        step = next(looks)
        weight.assign(weight * 0 + step)
        for shadow in chief.average.shadows:
            shadow.assign(shadow * 0 + step)
        checkpoints.save(step, chief.checkpoint, {"step": step})
        return step == 16

    follow_checkpoints(
        evaluator,
        evaluate=lambda: {"rmse": float(evaluator.parameters[0].variable.numpy().flat[0])},
        checkpoints=checkpoints,
        records_path=str(tmp_path / "evaluator.jsonl"),
        log_dir=str(tmp_path / "logs"),
        is_over=is_over,
        check_chief=lambda: None,
        seconds_between_looks=0.0,
    )
    lines = (tmp_path / "evaluator.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 8, "val_rmse": pytest.approx(8)},
        {"step": 16, "val_rmse": pytest.approx(16)},
    ]
    assert list((tmp_path / "logs").rglob("events.*"))


def test_evaluator_ends_when_the_chief_stays_away(tmp_path):
    def check_chief():
        raise Interrupted("the chief has been away for 30 s")

    with pytest.raises(Interrupted, match="the chief has been away"):
        follow_checkpoints(
            make_program(make_config()),
            evaluate=dict,
            checkpoints=CheckpointFolder(str(tmp_path / "none")),
            records_path=str(tmp_path / "evaluator.jsonl"),
            log_dir=str(tmp_path / "logs"),
            is_over=lambda: False,
            check_chief=check_chief,
        )
