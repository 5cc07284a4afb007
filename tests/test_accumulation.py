"""trainer.accumulation: a batch in parts moves the weights as the whole does."""

import numpy as np
import pytest
import runs
import tensorflow as tf
from tiny_network import short_name
from tiny_table import ROWS, make_config, make_program, make_rows

from trainer import tables
from trainer.accumulation import sum_over_parts


def _compute(rows, positions, number):
    slices = tf.IndexedSlices(tf.cast(rows, tf.float32), positions[3], (9, 2))
    return tf.reduce_sum(rows[:, 0]) + 0 * number, [tf.reduce_sum(rows, axis=0), slices]


@pytest.mark.parametrize("num_parts", [1, 2, 6])
def test_losses_and_gradients_are_added_and_slices_stand_end_to_end(num_parts):
    rows = np.arange(12).reshape(6, 2)
    positions = {3: tf.constant([5, 1, 5, 0, 8, 1])}
    numbers = []

    def compute(part, places, number):
        numbers.append((number, len(part)))
        return _compute(part, places, number)

    loss, (dense, slices) = sum_over_parts(
        compute, tf.constant(rows), positions, num_parts=num_parts
    )
    assert int(loss) == rows[:, 0].sum()
    np.testing.assert_array_equal(dense, rows.sum(axis=0))
    np.testing.assert_array_equal(slices.values, rows)
    np.testing.assert_array_equal(slices.indices, positions[3])
    assert numbers == [(number, 6 // num_parts) for number in range(num_parts)]


def test_a_part_begins_when_the_gradients_before_it_are_there():
    """In a graph, where what does not depend on each other runs side by side."""

    @tf.function(autograph=False)
    def step(rows):
        def compute(part, positions, number):
            return tf.reduce_sum(part), [tf.exp(part[0], name=f"gradient_{number}")]

        return sum_over_parts(compute, rows, {}, num_parts=2)

    graph = step.get_concrete_function(tf.TensorSpec((4, 3), tf.float32)).graph
    second = graph.get_operation_by_name("gradient_1")
    found, front = set(), [second]
    while front:
        operation = front.pop()
        before = [*operation.control_inputs, *(x.op for x in operation.inputs)]
        front += [b for b in before if b.name not in found]
        found |= {b.name for b in before}
    assert "gradient_0" in found


def _train(num_parts, rows, **sections):
    training = {"accumulate_steps": num_parts} | sections.pop("training", {})
    program = make_program(make_config(training=training, **sections), batch_size=rows.shape[1])
    losses = program.train(tf.constant(rows), 0)
    weights = {short_name(w): w.numpy() for w in program.model.weights}
    return losses, weights, program


@pytest.mark.parametrize(
    ("dense", "xla", "precision"),
    [
        (True, False, "float32"),
        (False, False, "float32"),
        (False, False, "bfloat16"),
        (True, True, "bfloat16"),
        (False, True, "float32"),
    ],
)
def test_parts_move_the_weights_as_the_whole_batch_does(monkeypatch, dense, xla, precision):
    if not dense:
        monkeypatch.setattr(tables, "_DENSE_ROWS_PER_ID", 0)
    rows = make_rows(3 * 8).reshape(3, 8, ROWS.width)
    options = {
        "training": {"xla": xla, "precision": precision},
        "optimizer": {"clip_norm": 0.5, "wide_l1": 0.01},
    }
    losses, weights, whole = _train(1, rows, **options)
    assert any(p.is_sparse for p in whole.parameters) is not dense
    found, parts, _ = _train(4, rows, **options)
    np.testing.assert_allclose(found, losses, rtol=1e-5 if precision == "float32" else 2e-2)
    # AdamW divides by the size of the gradient: one near 0 moves its weight by up to the rate.
    rough = {"atol": 6e-3} if precision == "bfloat16" else {"rtol": 1e-3, "atol": 2e-5}
    for name, value in parts.items():
        np.testing.assert_allclose(value, weights[name], err_msg=name, **rough)


def test_each_part_has_dropout_of_its_own():
    """Rows that are all equal: with one mask for all parts, 8 parts would be one part."""
    rows = np.repeat(make_rows(1), 8, axis=0)[None]
    model = {"model": {"dropout": 0.5, "input_dropout": 0.3}}
    one = _train(1, rows[:, :1], **model)[0]
    eight = _train(8, rows, **model)[0]
    assert abs(float(eight[0] - one[0])) > 1e-4


def test_moving_averages_follow_the_mean_of_the_parts():
    rows = make_rows(8).reshape(1, 8, ROWS.width)
    model = {"normalization": "batch", "batch_norm_momentum": 0.75}
    means = []
    for num_parts in (1, 4):
        _, _, program = _train(num_parts, rows, model=model)
        layer = program.model.deep.tower.hidden[0].normalization
        means.append(layer.moving_mean.numpy())
    # The mean of the means of equal parts is the mean of the whole.
    np.testing.assert_allclose(means[1], means[0], rtol=1e-4, atol=1e-6)
    assert np.abs(means[0]).max() > 0.01


_REPLICAS = """
import sys
sys.path.insert(0, "tests")
import numpy as np, tensorflow as tf
from tiny_table import ROWS, make_config, make_program, make_rows
from trainer import tables
from trainer.cluster import Cluster
from trainer.config import TrainingConfig
from trainer.strategy import make_distribution, make_one_device

tables._DENSE_ROWS_PER_ID = 0
two = make_distribution(TrainingConfig(logical_cpus=2), Cluster())
assert two.num_replicas == 2
rows = make_rows(3 * 8).reshape(3, 8, ROWS.width)
for model, num_parts in (
    ({}, 2),
    ({"normalization": "batch", "residual": True, "cross_layers": 1}, 1),
    ({"normalization": "layer", "activation": "prelu"}, 4),
):
    results = []
    for distribution, parts in ((make_one_device(), 1), (two, num_parts)):
        config = make_config(
            model=model, training={"accumulate_steps": parts}, optimizer={"clip_norm": 1.0}
        )
        program = make_program(config, distribution=distribution)
        losses = program.train(tf.constant(rows), 0)
        results.append([losses, *(w.numpy() for w in program.model.weights)])
        assert len(set(program.checksums())) == 1
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=3e-5)
"""


def test_two_replicas_and_parts_train_as_one(tmp_path):
    # A process of its own: logical devices must be made before TensorFlow starts.
    script = tmp_path / "replicas.py"
    script.write_text(_REPLICAS)
    done = runs.run_python(script, cwd=runs.ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
