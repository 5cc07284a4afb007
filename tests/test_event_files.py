"""trainer.insight.event_files: read back with TensorBoard's own readers."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.pr_curve import metadata as pr_metadata
from tensorboard.plugins.projector import projector_config_pb2
from tiny_table import make_config

from trainer import storage
from trainer.evaluation import Predictions
from trainer.insight import event_files
from trainer.insight.event_files import NUM_THRESHOLDS, pr_counts, produce
from trainer.observers import discard_logs
from trainer.trained_embeddings import LearnedRows


def predictions(num_rows=500, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_rows, 1)).astype(np.float32)
    labels = (logits + rng.normal(size=(num_rows, 1)) > 0).astype(np.float32)
    return Predictions(labels, logits, rng.uniform(0.5, 2, num_rows).astype(np.float32))


EMBEDDINGS = {
    "shop": LearnedRows(("(missing)", "a\tb", ""), np.arange(6, dtype=np.float32).reshape(3, 2)),
    "size/x": LearnedRows(("(missing)",), np.array([[0.1, 0.2, 0.3]], np.float32)),
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The log folder of a binary run, and what it predicted."""
    monkeypatch.setattr(event_files, "learned_embeddings", lambda evidence: EMBEDDINGS)
    kept = {"validation": predictions(), "test": predictions(seed=1)}
    log_dir = str(tmp_path / "logs")
    evidence = SimpleNamespace(
        config=make_config("binary"),
        folder=SimpleNamespace(log_dir=log_dir, model_dir=""),
        state=SimpleNamespace(kept_step=70),
        predictions=kept,
    )
    assert produce(evidence) == {}
    metrics = {"validation": {"log_loss": 0.25}}
    report = {"monitor": "log_loss", "metrics": metrics, "kept_step": 70}
    event_files.write_hparams(evidence.config, report, log_dir)
    return log_dir, kept


def read(path):
    events = EventAccumulator(path)
    events.Reload()
    return events


@pytest.mark.parametrize("part", ["validation", "test"])
def test_pr_curves_are_those_of_scikit_learn(written, part):
    log_dir, kept = written
    events = read(f"{log_dir}/{part}")
    assert events.PluginTagToContent(pr_metadata.PLUGIN_NAME).keys() == {"pr_curve"}
    content = events.PluginTagToContent(pr_metadata.PLUGIN_NAME)["pr_curve"]
    assert pr_metadata.parse_plugin_metadata(content).num_thresholds == NUM_THRESHOLDS
    (event,) = events.Tensors("pr_curve")
    assert event.step == 70
    curve = tf.make_ndarray(event.tensor_proto)
    probability = 1 / (1 + np.exp(-kept[part].logits[:, 0].astype(float)))
    label, weight = kept[part].labels[:, 0], kept[part].weight
    for place in (0, 37, 100, 163, 200):
        chosen = probability >= place / (NUM_THRESHOLDS - 1)
        (tn, fp), (fn, tp) = confusion_matrix(
            label == 1, chosen, sample_weight=weight, labels=[False, True]
        )
        precision = tp / (tp + fp) if tp + fp else 1.0
        expected = [tp, fp, tn, fn, precision, tp / (tp + fn)]
        np.testing.assert_allclose(curve[:, place], expected, rtol=1e-5, atol=1e-4)


def test_without_positives_recall_is_0():
    counts = pr_counts(np.zeros(3), np.array([0.0, 0.5, 1.0]), np.ones(3))
    assert counts[:, 0].tolist() == [0, 3, 0, 0, 0, 0]
    assert counts[:, -1].tolist() == [0, 1, 2, 0, 0, 0]


def test_hyperparameters_are_the_config(written):
    events = read(written[0])
    content = events.PluginTagToContent(hparams_metadata.PLUGIN_NAME)
    start = hparams_metadata.parse_session_start_info_plugin_data(
        content[hparams_metadata.SESSION_START_INFO_TAG]
    )
    assert start.hparams["optimizer.deep_learning_rate"].number_value == 0.001
    assert start.hparams["model.hidden_units"].string_value == "[6, 4]"
    assert start.hparams["model.residual"].bool_value is False
    assert start.hparams["training.batch_size"].number_value == 8
    assert "training.resume" not in start.hparams
    experiment = hparams_metadata.parse_experiment_plugin_data(
        content[hparams_metadata.EXPERIMENT_TAG]
    )
    metrics = [(metric.name.group, metric.name.tag) for metric in experiment.metric_infos]
    assert metrics == [("", "kept/log_loss"), ("validation", "log_loss")]
    (event,) = events.Tensors("kept/log_loss")
    assert event.step == 70 and tf.make_ndarray(event.tensor_proto) == 0.25


def test_the_projector_finds_vectors_and_names(written):
    log_dir, _ = written
    config = text_format.Parse(
        storage.read_text(f"{log_dir}/projector_config.pbtxt"),
        projector_config_pb2.ProjectorConfig(),
    )
    assert [entry.tensor_name for entry in config.embeddings] == ["shop", "size/x"]
    for entry, learned in zip(config.embeddings, EMBEDDINGS.values(), strict=True):
        rows = np.loadtxt(f"{log_dir}/{entry.tensor_path}", delimiter="\t", ndmin=2)
        np.testing.assert_allclose(rows, learned.rows, rtol=1e-5)
        names = storage.read_text(f"{log_dir}/{entry.metadata_path}").splitlines()
        assert names == [" ".join(name.split()) or "(empty)" for name in learned.names]


def test_a_discarded_run_leaves_none_of_it(written):
    log_dir, _ = written
    storage.write_text(f"{log_dir}/plugins/profile/2026/vm.xplane.pb", "")
    discard_logs(log_dir)
    assert not storage.exists(log_dir)


def test_a_remote_folder_gets_the_same(emulator, tmp_path):
    log_dir = f"{emulator}/{tmp_path.name}/logs"
    with event_files._writer(log_dir, "test"):
        event_files.write_pr_curve(predictions(), 3)
    storage.fetch_dir(f"{log_dir}/test", str(tmp_path))
    assert [event.step for event in read(str(tmp_path)).Tensors("pr_curve")] == [3]
