"""Each option of the model and of the optimizers changes what it should and nothing else.

Two small programs per knob, one without and one with it, are the same but for it. Six things are
compared bit for bit; those that a knob names must differ, the others must be equal:

    shape    the names and shapes of the weights
    initial  the initial values of the weights that both have
    served   logits of the untrained model's weights, replaced by random ones, when predicting
    wide     weights of the wide part alone, after four steps
    deep     weights of the deep part alone, after four steps
    average  the moving averages of both
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny_network import randomize
from tiny_table import ROWS, make_config, make_features, make_program, make_rows

from trainer.config import parse_config
from trainer.model import train_and_evaluate
from trainer.model_config import ModelConfig
from trainer.optimizer_config import OptimizerConfig

SEEN = ("shape", "initial", "served", "wide", "deep", "average")
LEARNED = {"wide", "deep", "average"}
WIDE, DEEP = {"wide", "average"}, {"deep", "average"}


@dataclass(frozen=True)
class Knob:
    """An option and its effect.

    changes: of SEEN.
    proof: file and test that check the size of the effect against a second derivation.
    value: that is compared with the value of `base`, or with the default.
    base: other options, of both programs.
    task: of both programs.
    """

    changes: set[str]
    proof: str
    value: Any
    base: dict[str, Any] = field(default_factory=dict)
    task: str = "regression"


RULES, STEPS = "update_rules::", "optimizers::"
KERAS = RULES + "test_every_step_is_that_of_keras"
BOTH = STEPS + "test_both_branches_follow_the_formulas_with_equal_ids_merged"
RATES = STEPS + "test_learning_rates_are_the_configured_ones_times_the_schedule"
PENALTIES = RULES + "test_penalties_are_gradients_of_l1_and_l2_and_spare_biases_and_embeddings"
FTRL = RULES + "test_ftrl_at_a_constant_rate_is_tensorflows_kernel"
TOWER = "dense_tower::"
LOSSES = "objective::test_regression_losses_are_those_of_the_standardized_error"
SMOOTHING = "losses::test_smoothing_and_focus_are_those_of_keras"

MODEL = {
    "towers": Knob({"shape", "served"}, "network::test_logits_are_those_of_numpy", "wide"),
    "hidden_units": Knob(
        {"shape", "served", *DEEP}, "network::test_logits_are_those_of_numpy", [6, 5]
    ),
    "activation": Knob({"served", *DEEP}, "activations::test_an_activation_is_its_formula", "elu"),
    "normalization": Knob(
        {"shape", "served", *DEEP},
        TOWER + "test_batch_normalization_stands_before_the_activation",
        "batch",
    ),
    "batch_norm_momentum": Knob(
        {"deep"},
        "normalization::test_batches_and_moving_averages_are_those_of_keras",
        0.5,
        {"model": {"normalization": "batch"}},
    ),
    "residual": Knob(
        {"shape", "served", *DEEP},
        TOWER + "test_residuals_are_added_and_projected_where_widths_differ",
        True,
    ),
    "cross_layers": Knob(
        {"shape", "served", *DEEP},
        "cross_network::test_each_layer_multiplies_by_the_inputs",
        2,
    ),
    "cross_rank": Knob(
        {"shape", "served", *DEEP},
        "cross_network::test_each_layer_multiplies_by_the_inputs",
        3,
        {"model": {"cross_layers": 2}},
    ),
    "dropout": Knob(DEEP, "dropout::test_a_unit_is_kept_and_scaled_or_zero_by_its_bits", 0.3),
    "input_dropout": Knob(DEEP, "dropout::test_a_unit_is_kept_and_scaled_or_zero_by_its_bits", 0.3),
    "input_noise": Knob(
        DEEP, "noise::test_normal_numbers_have_the_moments_of_a_normal_distribution", 0.1
    ),
    # What an encoder is built with: here the features are given.
    "embedding_dim": Knob(
        set(), "features::test_a_default_width_holds_where_a_column_states_none", 4
    ),
    "output_offset": Knob(
        {"served", *LEARNED},
        "objective::test_plain_regression_starts_at_the_mean",
        "none",
        {"model": {"standardize_target": False}},
    ),
    "standardize_target": Knob(
        LEARNED,
        "objective::test_standardized_logits_become_values_again",
        False,
        {"model": {"output_offset": "none"}},
    ),
    "loss": Knob(LEARNED, LOSSES, "mae"),
    "huber_delta": Knob(LEARNED, LOSSES, 0.1, {"model": {"loss": "huber"}}),
    "focal_gamma": Knob(LEARNED, SMOOTHING, 1.0, {"model": {"loss": "focal"}}, "binary"),
    "label_smoothing": Knob(LEARNED, SMOOTHING, 0.1, task="binary"),
    "class_weights": Knob(
        LEARNED,
        "class_heads::test_yes_and_no_weigh_as_stated",
        {"1": 3.0},
        # Else the offset is that of the weighted rows.
        {"model": {"output_offset": "none"}},
        "binary",
    ),
}

OPTIMIZER = {
    "wide_optimizer": Knob(WIDE, BOTH, "adagrad"),
    "wide_learning_rate": Knob(WIDE, RATES, 0.01),
    "wide_l1": Knob(WIDE, FTRL, 0.1),
    "wide_l2": Knob(WIDE, FTRL, 0.1),
    "wide_l2_shrinkage": Knob(WIDE, FTRL, 0.1),
    "deep_optimizer": Knob(DEEP, BOTH, "adadelta"),
    "deep_learning_rate": Knob(DEEP, RATES, 0.01),
    "deep_l1": Knob(DEEP, PENALTIES, 0.1),
    "deep_l2": Knob(DEEP, PENALTIES, 0.1),
    "deep_l2_shrinkage": Knob(
        DEEP,
        RULES + "test_deep_shrinkage_is_that_of_ftrl_in_the_wide_part",
        0.1,
        {"optimizer": {"deep_optimizer": "ftrl"}},
    ),
    "wide_beta_1": Knob(WIDE, KERAS, 0.5, {"optimizer": {"wide_optimizer": "adam"}}),
    "wide_beta_2": Knob(WIDE, KERAS, 0.5, {"optimizer": {"wide_optimizer": "adam"}}),
    "deep_beta_1": Knob(DEEP, RULES + "test_betas_are_of_their_part", 0.5),
    "deep_beta_2": Knob(DEEP, KERAS, 0.5),
    "weight_decay": Knob(
        DEEP, RULES + "test_first_adamw_step_is_the_rate_times_the_sign_and_the_decay", 0.3
    ),
    "momentum": Knob(
        DEEP,
        RULES + "test_momentum_is_the_geometric_sum_of_the_gradients",
        0.5,
        {"optimizer": {"deep_optimizer": "sgd"}},
    ),
    "nesterov": Knob(WIDE, KERAS, True, {"optimizer": {"wide_optimizer": "sgd"}}),
    "rho": Knob(WIDE, KERAS, 0.5, {"optimizer": {"wide_optimizer": "rmsprop"}}),
    "rmsprop_momentum": Knob(WIDE, KERAS, 0.5, {"optimizer": {"wide_optimizer": "rmsprop"}}),
    "epsilon": Knob(DEEP, KERAS, 1e-3),
    "clip_norm": Knob(LEARNED, BOTH, 0.01),
    "clip_value": Knob(LEARNED, "clipping::test_gradients_are_within_the_bounds", 0.01),
    "max_norm": Knob(
        DEEP,
        STEPS + "test_max_norm_bounds_the_weights_into_each_unit_of_deep_matrices_alone",
        0.5,
    ),
    "schedule": Knob(
        LEARNED, "schedules::test_cosine_follows_half_a_wave_over_its_decay_steps", "cosine"
    ),
    "warmup_steps": Knob(
        LEARNED, "schedules::test_warmup_rises_in_equal_parts_and_never_starts_at_zero", 3
    ),
    "decay_steps": Knob(
        LEARNED,
        "schedules::test_linear_falls_by_equal_parts_to_zero",
        6,
        {"optimizer": {"schedule": "linear"}},
    ),
    "decay_rate": Knob(
        LEARNED,
        "schedules::test_exponential_multiplies_by_the_decay_rate_per_decay_steps",
        0.5,
        {"optimizer": {"schedule": "exponential", "decay_steps": 2}},
    ),
    "ema_decay": Knob(
        {"average"}, "averaging::test_average_follows_the_recurrence_with_its_warmup", 0.15
    ),
}

# Of thousands of classes: compared there, in a table of its own.
OF_CLASSES = {
    "softmax": "sampled_softmax::test_of_many_draws_a_step_is_that_of_the_full_softmax",
    "num_sampled": "sampled_softmax::test_a_step_moves_the_own_and_the_drawn_classes_alone",
}

KNOBS = [("model", *item) for item in MODEL.items()]
KNOBS += [("optimizer", *item) for item in OPTIMIZER.items()]


@pytest.mark.parametrize(("table", "section"), [(MODEL, ModelConfig), (OPTIMIZER, OptimizerConfig)])
def test_the_tables_have_every_option(table, section):
    assert set(table) == set(section.model_fields) - set(OF_CLASSES)


@pytest.mark.parametrize(
    "proof", sorted({*(knob.proof for _, _, knob in KNOBS), *OF_CLASSES.values()})
)
def test_the_size_of_each_effect_has_a_test(proof):
    file, _, name = proof.partition("::")
    text = (Path(__file__).parent / f"test_{file}.py").read_text()
    assert re.search(rf"^def {name}\(", text, re.MULTILINE)


@pytest.fixture
def eager():
    """Without graphs, whose tracing would take most of the time; the numbers are the same."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _see(task, sections):
    """Each of SEEN as names and values."""
    program = make_program(make_config(task, **sections))
    weights = {w.path: w.numpy() for w in program.model.weights}
    seen = {"shape": {n: np.array(v.shape) for n, v in weights.items()}, "initial": weights}
    randomize(program.model)
    for weight in program.model.weights:
        if weight.name == "moving_variance":
            weight.assign(tf.abs(weight))
    ids, numbers = make_features(9)
    seen["served"] = {"logits": program.model(tf.constant(ids), tf.constant(numbers)).numpy()}
    rows = tf.constant(make_rows(4 * 8, task=task).reshape(4, 8, ROWS.width))
    averages = {}
    for part in ("wide", "deep"):
        model = sections.get("model", {}) | {"towers": part}
        program = make_program(make_config(task, **sections | {"model": model}))
        program.train(rows, 0)
        seen[part] = {w.path: w.numpy() for w in program.model.weights}
        averages |= {f"{part}/{i}": v.numpy() for i, v in enumerate(program.average.shadows)}
    return seen | {"average": averages}


