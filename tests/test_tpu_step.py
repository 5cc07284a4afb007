"""The training step as a TPU would get it; there is no TPU here, so XLA compiles it for the CPU."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from shop_table import write_shop_table
from tiny_table import ROWS, make_config, make_program, make_rows

from trainer import cli, data_files
from trainer.datasets import build_datasets
from trainer.plan import make_plan
from trainer.program import build_program
from trainer.strategy import Distribution, make_one_device

# What finds its output's length, or writes by rows, when it runs: none has a kernel for TPU.
DYNAMIC = {"Unique", "UniqueV2", "Where", "BooleanMask", "DynamicPartition", "Bincount"}
OPTIMIZERS = ["ftrl", "adam", "adamw", "adagrad", "sgd"]
BATCH = 128


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A model with a table of 200,000 rows, built as on a TPU, with dropout."""
    folder = write_shop_table(tmp_path_factory.mktemp("tpu"), "binary")
    text = (folder / "config.yaml").read_text()
    text = text.replace("hash_buckets: 50", "hash_buckets: 200000")
    (folder / "config.yaml").write_text(text.replace("train.csv", f"{folder}/train.csv"))
    flags = [f"--config={folder}/config.yaml", f"--job_dir={folder}/run", "--validation="]
    config = cli.load_config([*flags, "--precision=bfloat16", "--clip_norm=1"], {}).config
    datasets = build_datasets(config, data_files.find_files(config.data, ""))
    plan = make_plan(config.training, datasets.stores["train"].num_rows, 0, is_tpu=True)
    as_on_tpu: Distribution = dataclasses.replace(make_one_device(), kind="tpu")
    return build_program(config, datasets, plan, as_on_tpu)


def graph_of(function, *arguments):
    """Nodes of a function and of all that it calls."""
    graph = function.get_concrete_function(*arguments).graph.as_graph_def(add_shapes=True)
    return [*graph.node, *(n for f in graph.library.function for n in f.node_def)]


def unknown_shapes(nodes):
    return {
        (node.name, node.op)
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
        if shape.unknown_rank or any(d.size < 0 for d in shape.dim)
    }


def types_of(nodes):
    return {attr.type for node in nodes for attr in node.attr.values() if attr.type}


def step_and_prediction(program):
    rows = tf.TensorSpec((BATCH, program.layout.width), tf.int32)
    step = tf.function(program.step.run, autograph=False)
    return {
        "step": graph_of(step, rows, tf.TensorSpec((), tf.int64)),
        "prediction": graph_of(program.predict, rows),
    }


def test_step_and_prediction_have_static_shapes_no_strings_and_no_updates_by_rows(program):
    assert max(p.variable.shape[0] for p in program.parameters) > 200_000
    for name, nodes in step_and_prediction(program).items():
        ops = {node.op for node in nodes}
        assert len(ops) > 10, name
        assert not {op for op in ops if op in DYNAMIC or "Sparse" in op or "Scatter" in op}
        assert tf.string.as_datatype_enum not in types_of(nodes)
        assert not unknown_shapes(nodes)


def test_the_step_compiles_with_dropout(program):
    step = tf.function(program.step.run, jit_compile=True, autograph=False)
    nothing = tf.zeros((BATCH, program.layout.width), tf.int32)
    before = [w.numpy() for w in program.model.weights]
    assert step(nothing, tf.constant(0, tf.int64)) == 0.0  # all weights of rows are 0
    for ours, theirs in zip(program.model.weights, before, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-2)  # only decay and penalties move


def test_the_graph_tests_see_what_they_look_for():
    @tf.function
    def bad(ids, words):
        return tf.unique(ids)[0], tf.strings.length(words)

    nodes = graph_of(bad, tf.TensorSpec((5,), tf.int32), tf.TensorSpec((2,), tf.string))
    assert {node.op for node in nodes} & DYNAMIC == {"Unique"}
    assert {op for _, op in unknown_shapes(nodes)} >= {"Unique"}
    assert tf.string.as_datatype_enum in types_of(nodes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_step_compiles_and_gives_the_same_numbers(name, precision):
    rows = tf.constant(make_rows(6 * 8).reshape(6, 8, ROWS.width))
    weights = {}
    for compiled in (False, True):
        config = make_config(
            optimizer={"wide_optimizer": name, "deep_optimizer": name, "clip_norm": 1.0},
            training={"precision": precision},
            model={"hidden_units": [6, 4], "dropout": 0.0},
        )
        program = make_program(config)
        step = tf.function(program.step.run, jit_compile=compiled, autograph=False)
        for number in range(6):
            step(rows[number], tf.constant(number, tf.int64))
        weights[compiled] = [w.numpy() for w in program.model.weights]
    # bfloat16 has 8 bits: XLA rounds less often than single kernels do.
    tolerance = 1e-5 if precision == "float32" else 2e-2
    for ours, theirs in zip(weights[True], weights[False], strict=True):
        assert np.any(ours != 0)
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_calls_of_a_tpu_have_at_least_100_steps():
    config = make_config(training={"batch_size": 4096}).training
    for num_rows in (4096 * 100, 100_000_000):
        plan = make_plan(config, num_rows, num_rows // 10, 8, is_tpu=True)
        assert plan.call_length(0) == min(128, num_rows // 4096)
    # What the user says counts.
    config = make_config(training={"batch_size": 4096, "steps_per_call": 7}).training
    assert make_plan(config, 100_000_000, 0, 8, is_tpu=True).call_length(0) == 7
