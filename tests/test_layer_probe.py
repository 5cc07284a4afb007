"""trainer.insight.layer_probe: what it measures, against numpy and differences."""

import ast
from pathlib import Path

import numpy as np
import pytest
import runs
from tiny_network import deep_inputs, deep_logits, randomize, wide_logits
from tiny_table import ROWS, make_config, make_features, make_program, make_rows, make_store

from trainer.insight.layer_probe import MOST_ROWS, LayerProbe, fixed_rows, is_probed
from trainer.rows import labels_of, weights_of

PLAIN = {"loss": "mse", "standardize_target": False, "output_offset": "none"}


def probe_of(num_rows=24, batch_size=8, distribution=None, **model):
    config = make_config(model=PLAIN | model)
    program = make_program(config, batch_size=batch_size, distribution=distribution)
    rows = make_rows(num_rows)
    return program, rows, LayerProbe(program, rows, batch_size)


def features(num_rows=24):
    return make_features(num_rows)


def test_dead_units_and_zeros_are_those_of_numpy():
    program, _, probe = probe_of()
    weights = randomize(program.model)
    bias = program.model.deep.tower.hidden[0].dense.bias
    bias.assign(bias.numpy() - np.array([100, 0, 100, 0, 0, 0], np.float32))
    weights["hidden_1/bias"] = bias.numpy()

    found = probe.measure(1)

    x = deep_inputs(weights, *features())
    for number in (1, 2):
        x = np.maximum(x @ weights[f"hidden_{number}/kernel"] + weights[f"hidden_{number}/bias"], 0)
        assert found[f"zeros/h{number}"] == pytest.approx((x == 0).mean(), rel=1e-6)
        assert found[f"dead/h{number}"] == pytest.approx((x == 0).all(axis=0).mean(), rel=1e-6)
    assert 2 / 6 <= found["dead/h1"] < 1


def test_norms_of_gradients_are_those_of_differences_of_the_loss():
    program, rows, probe = probe_of()
    weights = randomize(program.model)
    ids, numbers = features()
    label, weight = labels_of(rows)[:, 0], weights_of(rows)

    def loss():
        logits = deep_logits(weights, ids, numbers) + wide_logits(weights, ids, numbers)
        return (weight * (logits[:, 0] - label) ** 2).sum() / len(rows)

    found = probe.measure(1)

    groups = {
        "h2": ["hidden_2/kernel", "hidden_2/bias"],
        "output": ["output/kernel", "output/bias"],
        "embeddings": ["embedding_2/table", "embedding_3/table"],
        "wide": ["table/table", "wide/bias", "wide/numbers"],
    }
    for layer, names in groups.items():
        squares = []
        for name in names:
            for place in np.ndindex(weights[name].shape):
                kept, values = weights[name][place], []
                for shift in (1e-6, -1e-6):
                    weights[name][place] = kept + shift
                    values.append(loss())
                weights[name][place] = kept
                squares.append(((values[0] - values[1]) / 2e-6) ** 2)
        assert found[f"gradient_norm/{layer}"] == pytest.approx(np.sqrt(sum(squares)), rel=1e-3)
        norm = np.sqrt(sum((weights[name] ** 2).sum() for name in names))
        assert found[f"weight_norm/{layer}"] == pytest.approx(norm, rel=1e-5)


def test_a_table_with_sparse_updates_adds_up_equal_ids():
    program, rows, probe = probe_of()
    randomize(program.model)
    expected = probe.measure(1)
    for lookup in program.model.lookups():
        lookup.table.dense_update = False
    sparse = program.model.parameters()
    assert any(parameter.is_sparse for parameter in sparse)
    assert LayerProbe(program, rows, 8).measure(1) == pytest.approx(expected, rel=1e-6)


def test_nothing_moves_and_the_same_is_said_again():
    program, _, probe = probe_of(dropout=0.3, input_dropout=0.2, normalization="batch")
    before = program.checksums()
    found = probe.measure(1)
    assert probe.measure(2) == found
    assert program.checksums() == before
    assert "gradient_norm/h1" in found


def test_a_wide_model_has_the_wide_part_only():
    found = probe_of(towers="wide")[2].measure(1)
    assert sorted(found) == ["gradient_norm/wide", "weight_norm/wide"]


REPLICAS = """
from test_layer_probe import probe_of
from trainer.cluster import Cluster
from trainer.config import TrainingConfig
from trainer.strategy import make_distribution

# In one process: of two replicas the devices must be made before anything else.
two = make_distribution(TrainingConfig(logical_cpus=2), Cluster())
assert two.num_replicas == 2
print({name: round(v, 6) for name, v in probe_of(distribution=two)[2].measure(1).items()})
"""


def test_replicas_make_no_difference():
    done = runs.run_python("-c", REPLICAS, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    found = ast.literal_eval(done.stdout.splitlines()[-1])
    assert found == pytest.approx(probe_of()[2].measure(1), abs=2e-6)


def test_evaluations_in_between_are_left_out():
    _, _, probe = probe_of()
    assert probe.measure(9) == {}
    assert sum(is_probed(number) for number in range(1, 1001)) == 35


def test_rows_are_the_same_at_each_start_and_at_most_a_batch():
    store = make_store(52)
    rows = fixed_rows(store, seed=3, batch_size=8)
    np.testing.assert_array_equal(rows, fixed_rows(store, seed=3, batch_size=8))
    assert rows.shape == (8, ROWS.width)
    known = {row.tobytes() for row in np.concatenate(list(store.in_order()))}
    assert {row.tobytes() for row in rows} <= known
    assert len(fixed_rows(make_store(2000), seed=3, batch_size=4096)) == MOST_ROWS
