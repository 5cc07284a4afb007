"""Expected values: gradients of all replicas added up row by row in numpy."""

import subprocess
import sys

import pytest
import runs
import yaml
from clusters import Cluster
from shop_table import write_shop_table
from test_cluster_training import FLAGS, assert_same_training, weights_of

from trainer.exchange import is_sent_by_rows, most_ids

_THREE_REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
from trainer.exchange import Rows, add_over_replicas

random = np.random.default_rng(1)
# The largest id has bits that are no number as float32; all replicas have id 7.
ids = [np.array([[7, 7, 2**31 - 1], [7, 5, 7], [9, 7, 5]], np.int32),
       np.array([[4, 1], [1, 1], [2, 3]], np.int32)]
values = [random.normal(size=(3, 3, 2)).astype("f"), random.normal(size=(3, 2, 5)).astype("f")]
dense = [random.normal(size=(3, 4)).astype("f"), random.normal(size=(3, 2, 2)).astype("f")]
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1", "/cpu:2"])

def rows(k, replica):
    slices = tf.IndexedSlices(tf.constant(values[k])[replica], tf.constant(ids[k])[replica])
    return Rows(slices, capacity=3 - k)

def step():
    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group
    own = [tf.constant(d)[replica] for d in dense]
    return add_over_replicas(context, [own[0], rows(0, replica), own[1], rows(1, replica)])

found = tf.function(lambda: strategy.run(step))()
for replica in range(3):
    a, first, b, second = (strategy.experimental_local_results(f)[replica] for f in found)
    np.testing.assert_allclose(a, dense[0].sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(b, dense[1].sum(axis=0), rtol=1e-6)
    for k, slices in enumerate((first, second)):
        assert slices.values.shape == (3 * (3 - k), values[k].shape[2])
        for id_ in {*ids[k].flatten(), 0}:
            expected = values[k][ids[k] == id_].sum(axis=0)
            sums = slices.values.numpy()[slices.indices.numpy() == id_].sum(axis=0)
            np.testing.assert_allclose(sums, expected, atol=1e-6)
        assert set(slices.indices.numpy()) <= {*ids[k].flatten(), 0}
print("as in numpy")
"""


def test_dense_gradients_and_rows_are_added_up_over_three_replicas(tmp_path):
    # A process of its own: logical devices must be made before TensorFlow starts.
    script = tmp_path / "three_replicas.py"
    script.write_text(_THREE_REPLICAS)
    done = subprocess.run(
        [sys.executable, str(script)],
        env=runs.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "as in numpy\n", done.stderr


@pytest.mark.parametrize(
    ("id_spaces", "num_ids", "expected"),
    [
        ((), 50, 50),
        (((100, 1),), 50, 50),
        (((10, 1),), 50, 10),
        (((2, 1), (30, 1), (40, 1)), 75, 2 + 25 + 25),
        (((40, 3), (100, 1)), 40, 30 + 10),
        (((25, 3), (100, 1)), 40, 25 + 10),
    ],
)
def test_most_ids_is_what_the_worst_batch_has(id_spaces, num_ids, expected):
    assert most_ids(id_spaces, num_ids) == expected
    if id_spaces:
        num_rows = num_ids // sum(count for _, count in id_spaces)
        worst = [
            {(k, i % size) for i in range(num_rows * count)}
            for k, (size, count) in enumerate(id_spaces)
        ]
        assert len(set.union(*worst)) == expected


def test_the_form_with_fewer_numbers_is_sent():
    # 1,000 ids cost 3,000 to sort out, and 100 rows of width 4 are 500 numbers with their ids.
    assert not is_sent_by_rows(875, 4, num_ids=1000, capacity=100)
    assert is_sent_by_rows(876, 4, num_ids=1000, capacity=100)


def test_tables_sent_by_rows_train_as_on_one_device(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        config = yaml.safe_load((write_shop_table(tmp_path / name) / "config.yaml").read_text())
        # Updated by rows in both towers.
        config["columns"]["shop"]["hash_buckets"] = 200_000
        # Updated as a whole, but a replica's 64 rows of a batch are less to send.
        cross = {"columns": ["city", "shop"], "bins": 1000, "towers": ["deep"], "embedding_dim": 4}
        config["crosses"] = [cross]
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config))
    flags = ("--config=config.yaml", *FLAGS)
    one = runs.run_task(f"--job_dir={tmp_path}/one/run", *flags, cwd=tmp_path / "one")
    assert one.returncode == 0, one.stderr
    with Cluster(tmp_path / "two", *flags, worker=1) as cluster:
        assert set(cluster.codes().values()) == {0}, cluster.log("worker")
    assert "weights are equal on all 2 replicas" in cluster.log("chief")
    assert_same_training(tmp_path / "one" / "run", tmp_path / "two" / "run", 1e-5)
    rows = sorted(len(w) for w in weights_of(tmp_path / "two" / "run").values())
    assert rows[-3] == 1000
    assert rows[-2] >= 200_000