def _is_equal(what, one, other):
    if what == "initial":
        return all(
            np.array_equal(one[n], other[n])
            for n in set(one) & set(other)
            if one[n].shape == other[n].shape
        )
    return set(one) == set(other) and all(np.array_equal(one[n], other[n]) for n in one)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("section", "name", "knob"), KNOBS, ids=[name for _, name, _ in KNOBS])
def test_a_knob_changes_what_it_should_and_nothing_else(section, name, knob):
    without = _see(knob.task, knob.base)
    changed = knob.base | {section: knob.base.get(section, {}) | {name: knob.value}}
    seen = _see(knob.task, changed)
    differing = {what for what in SEEN if not _is_equal(what, seen[what], without[what])}
    assert differing == knob.changes


def _wide_weights(folder, wide_l1):
    """Of the exported model: first those of the column, then those of the cross; and the report."""
    random = np.random.default_rng(3)
    rows = [
        f"{a},{b},{c},{2 * c + 0.5 * noise:.3f}"
        for a, b, c, noise in zip(
            *random.integers(0, 12, (2, 2000)),
            random.integers(0, 2, 2000),
            random.normal(size=2000),
            strict=True,
        )
    ]
    table, job_dir = folder / "table.csv", folder / f"run_{wide_l1}"
    table.write_text("\n".join(["a,b,c,y", *rows]))
    config = {
        "columns": {
            "a": {"kind": "categorical", "towers": ["deep"]},
            "b": {"kind": "categorical", "towers": ["deep"]},
            "c": {"kind": "categorical", "towers": ["wide"]},
        },
        "crosses": [{"columns": ["a", "b"], "bins": 500}],
        "label": {"column": "y", "task": "regression"},
        "data": {"train": str(table), "validation_fraction": 0.2},
        "model": {"towers": "wide"},
        "training": {"steps": 1000, "patience": 0, "keep_weights": "last"},
        "optimizer": {"wide_l1": wide_l1},
        "output": {"job_dir": str(job_dir)},
    }
    report = train_and_evaluate(parse_config(config, "test"))
    loaded = tf.saved_model.load(f"{job_dir}/model")
    tables = [w.numpy().ravel() for w in loaded.tracked if hasattr(w, "numpy")]
    (weights,) = (table for table in tables if len(table) > 1)
    return weights, report


def test_l1_empties_a_noise_cross_of_the_exported_model(tmp_path):
    dense, without = _wide_weights(tmp_path, 0.0)
    sparse, with_l1 = _wide_weights(tmp_path, 3.0)
    seen = dense != 0
    assert seen.sum() > 100, "144 pairs, some in one bin"
    # The moving average, which is exported, keeps the zeros: more than half of the noise is gone.
    assert (sparse[seen] == 0).mean() > 0.5
    assert (sparse[~seen] == 0).all()
    assert with_l1["wide_zero_weights"] == pytest.approx((sparse == 0).mean(), abs=1e-6)
    assert without["wide_zero_weights"] == pytest.approx((dense == 0).mean(), abs=1e-6)
    # The column that counts keeps its weights: noise of 0.5 is what is left, as without.
    errors = [report["metrics"]["validation"]["rmse"] for report in (without, with_l1)]
    assert errors == pytest.approx([0.486, 0.486], abs=0.01)
