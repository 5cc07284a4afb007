"""Everything that a run makes from its data: statistics, the encoder, and encoded rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from trainer import storage
from trainer.blocks import DataPart, open_parts
from trainer.columns import Boolean, Datetime
from trainer.config import Config
from trainer.data_files import Part
from trainer.errors import UserError, listed, quoted
from trainer.features import FeatureEncoder
from trainer.memory_tables import DataFile
from trainer.row_cache import RowCache
from trainer.row_stores import Budget, RowStore, store_rows
from trainer.rows import RowLayout
from trainer.statistics import TableStatistics
from trainer.trained_embeddings import read_sources
from trainer.vocabularies import read_vocabularies

logger = logging.getLogger(__name__)

# Of which one is shown in a message.
_SHOWN_ROWS = 100
# Of a label, in a message.
_SHOWN_TEXTS = 10


class Datasets(NamedTuple):
    """Everything that is made from the data.

    Attributes:
        parts: reader of each part of the data that there is.
        statistics: of the training rows.
        vocabularies: tokens of the columns with a vocabulary_file.
        encoder: raw columns to features, for training and serving.
        layout: of a packed row.
        stores: encoded rows of each part.
    """

    parts: dict[Part, DataPart]
    statistics: TableStatistics
    vocabularies: dict[str, tuple[str, ...]]
    encoder: FeatureEncoder
    layout: RowLayout
    stores: dict[Part, RowStore]


def build_datasets(config: Config, files: dict[Part, tuple[DataFile, ...]]) -> Datasets:
    """Read each part of the data, learn the statistics, and encode every row once.

    Where another run has left the same in data.cache_dir, it is taken from there.
    """
    parts = open_parts(config, files)
    budget = Budget(
        config.data.memory_budget_mb, config.data.disk_budget_mb, config.data.scratch_dir
    )
    cache = RowCache(config, files, tf.__version__)
    cached = cache.load(budget)
    if cached is not None:
        statistics = cached.statistics
    elif config.data.statistics_path:
        statistics = _read_statistics(config.data.statistics_path)
    else:
        statistics = parts["train"].statistics()
    _check_positive(config, statistics, parts["train"])
    for part in parts.values():
        part.know_classes(statistics)
    vocabularies = read_vocabularies(config)
    encoder = FeatureEncoder(
        config, statistics, config.model.embedding_dim, vocabularies, read_sources(config)
    )
    stores = _encode(config, parts, encoder, budget) if cached is None else cached.stores
    _check_readable(config, encoder, stores["train"], parts["train"])
    for part in parts.values():
        part.reader.release()
    _log_data(stores, parts)
    if cached is None:
        readers = {id(part.reader): part.reader for part in parts.values()}
        cache.save(statistics, stores, [reader.bad_rows for reader in readers.values()])
    layout = RowLayout(
        encoder.layout.num_ids, len(encoder.layout.numbers), parts["train"].num_labels
    )
    return Datasets(parts, statistics, vocabularies, encoder, layout, stores)


def _encode(
    config: Config, parts: dict[Part, DataPart], encoder: FeatureEncoder, budget: Budget
) -> dict[Part, RowStore]:
    stores: dict[Part, RowStore] = {}
    for name, part in parts.items():
        num_units = len(part.reader.units)
        stores[name] = store_rows(part.packed(encoder), num_units, config.data.storage, budget)
        if not stores[name].num_rows:
            is_split = getattr(config.data, f"{name}_fraction", 0) > 0
            hint = f"; a larger data.{name}_fraction may hold out some" if is_split else ""
            raise UserError(f"the {name} data has no usable row, or all have weight 0{hint}")
    return stores


def _check_positive(config: Config, statistics: TableStatistics, part: DataPart) -> None:
    """Raise UserError where no training row has the positive class, with what they have."""
    label = config.label
    if label.positive is None or statistics.label is None or statistics.label.maximum:
        return
    texts = next(part.blocks()).columns[label.name].unique().to_pylist()
    raise UserError(
        f"label.positive {label.positive!r} is in none of the {statistics.num_rows} training rows "
        f"of {label.name!r}, which have {listed(map(repr, texts[:_SHOWN_TEXTS]))}"
    )


def _check_readable(
    config: Config, encoder: FeatureEncoder, rows: RowStore, part: DataPart
) -> None:
    """Raise UserError where no training row has a time, or true or false, in a column of such.

    Their texts are read by a format, and what does not fit it counts as missing.
    """
    features = {name: [name] for name in config.of_kind(Boolean)}
    times = config.of_kind(Datetime)
    features |= {name: [f"{name}.{part}" for part in c.parts] for name, c in times.items()}
    places = {feature.name: place for place, feature in encoder.layout.placed_ids}
    unread = {name: [places[f] for f in found] for name, found in features.items() if found}
    for chunk in rows.in_order():
        unread = {name: found for name, found in unread.items() if not chunk[:, found].any()}
        if not unread:
            return
    name = next(iter(unread))
    raw = config.columns[name].source or name
    texts = [row[raw] for row in part.sample(_SHOWN_ROWS)[0] if row[raw] is not None]
    wanted = f"columns.{name}.format {times[name].format!r}" if name in times else "true or false"
    raise UserError(
        f"no training value of {raw!r} is {wanted}; "
        + (f"received {quoted(texts[0])} and the like" if texts else "all are missing")
        + (". Set the format" if name in times else ". Make it categorical")
        + ", or drop the column"
    )


def _log_data(stores: Mapping[Part, RowStore], parts: Mapping[Part, DataPart]) -> None:
    """How many rows each part has, where they stay, and what could not be read."""
    for name, store in stores.items():
        logger.info("%s: %d rows in %s", name, store.num_rows, store.kind)
    for bad_rows in {id(p.reader): p.reader.bad_rows for p in parts.values()}.values():
        if bad_rows.count:
            logger.warning(
                "%d bad rows are left out: %s", bad_rows.count, "; ".join(bad_rows.examples)
            )


def _read_statistics(path: str) -> TableStatistics:
    try:
        return TableStatistics.from_json(storage.read_text(path))
    except UserError as error:
        raise UserError(f"data.statistics_path {path}: {error}") from error
