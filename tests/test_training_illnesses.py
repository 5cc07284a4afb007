"""trainer.insight.training_illnesses: each rule on both sides of its line."""

import pytest
from sick_histories import SOUND, case

from trainer.insight import training_illnesses as rules


def layers(gradient, weight=1.0, **more):
    """Gradient and weight norms by layer."""
    norms = {f"gradient_norm/{name}": value for name, value in gradient.items()}
    return {**norms, **{f"weight_norm/{name}": weight for name in gradient}, **more}


def names(found):
    return [finding.illness for rule in rules.RULES if (finding := rule(found)) is not None]


def test_a_sound_run_has_none():
    norms = layers({"h1": 0.2, "h2": 0.1, "output": 0.1}, 8.0, **{"dead/h1": 0.1, "zeros/h1": 0.9})
    values = [2 * loss for loss in SOUND]
    assert names(case(values=values, layers=norms)) == []


@pytest.mark.parametrize(
    ("losses", "evidence"),
    [
        ([3.1, 0.5, 0.4, 0.4], "first evaluation is 3.1 times that of the constant"),
        ([1.0, 0.5, 0.4, 0.4, 0.4, 0.7, 0.8, 0.9], "ends at 0.8, after 0.4"),
        ([1.0, 0.5, 0.8, 0.5, 0.8, 0.5, 0.8, 0.5], "jumps up and down by 0.3 "),
    ],
)
def test_a_loss_that_is_worse_than_the_constant_or_rises_or_jumps(losses, evidence):
    found = rules.learning_rate_too_high(case(losses))
    assert (found.illness, found.severity) == ("learning rate too high", "alarm")
    assert evidence in found.evidence
    assert "optimizer.deep_learning_rate (0.001)" in found.advice


@pytest.mark.parametrize(
    "losses",
    [
        [1.4, 0.5, 0.4, 0.41, 0.42, 0.43],
        # Twice as much, but of a hundredth of where it began.
        [1.0, 0.1, 0.01, 0.01, 0.01, 0.02, 0.02, 0.02],
    ],
)
def test_a_loss_that_ends_a_little_higher_is_no_rise(losses):
    assert rules.learning_rate_too_high(case(losses)) is None


def test_a_budget_that_ends_in_the_fall():
    falling = [1.0 - 0.05 * i for i in range(10)]
    # Medians of three from 0.95 to 0.6; a quarter of these eight are two.
    found = rules.learning_rate_too_low(case(falling, stopped_by="budget"))
    assert f"{0.1 / 0.4:.0%} of the whole fall" in found.evidence
    assert rules.learning_rate_too_low(case(falling, stopped_by="patience")) is None
    assert rules.learning_rate_too_low(case(SOUND, stopped_by="budget")) is None


@pytest.mark.parametrize(("share", "severity"), [(0.49, None), (0.5, "warning"), (0.9, "alarm")])
def test_dead_units_are_those_of_the_last_look(share, severity):
    dead = [1.0] * (len(SOUND) - 1) + [share]
    found = rules.dead_units(case(layers={"dead/h1": 0.0, "dead/h2": dead}))
    assert (found and found.severity) == severity
    if found:
        assert f"h2 {share:.0%};" in found.evidence


def test_of_many_dead_layers_four_are_named():
    found = rules.dead_units(case(layers={f"dead/h{i}": 0.6 for i in range(1, 8)}))
    assert "h3 60%, h4 60% and 3 more;" in found.evidence


def test_gradients_explode_relative_to_the_loss():
    assert rules.exploding_gradients(case(layers=layers({"h1": 99.0}, 10.0))) is None
    norms = layers({"h1": 5000.0, "h2": 1.0}, 10.0)
    found = rules.exploding_gradients(case(layers=norms, constant_loss=0.5))
    assert "h1 is 1e+05 times the loss of the constant" in found.evidence
    # The wide part starts at 0 and is no matter of depth.
    assert rules.exploding_gradients(case(layers=layers({"wide": 1e9}))) is None


def test_gradients_vanish_towards_the_first_layer():
    assert rules.vanishing_gradients(case(layers=layers({"h1": 0.02, "h2": 1.0}))) is None
    found = rules.vanishing_gradients(case(layers=layers({"h1": 1e-5, "h2": 0.5, "h3": 1.0})))
    assert "h1 is 1e-05 of that of h3" in found.evidence
    assert rules.vanishing_gradients(case(layers=layers({"h1": 1e-9}))) is None


def test_validation_that_gets_worse_while_the_loss_falls():
    losses = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    values = [1.0, 0.9, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05]
    found = rules.overfitting(case(losses, values, kept_step=30))
    assert "(step 30) rmse went from 0.8 to 1 while the training loss fell by 83%" in found.evidence
    assert "the weights of the best one are kept" in found.evidence
    assert rules.overfitting(case([1.0] * 8, values, kept_step=30)) is None
    assert rules.overfitting(case(losses, [0.8] * 8, kept_step=10)) is None


def test_of_an_auc_what_lacks_to_1_counts():
    losses = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    values = [0.8, 0.9, 0.9, 0.89, 0.88, 0.88, 0.88, 0.88]
    options = {"layers": {"val_auc": values}, "monitor": "auc", "maximize": True}
    assert "auc went from 0.9 to 0.88" in rules.overfitting(case(losses, **options)).evidence
    options["layers"] = {"val_auc": [0.9] * 3 + [0.895] * 5}
    assert rules.overfitting(case(losses, **options)) is None


@pytest.mark.parametrize(
    ("share", "waited", "severity"),
    [(0.19, 9.0, None), (0.2, 9.0, "warning"), (0.5, 9.0, "alarm"), (0.9, 0.4, None)],
)
def test_waiting_for_rows(share, waited, severity):
    health = {"input_bound": share, "seconds": {"training": 10.0, "waiting": waited}}
    found = rules.input_bound(case(health=health))
    assert (found and found.severity) == severity
