"""trainer.insight.curves: the history by column."""

from types import SimpleNamespace

from trainer.insight import curves
from trainer.loop import RunState


def produce(history, kept_step):
    return curves.produce(SimpleNamespace(state=RunState(history=history, kept_step=kept_step)))


def test_history_by_column_with_gaps_where_a_record_lacks_a_metric():
    history = [{"step": 5, "loss": 2.0}, {"step": 10, "loss": 1.0, "val_auc": 0.75, "dead/h1": 0.5}]
    assert produce(history, 10) == {
        "curves": {"step": [5, 10], "loss": [2.0, 1.0], "val_auc": [None, 0.75], "kept_step": 10}
    }
    assert produce([], 0) == {}


def test_of_many_evaluations_the_kept_and_the_last_stay():
    found = produce([{"step": i, "loss": float(i)} for i in range(1, 1007)], kept_step=500)
    steps = found["curves"]["step"]
    # 336 evaluations by threes, from 1 to 1006, and step 500 between 499 and 502.
    assert steps == sorted([*range(1, 1007, 3), 500])
    assert found["curves"]["loss"] == [float(step) for step in steps]
