"""trainer.insight.illness: what a case knows of itself."""

from sick_histories import case


def test_a_case_has_its_losses_and_the_held_out_metrics():
    sound = case([3.0, 2.0])
    assert sound.losses == [3.0, 2.0]
    assert sound.held_out["rmse"] == 0.3
    assert case(metrics={}).held_out == {}
