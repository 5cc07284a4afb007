"""The embeddings and wide weights that an exported model has learned, by feature and value.

Read from the SavedModel's variables, and named through the encoder and the plans of tables that the
model was built by, so that no place of a row is written down twice. Imports features, the plans of
tables and storage; must not build a network.

Axes: V ids of a feature, E embedding width, O outputs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from trainer import storage
from trainer.columns import EmbeddedColumn
from trainer.config import Config, parse_config
from trainer.errors import UserError, nearest
from trainer.feature_names import FeatureNames
from trainer.features import FeatureEncoder, FeatureLayout
from trainer.initial_rows import TrainedColumn
from trainer.statistics import TableStatistics
from trainer.table_plans import TablePlan, deep_plans, wide_plans
from trainer.yaml_text import load_yaml


class LearnedRows(NamedTuple):
    """What stands for each id of a feature.

    names: V texts: its value, or in brackets what it is.
    rows: (V, E) or (V, O) float32.
    """

    names: tuple[str, ...]
    rows: np.ndarray


class LearnedTables:
    """The rows of each feature in the tables of a model.

    Attributes:
        embeddings: (V, E) by feature, of those that have one.
        wide_weights: (V, O) by feature with ids.
    """

    def __init__(self, layout: FeatureLayout, variables: Mapping[str, np.ndarray]):
        """Cut the tables by the plans that the network was built by.

        Args:
            layout: of the model's features.
            variables: its tables, and the bias of the wide part, by name: `embedding_8/table`.
        """
        self.embeddings = _rows_of(deep_plans(layout), variables)
        # The width of the wide part's tables is that of its bias.
        bias = variables.get("wide/bias")
        self.wide_weights = (
            {} if bias is None else _rows_of(wide_plans(layout, len(bias)), variables)
        )


class TrainedEmbeddings:
    """The tables of an exported model."""

    def __init__(self, path: str):
        """Read what the model was made by, and its variables.

        Args:
            path: folder of a complete run, or of an exported model; local, gs:// or /gcs/.

        Raises:
            UserError: there is no model of this trainer.
        """
        self.model_dir, self.config = read_model_config(path)
        self.encoder = read_encoder(self.model_dir, self.config)[0]
        self._tables = LearnedTables(self.encoder.layout, _read_variables(self.model_dir))
        self._names = FeatureNames(self.config, self.encoder)

    def embeddings(self) -> dict[str, LearnedRows]:
        """The embedding of each feature that has one."""
        return self._named(self._tables.embeddings)

    def wide_weights(self) -> dict[str, LearnedRows]:
        """The weights of the wide part of each feature with ids."""
        return self._named(self._tables.wide_weights)

    def _named(self, tables: Mapping[str, np.ndarray]) -> dict[str, LearnedRows]:
        return {name: LearnedRows(self._names.all_of(name), rows) for name, rows in tables.items()}

    def column(self, name: str) -> TrainedColumn:
        """What the model has learned of a column.

        Raises:
            UserError: the column has no embedding of its own name.
        """
        embeddings = self._tables.embeddings
        encoders = {f.name: e for e in self.encoder.encoders for f in e.id_features}
        if name not in embeddings or name not in encoders:
            raise UserError(
                f"the model in {self.model_dir} has no column {name!r} with an embedding"
                f"{nearest(name, embeddings)}; it has {', '.join(embeddings) or 'none'}"
            )
        return TrainedColumn(encoders[name], embeddings[name], f"column {name} of {self.model_dir}")


def _rows_of(
    plans: Sequence[TablePlan], variables: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    found = {}
    for plan in plans:
        # A model of one part has the tables of that part only.
        table = variables.get(f"{plan.name}/table")
        if table is not None:
            for (_, feature), section in zip(plan.features, plan.sections, strict=True):
                found[feature.name] = table[section.start : section.stop]
    return found


def read_model_config(path: str) -> tuple[str, Config]:
    """The folder of the exported model in a folder, and the config that it was made by.

    Args:
        path: folder of a complete run, or of an exported model; local, gs:// or /gcs/.

    Raises:
        UserError: there is no model of this trainer.
    """
    model_dir = path
    if not storage.exists(storage.join(path, "saved_model.pb")):
        model_dir = storage.join(path, "model")
    config_path = storage.join(model_dir, "assets.extra", "config.yaml")
    if not storage.exists(config_path):
        raise UserError(
            f"{path} has no model of this trainer: {config_path} does not exist. Give the folder "
            "of a complete run, or of an exported model"
        )
    text = storage.read_text(config_path)
    return model_dir, parse_config(load_yaml(text, config_path), config_path, is_written=True)


def read_encoder(model_dir: str, config: Config) -> tuple[FeatureEncoder, TableStatistics]:
    """The encoder of an exported model, and the statistics of the rows that it was trained on.

    Args:
        model_dir: folder of the exported model.
        config: that it was made by, see `read_model_config`.
    """
    path = storage.join(model_dir, "assets.extra")
    statistics = TableStatistics.from_json(storage.read_text(storage.join(path, "statistics.json")))
    vocabularies = {}
    if storage.exists(storage.join(path, "vocabularies.json")):
        texts = json.loads(storage.read_text(storage.join(path, "vocabularies.json")))
        vocabularies = {name: tuple(tokens) for name, tokens in texts.items()}
    encoder = FeatureEncoder(config, statistics, config.model.embedding_dim, vocabularies)
    return encoder, statistics


def read_sources(config: Config) -> dict[str, TrainedColumn]:
    """What the columns with init_from begin with, by column; each model is read once.

    Raises:
        UserError: a model or its column is not there.
    """
    models: dict[str, TrainedEmbeddings] = {}
    sources = {}
    for name, column in config.of_kind(EmbeddedColumn).items():
        if column.init_from is None:
            continue
        path = column.init_from.model
        try:
            if path not in models:
                models[path] = TrainedEmbeddings(path)
            sources[name] = models[path].column(column.init_from.column)
        except UserError as error:
            raise UserError(f"columns.{name}.init_from: {error}") from error
    return sources


def with_widths(config: Config, layout: FeatureLayout) -> Config:
    """The config with the widths that embeddings took from other models.

    So the model can be understood without those models.
    """
    widths = {feature.name: feature.embedding_dim for feature in layout.ids}
    columns = dict(config.columns)
    for name, column in config.of_kind(EmbeddedColumn).items():
        if column.init_from is not None:
            columns[name] = column.model_copy(update={"embedding_dim": widths[name]})
    return config.model_copy(update={"columns": columns})


def _read_variables(model_dir: str) -> dict[str, np.ndarray]:
    """The variables of a SavedModel by their names in the network, `embedding_8/table`."""
    with tempfile.TemporaryDirectory() as scratch_dir:
        folder = storage.join(model_dir, "variables")
        if storage.is_remote(folder):
            storage.fetch_dir(folder, scratch_dir)
            folder = scratch_dir
        reader = tf.train.load_checkpoint(f"{folder}/variables")
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        keys = {
            attribute.full_name: attribute.checkpoint_key
            for node in graph.nodes
            for attribute in node.attributes
            if attribute.full_name.endswith("/table") or attribute.full_name == "wide/bias"
        }
        return {name: reader.get_tensor(key) for name, key in keys.items()}
