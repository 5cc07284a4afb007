"""Expected values: a numpy optimizer over dense, merged float64 gradients, one row at a time."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.optimizer_config import OptimizerConfig
from trainer.optimizers import Optimizer, Parameter

RULES = ["ftrl", "adam", "adamw", "adagrad", "adadelta", "rmsprop", "sgd"]
ROWS, WIDTH, STEPS = 12, 3, 6


def _start() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    shapes = {"table": (ROWS, WIDTH), "matrix": (4, 2), "vector": (2,)}
    values = {k: random.normal(size=s).astype(np.float32) for k, s in shapes.items()}
    return values | {"wide": np.zeros((ROWS, 1), np.float32)}


def _batches() -> list[dict[str, np.ndarray]]:
    """Gradients of a few steps: many equal ids, ids whose slices cancel, ids that never come."""
    random = np.random.default_rng(2)
    batches = []
    for _ in range(STEPS):
        ids = random.integers(0, ROWS - 3, 40).astype(np.int32)
        table = random.normal(size=(40, WIDTH)).astype(np.float32)
        wide = random.normal(size=(40, 1)).astype(np.float32)
        # Row ROWS - 2 gets two slices that add up to zero: it is looked up, but must not move.
        ids[:2], table[1], wide[1] = ROWS - 2, -table[0], -wide[0]
        ids[2:][ids[2:] == ROWS - 2] = 0
        batches.append(
            {
                "ids": ids,
                "table": table,
                "wide": wide,
                "matrix": random.normal(size=(4, 2)).astype(np.float32),
                "vector": random.normal(size=2).astype(np.float32),
            }
        )
    return batches


def _build(config: OptimizerConfig, dense: bool) -> tuple[dict[str, Parameter], Optimizer]:
    variables = {name: tf.Variable(value, name=name) for name, value in _start().items()}
    parameters = {
        "table": Parameter(variables["table"], "deep", "table", dense),
        "wide": Parameter(variables["wide"], "wide", "table", dense),
        "matrix": Parameter(variables["matrix"], "deep", "matrix"),
        "vector": Parameter(variables["vector"], "deep", "vector"),
    }
    return parameters, Optimizer(config, list(parameters.values()), STEPS)


def _gradients(batch: dict[str, tf.Tensor]) -> list[tf.Tensor | tf.IndexedSlices]:
    return [
        tf.IndexedSlices(batch["table"], batch["ids"], (ROWS, WIDTH)),
        tf.IndexedSlices(batch["wide"], batch["ids"], (ROWS, 1)),
        batch["matrix"],
        batch["vector"],
    ]


def _train(config: OptimizerConfig, dense: bool, compiled: bool = False):
    """Final values by name, and the slots of each parameter by name."""
    parameters, optimizer = _build(config, dense)
    stacked = {k: tf.constant(np.stack([b[k] for b in _batches()])) for k in _batches()[0]}

    @tf.function(jit_compile=compiled)
    def step(batch, number):
        optimizer.apply(_gradients(batch), number)

    @tf.function
    def loop():
        for number in tf.range(STEPS, dtype=tf.int64):
            step({k: v[number] for k, v in stacked.items()}, number)

    loop()
    values = {name: p.variable.numpy() for name, p in parameters.items()}
    slots = [[v.numpy() for v in slots.values()] for slots in optimizer.slots]
    return values, dict(zip(parameters, slots, strict=True))


def _merge(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    merged = {"matrix": batch["matrix"].astype(float), "vector": batch["vector"].astype(float)}
    for name, width in (("table", WIDTH), ("wide", 1)):
        merged[name] = np.zeros((ROWS, width))
        np.add.at(merged[name], batch["ids"], batch[name])
    return merged


class _Oracle:
    """One weight matrix under one rule, row by row, in float64."""

    def __init__(self, config: OptimizerConfig, name: str, start: np.ndarray) -> None:
        self.weight = np.atleast_2d(start.astype(float))
        self.name, self.config, self.part = name, config, "wide" if name == "wide" else "deep"
        self.rule = getattr(config, f"{self.part}_optimizer")
        self.first = np.full_like(self.weight, 0.1 if self.rule in ("ftrl", "adagrad") else 0.0)
        self.second = np.zeros_like(self.weight)
        if self.rule == "ftrl":  # The z that a weight off zero stands for.
            self.second = -self.weight * np.sqrt(0.1) / self._rate()

    def _rate(self) -> float:
        return getattr(self.config, f"{self.part}_learning_rate")

    def step(self, gradient: np.ndarray, t: int) -> None:
        for row, g in enumerate(np.atleast_2d(gradient)):
            if self.name in ("table", "wide") and not g.any():
                continue
            self._move(row, g, t)

    def _move(self, row: int, g: np.ndarray, t: int) -> None:
        w, a, b, rate = self.weight[row], self.first[row], self.second[row], self._rate()
        if self.rule == "ftrl":
            l1 = self.config.wide_l1 if self.name == "wide" else 0.0
            b += g - (np.sqrt(a + g**2) - np.sqrt(a)) / rate * w
            a += g**2
            w[:] = np.where(np.abs(b) > l1, -(b - np.sign(b) * l1) * rate / np.sqrt(a), 0.0)
        elif self.rule == "adagrad":
            a += g**2
            w -= rate * g / np.sqrt(a)
        elif self.rule == "adadelta":
            a[:] = 0.95 * a + 0.05 * g**2
            step = np.sqrt(b + 1e-7) / np.sqrt(a + 1e-7) * g
            b[:] = 0.95 * b + 0.05 * step**2
            w -= rate * step
        elif self.rule == "rmsprop":
            a[:] = 0.9 * a + 0.1 * g**2
            w -= rate * g / np.sqrt(a + 1e-7)
        elif self.rule == "sgd":
            a[:] = self.config.momentum * a + g
            w -= rate * a
        else:
            a[:] = 0.9 * a + 0.1 * g
            b[:] = 0.999 * b + 0.001 * g**2
            decays = self.rule == "adamw" and self.name == "matrix"
            decay = self.config.weight_decay * w if decays else 0.0
            size = np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            w -= rate * (size * a / (np.sqrt(b) + 1e-7) + decay)


def _expected(config: OptimizerConfig) -> dict[str, np.ndarray]:
    oracles = {name: _Oracle(config, name, value) for name, value in _start().items()}
    for t, batch in enumerate(_batches(), 1):
        merged = _merge(batch)
        norm = np.sqrt(sum((g**2).sum() for g in merged.values()))
        scale = min(1.0, config.clip_norm / norm) if config.clip_norm else 1.0
        for name, gradient in merged.items():
            oracles[name].step(scale * gradient, t)
    return {name: oracle.weight for name, oracle in oracles.items()}


def _config(rule: str, **options) -> OptimizerConfig:
    defaults = {"wide_learning_rate": 0.1, "deep_learning_rate": 0.02}
    return OptimizerConfig(wide_optimizer=rule, deep_optimizer=rule, **{**defaults, **options})


@pytest.mark.parametrize("clip_norm", [0.0, 1.5])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dense", [False, True])
def test_both_branches_follow_the_formulas_with_equal_ids_merged(rule, dense, clip_norm):
    config = _config(rule, clip_norm=clip_norm)
    values, _ = _train(config, dense)
    for name, expected in _expected(config).items():
        np.testing.assert_allclose(
            values[name].reshape(expected.shape), expected, atol=2e-6, err_msg=name
        )


@pytest.mark.parametrize("rule", RULES)
def test_both_branches_and_xla_agree_in_weights_and_slots(rule):
    config = _config(rule, wide_l1=0.01, wide_l2=0.02, deep_l2=0.01, clip_norm=2.0)
    reference, reference_slots = _train(config, dense=False)
    for compiled in (False, True):
        values, slots = _train(config, dense=True, compiled=compiled)
        for name, value in values.items():
            np.testing.assert_allclose(value, reference[name], atol=1e-6, err_msg=name)
            for got, expected in zip(slots[name], reference_slots[name], strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dense", [False, True])
def test_rows_without_merged_gradient_keep_weights_and_slots_bit_for_bit(rule, dense):
    config = _config(rule, wide_l1=0.1, wide_l2=0.1, deep_l1=0.1)
    values, slots = _train(config, dense)
    untouched = slice(ROWS - 3, ROWS)
    np.testing.assert_array_equal(values["table"][untouched], _start()["table"][untouched])
    initial = 0.1 if rule in ("ftrl", "adagrad") else 0.0
    np.testing.assert_array_equal(
        slots["table"][0][untouched], np.full((3, WIDTH), np.float32(initial))
    )
    assert (values["table"][: ROWS - 3] != _start()["table"][: ROWS - 3]).all()


@pytest.mark.parametrize("dense", [False, True])
def test_ftrl_l1_makes_wide_weights_exactly_zero(dense):
    zeros = [
        int((_train(_config("ftrl", wide_l1=l1), dense)[0]["wide"] == 0).sum())
        for l1 in (0, 3, 1e3)
    ]
    assert zeros[0] == 3 < zeros[1] < zeros[2] == ROWS


def test_learning_rates_are_the_configured_ones_times_the_schedule():
    optimizer = Optimizer(_config("adam", warmup_steps=4), [], None)
    wide, deep = optimizer.learning_rates(tf.constant(1, tf.int64))
    assert (float(wide), float(deep)) == pytest.approx((0.05, 0.01))
    eager = tf.Variable(1.0)
    once = Optimizer(_config("sgd", warmup_steps=4), [Parameter(eager, "deep", "vector")], None)
    once.apply([tf.constant(1.0)], tf.constant(1, tf.int64))
    assert float(eager) == pytest.approx(1 - 0.01)


def test_clipping_leaves_a_gradient_below_the_bound_and_a_zero_gradient_alone():
    weight = tf.Variable([3.0, 4.0])
    config = OptimizerConfig(
        wide_learning_rate=1, deep_optimizer="sgd", momentum=0, deep_learning_rate=1, clip_norm=5.0
    )
    optimizer = Optimizer(config, [Parameter(weight, "deep", "vector")], None)
    optimizer.apply([tf.constant([3.0, 4.0])], tf.constant(0, tf.int64))
    np.testing.assert_array_equal(weight, [0.0, 0.0])
    optimizer.apply([tf.zeros(2)], tf.constant(1, tf.int64))
    np.testing.assert_array_equal(weight, [0.0, 0.0])
    optimizer.apply([tf.constant([6.0, 8.0])], tf.constant(2, tf.int64))
    np.testing.assert_allclose(weight, [-3.0, -4.0], rtol=1e-6)


DESCENT = {"deep_optimizer": "sgd", "momentum": 0, "deep_learning_rate": 1, "wide_learning_rate": 1}


@pytest.mark.parametrize("dense", [False, True])
def test_clipping_by_value_cuts_each_component_of_merged_rows(dense):
    table = tf.Variable(tf.zeros((3, 2)))
    parameter = Parameter(table, "deep", "table", dense)
    optimizer = Optimizer(OptimizerConfig(clip_value=2.0, **DESCENT), [parameter], None)
    slices = tf.IndexedSlices(tf.constant([[1.5, 0.5], [1.0, -3.0]]), tf.constant([1, 1]), (3, 2))
    optimizer.apply([slices], tf.constant(0, tf.int64))
    np.testing.assert_array_equal(table, [[0, 0], [-2, 2], [0, 0]])


def test_a_statistic_moves_by_its_gradient_unclipped_and_whatever_the_rate():
    mean, weight = tf.Variable([3.0, 4.0]), tf.Variable([0.0])
    parameters = [Parameter(mean, "deep", "statistic"), Parameter(weight, "deep", "vector")]
    config = OptimizerConfig(clip_norm=1.0, deep_l2=5.0, **{**DESCENT, "deep_learning_rate": 0.5})
    optimizer = Optimizer(config, parameters, None)
    optimizer.apply([tf.constant([30.0, -4.0]), tf.constant([2.0])], tf.constant(0, tf.int64))
    np.testing.assert_array_equal(mean, [-27.0, 8.0])
    np.testing.assert_array_equal(weight, [-0.5])  # 2 clipped to 1; the statistic does not count


def test_max_norm_bounds_the_weights_into_each_unit_of_deep_matrices_alone():
    start = np.array([[3.0, 0.3], [4.0, 0.4]], np.float32)
    variables = [tf.Variable(start) for _ in range(3)]
    parameters = [
        Parameter(variables[0], "deep", "matrix"),
        Parameter(variables[1], "deep", "table"),
        Parameter(variables[2], "wide", "matrix"),
    ]
    optimizer = Optimizer(OptimizerConfig(max_norm=2.0, **DESCENT), parameters, None)
    optimizer.apply([tf.zeros((2, 2))] * 3, tf.constant(0, tf.int64))
    # The first unit's weights (3, 4) of norm 5 shrink to norm 2; the second's have norm .5.
    np.testing.assert_allclose(variables[0], [[1.2, 0.3], [1.6, 0.4]], rtol=1e-6)
    for variable in variables[1:]:
        np.testing.assert_allclose(variable, start, rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_checkpoint_restores_slots_bit_for_bit_and_holds_no_weights(rule, tmp_path):
    parameters, optimizer = _build(_config(rule), dense=True)
    for number, batch in enumerate(_batches()):
        optimizer.apply(_gradients(batch), tf.constant(number, tf.int64))
    path = tf.train.Checkpoint(optimizer=optimizer).write(str(tmp_path / "c"))
    # Sparse and dense updates have the same slots: a resumed run may choose the other branch.
    _, restored = _build(_config(rule), dense=False)
    tf.train.Checkpoint(optimizer=restored).read(path).assert_consumed()
    saved = [v.numpy() for slots in optimizer.slots for v in slots.values()]
    loaded = [v.numpy() for slots in restored.slots for v in slots.values()]
    for one, other in zip(saved, loaded, strict=True):
        np.testing.assert_array_equal(one, other)
    names = [name for name, _ in tf.train.list_variables(path) if "OBJECT_GRAPH" not in name]
    assert (
        len(names)
        == len(saved)
        == len(parameters) * (1 if rule in ("adagrad", "rmsprop", "sgd") else 2)
    )


@pytest.mark.parametrize("rule", RULES)
def test_sparse_updates_never_read_or_write_a_whole_table(rule):
    table = tf.Variable(tf.zeros([ROWS, WIDTH]))
    optimizer = Optimizer(
        _config(rule, clip_norm=1.0), [Parameter(table, "deep", "table", dense_update=False)], None
    )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, ids))
        optimizer.apply([tape.gradient(loss, table)], tf.constant(0, tf.int64))

    graph = step.get_concrete_function().graph
    operations = graph.get_operations()
    handles = {id(tensor) for tensor in graph.inputs if tensor.dtype == tf.resource}
    users = {op.type for op in operations if any(id(tensor) in handles for tensor in op.inputs)}
    assert users == {"ResourceGather", "ResourceScatterUpdate"}
    # The number of ids is unknown here, so a tensor of ROWS rows would be of the table's size.
    shapes = [tensor.shape for op in operations for tensor in op.outputs]
    assert not [shape for shape in shapes if shape.rank and shape[0] == ROWS]


@pytest.mark.parametrize("dense", [False, True])
def test_two_runs_give_the_same_bits(dense):
    random = np.random.default_rng(4)
    ids = tf.constant(random.integers(0, 5000, 40_000).astype(np.int32))
    values = tf.constant(random.normal(size=(40_000, 4)).astype(np.float32))

    def run() -> np.ndarray:
        table = tf.Variable(tf.zeros([5000, 4]))
        parameter = Parameter(table, "deep", "table", dense)
        optimizer = Optimizer(_config("adam", clip_norm=1.0), [parameter], None)
        step = tf.function(lambda n: optimizer.apply([tf.IndexedSlices(values, ids, (5000, 4))], n))
        for number in range(5):
            step(tf.constant(number, tf.int64))
        return table.numpy()

    first = run()
    for _ in range(3):
        np.testing.assert_array_equal(run(), first)


def test_variable_outside_the_loss_is_an_error():
    optimizer = Optimizer(
        _config("adam"), [Parameter(tf.Variable(1.0, name="b"), "deep", "vector")], 9
    )
    with pytest.raises(ValueError, match="variable b:0 has no gradient, so it would not train"):
        optimizer.apply([None], tf.constant(0, tf.int64))


def test_wrong_number_of_gradients_is_an_error():
    with pytest.raises(ValueError, match="0 parameters need as many gradients; received 1"):
        Optimizer(_config("adam"), [], 9).apply([tf.constant(1.0)], tf.constant(0, tf.int64))


def test_dense_gradient_for_a_sparse_table_is_an_error():
    parameter = Parameter(tf.Variable([[1.0]], name="t"), "deep", "table", dense_update=False)
    with pytest.raises(ValueError, match="table t:0 has sparse updates, but its gradient is dense"):
        Optimizer(_config("adam"), [parameter], 9).apply(
            [tf.ones([1, 1])], tf.constant(0, tf.int64)
        )


_TWO_REPLICAS = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from trainer.averaging import MovingAverage
from trainer.optimizer_config import OptimizerConfig
from trainer.optimizers import Optimizer, Parameter
from trainer.tables import Table

# Shapes of the variables that a function and those that it calls read whole.
def reads(function):
    graph = function.get_concrete_function().graph.as_graph_def(add_shapes=True)
    nodes = [n for f in graph.library.function for n in f.node_def]
    found = [n.attr["_output_shapes"].list.shape[0] for n in nodes if n.op == "ReadVariableOp"]
    return {tuple(d.size for d in shape.dim) for shape in found}

def train(strategy, num_replicas, dense):
    with strategy.scope():
        layer = Table(6, 2, initializer_sd=0.0, name="t", dense_update=dense)
        table = layer.variable
        table.assign(tf.reshape(tf.range(12.0), (6, 2)) / 10)
        matrix = tf.Variable(tf.ones((2, 1)))
        parameters = [Parameter(table, "wide", "table", dense), Parameter(matrix, "deep", "matrix")]
        optimizer = Optimizer(OptimizerConfig(clip_norm=1.0), parameters, None)
        average = MovingAverage(parameters, 0.9)
    ids = tf.constant([1, 2, 2, 3, 1, 1, 4, 2])

    def replica_step(step):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        mine = tf.reshape(ids, (num_replicas, -1))[replica]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(mine) @ matrix - 1))
        optimizer.apply(tape.gradient(loss, [table, matrix]), step)
        average.update(step)

    @tf.function
    def loop():
        for step in tf.range(5, dtype=tf.int64):
            strategy.run(replica_step, args=(step,))

    loop()
    # A table, or a slot, that is read whole is copied by the next update.
    assert ((6, 2) in reads(loop)) == dense, reads(loop)
    slots = [v for slots in optimizer.slots for v in slots.values()]
    return [v.numpy() for v in (table, matrix, *slots, *average.shadows)]

dense = sys.argv[1] == "dense"
one = train(tf.distribute.OneDeviceStrategy("/cpu:0"), 1, dense)
two = train(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), 2, dense)
for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)
"""


@pytest.mark.slow
@pytest.mark.parametrize("branch", ["dense", "sparse"])
def test_two_replicas_train_as_one(branch, tmp_path):
    # A process of its own: logical devices must be made before TensorFlow starts. A file, since
    # AutoGraph reads its source.
    script = tmp_path / "two_replicas.py"
    script.write_text(_TWO_REPLICAS)
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, str(script), branch], env=environ, check=True)
