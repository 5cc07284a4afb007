"""What can be wrong with training, told from its history: each rule gives a finding or None.

Where a threshold comes from a measurement, it is that of tests/ill_runs.py: healthy runs of five
seeds stay below it by a factor of 2 or more, the planted illness lies above. No TensorFlow.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from trainer.insight.illness import Case, Finding, shares_text

# Evaluations that a trend needs.
LEAST_EVALUATIONS = 4
# Mean loss up to the first evaluation over that of the constant: sound runs have at most 1.4, as
# random weights add to it, those of a hundred times the rate 12 and more.
WORSE_THAN_CONSTANT = 3.0
# Of the end of training over its best, and median change from evaluation to evaluation; both only
# where they are more than so much of the loss of the constant.
RISING_LOSS, ERRATIC_LOSS, MATERIAL = 1.2, 0.2, 0.05
# Of the whole fall of the loss, the part of the last quarter of the budget, and of the loss itself:
# a straight line has 0.25; sound runs had at most 0.03, a rate of a fiftieth 0.2.
FALLING_LOSS, LEAST_FALL = 0.1, 0.02
# Source: features.md 54, as of the canned estimator's fraction_of_zero_values.
DEAD, NEARLY_ALL_DEAD = 0.5, 0.9
# Of |gradient| |weights| of a layer over the loss of the constant: by how much the loss changes as
# the weights do, whatever the units of the label. Sound runs had at most 10.
EXPLODING = 1e3
# The same of the first hidden layer over the last one: sound towers had 0.5 to 5, eight layers of
# sigmoids 0.0003.
VANISHING = 1e-2
# Of the monitored metric over its best, while the training loss fell by `OVERFITTED_LOSS`.
OVERFITTING, OVERFITTED_LOSS = 1.1, 0.8
# Source: TensorBoard's input pipeline analysis calls 20 % of a step highly input-bound.
INPUT_BOUND, HIGHLY_INPUT_BOUND = 0.2, 0.5
LEAST_WAITING_SECONDS = 0.5


def learning_rate_too_high(case: Case) -> Finding | None:
    """Training begins by making things worse, or its loss rises again, or jumps up and down."""
    losses, material = case.losses, MATERIAL * case.constant_loss
    if len(losses) < LEAST_EVALUATIONS:
        return None
    smooth = _smooth(losses)
    start, rise = losses[0] / case.constant_loss, smooth[-1] - min(smooth)
    pairs = list(itertools.pairwise(losses))[len(losses) // 2 :]
    jump = statistics.median(abs(b - a) for a, b in pairs)
    ups = sum(b > a for a, b in pairs) / len(pairs)
    if start > WORSE_THAN_CONSTANT:
        evidence = f"the loss up to the first evaluation is {start:.3g} times that of the constant"
    elif rise > max(material, (RISING_LOSS - 1) * min(smooth)):
        evidence = f"the training loss ends at {smooth[-1]:.4g}, after {min(smooth):.4g}"
    elif jump > max(material, ERRATIC_LOSS * statistics.median(losses)) and ups >= 0.25:
        evidence = f"the training loss jumps up and down by {jump:.4g} between evaluations"
    else:
        return None
    return Finding(
        "learning rate too high",
        "alarm",
        evidence,
        f"divide {_rates(case)} by 10, or set optimizer.clip_norm, or schedule and warmup_steps",
    )


def learning_rate_too_low(case: Case) -> Finding | None:
    """The budget ended while the loss still fell."""
    losses = case.losses
    if len(losses) < LEAST_EVALUATIONS or case.stopped_by != "budget":
        return None
    smooth = _smooth(losses)
    whole = losses[0] - smooth[-1]
    fall = smooth[-1 - max(1, len(smooth) // 4)] - smooth[-1]
    if whole <= 0 or fall < max(FALLING_LOSS * whole, LEAST_FALL * losses[-1]):
        return None
    return Finding(
        "learning rate too low",
        "warning",
        f"{fall / whole:.0%} of the whole fall of the loss is that of the last quarter of the "
        "budget: it has not settled",
        f"multiply {_rates(case)} by 3 to 10, or train longer (training.epochs, training.steps)",
    )


def dead_units(case: Case) -> Finding | None:
    """Hidden units that are 0 for every row: they learn nothing any more."""
    dead = {layer["name"]: layer["dead"][-1] for layer in _layers(case, "dead")}
    ill = {name: share for name, share in dead.items() if share >= DEAD}
    if not ill:
        return None
    return Finding(
        "dead units",
        "alarm" if max(ill.values()) >= NEARLY_ALL_DEAD else "warning",
        f"units that are 0 for all sampled rows: {shares_text(ill)}; half are too many",
        "lower optimizer.deep_learning_rate, or set model.activation to leaky_relu or elu, or "
        "model.normalization to batch or layer",
    )


def exploding_gradients(case: Case) -> Finding | None:
    """The loss is so steep that no step fits."""
    steep = {name: max(values) for name, values in _relative_gradients(case).items()}
    if not steep or max(steep.values()) < EXPLODING:
        return None
    name = max(steep, key=lambda layer: steep[layer])
    return Finding(
        "exploding gradients",
        "alarm",
        f"gradient times weights of {name} is {steep[name]:.3g} times the loss of the constant; "
        f"from {EXPLODING:.0f} on no step size fits",
        "set optimizer.clip_norm to 1, model.normalization to batch or layer, use fewer "
        "model.hidden_units layers, or lower optimizer.deep_learning_rate",
    )


def vanishing_gradients(case: Case) -> Finding | None:
    """The first layers do not learn."""
    relative = _relative_gradients(case)
    hidden = [name for name in relative if name[0] == "h" and name[1:].isdigit()]
    if len(hidden) < 2:
        return None
    first, last = relative[hidden[0]], relative[hidden[-1]]
    ratio = statistics.median(a / b if b > 0 else 1.0 for a, b in zip(first, last, strict=True))
    if ratio > VANISHING:
        return None
    return Finding(
        "vanishing gradients",
        "warning",
        f"the relative gradient of {hidden[0]} is {ratio:.2g} of that of {hidden[-1]}; below "
        f"{VANISHING:g} the first layers stand still",
        "set model.activation to relu, elu or gelu, model.residual to true, model.normalization to "
        "layer, or use fewer model.hidden_units layers",
    )


def overfitting(case: Case) -> Finding | None:
    """Validation got worse while the training loss fell on."""
    name = f"val_{case.monitor}"
    values = [float(record[name]) for record in case.history if name in record]
    steps = [record["step"] for record in case.history]
    if not values or len(values) < len(steps):
        return None
    best = (max if case.maximize else min)(values)
    kept = values.index(best)
    last = statistics.median(values[-3:]) if len(values) - kept > 3 else values[-1]
    fall = case.losses[-1] / case.losses[kept] if case.losses[kept] > 0 else 1.0
    # Of what is to be large, such as AUC, what lacks to 1 counts.
    worse = (1 - last) / (1 - best) if case.maximize and best < 1 else last / best if best else 1.0
    if worse < OVERFITTING or fall > OVERFITTED_LOSS:
        return None
    kept_text = (
        "the weights of the best one are kept"
        if case.config.training.keep_weights == "best"
        else "the last weights are kept"
    )
    return Finding(
        "overfitting",
        "warning",
        f"since the best evaluation (step {steps[kept]}) {case.monitor} went from {best:.4g} to "
        f"{last:.4g} while the training loss fell by {1 - fall:.0%}; {kept_text}",
        "raise model.dropout, optimizer.weight_decay or wide_l2, use smaller model.hidden_units or "
        "fewer bins of crosses, set training.patience, or give more rows",
    )


def input_bound(case: Case) -> Finding | None:
    """Training waits for its rows."""
    share, seconds = case.health.get("input_bound", 0.0), case.health.get("seconds", {})
    if share < INPUT_BOUND or seconds.get("waiting", 0.0) < LEAST_WAITING_SECONDS:
        return None
    return Finding(
        "input-bound",
        "alarm" if share >= HIGHLY_INPUT_BOUND else "warning",
        f"{share:.0%} of the time of training was spent waiting for rows; {INPUT_BOUND:.0%} are "
        "too much",
        "keep rows encoded: data.storage auto with a larger data.memory_budget_mb or "
        "disk_budget_mb, a local data.scratch_dir; or write Parquet, or larger batches "
        "(training.batch_size)",
    )


RULES = (
    learning_rate_too_high,
    learning_rate_too_low,
    dead_units,
    exploding_gradients,
    vanishing_gradients,
    overfitting,
    input_bound,
)


def _layers(case: Case, measure: str) -> list[dict[str, Any]]:
    return [layer for layer in case.health.get("layers", ()) if measure in layer]


def _relative_gradients(case: Case) -> dict[str, list[float]]:
    """|gradient| |weights| over the loss of the constant, by layer of the deep part."""
    return {
        layer["name"]: [
            gradient * weight / case.constant_loss
            for gradient, weight in zip(layer["gradient_norm"], layer["weight_norm"], strict=True)
        ]
        for layer in _layers(case, "gradient_norm")
        if layer["name"] != "wide" and "weight_norm" in layer
    }


def _smooth(losses: Sequence[float]) -> list[float]:
    """Medians of three neighbours: one odd interval, or a short last one, is no trend."""
    return [statistics.median(losses[i : i + 3]) for i in range(len(losses) - 2)]


def _rates(case: Case) -> str:
    last = case.history[-1]
    return (
        f"optimizer.deep_learning_rate ({last['deep_learning_rate']:.3g}) and wide_learning_rate "
        f"({last['wide_learning_rate']:.3g})"
    )
