"""The rows that an embedding begins with, from those of another model, value by value.

Imports encoders; must not read files. Axes: V ids of a column, E embedding width.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.bag_encoders import MultiHotEncoder
from trainer.encoders import Encoder
from trainer.errors import UserError
from trainer.id_encoders import CategoricalEncoder, IdentityEncoder
from trainer.vocabularies import Vocabulary

logger = logging.getLogger(__name__)


class TrainedColumn(NamedTuple):
    """What a model has learned of a column.

    encoder: of its values to its ids.
    rows: (V, E) float32, one for each of these ids.
    origin: model and column, for messages.
    """

    encoder: Encoder
    rows: np.ndarray
    origin: str


def initial_rows(name: str, encoder: Encoder, source: TrainedColumn) -> np.ndarray:
    """(V, E) float32: for each id of a column the row that the other model has for its value.

    A value that it does not know gets the row of its out-of-vocabulary bucket, missing that of
    missing, and out-of-vocabulary bucket i the row of its bucket i modulo its number of them.

    Args:
        name: of the column.
        encoder: of its values to its ids.
        source: the other model's column.

    Raises:
        UserError: the ids of the two columns are of different kinds.
    """
    mine, theirs = encoder, source.encoder
    if isinstance(mine, IdentityEncoder) and isinstance(theirs, IdentityEncoder):
        ids = np.arange(mine.id_features[0].size)
        places = np.where(ids < len(source.rows), ids, 0)
        num_values, num_known = len(ids) - 1, int((places[1:] > 0).sum())
    elif (ours := _vocabulary(mine)) is not None and (other := _vocabulary(theirs)) is not None:
        places, num_values, num_known = _places(name, ours, other, source.origin)
    else:
        raise UserError(
            f"columns.{name}.init_from: its ids are of another kind than those of {source.origin}; "
            "expected two columns of categories or tags, or two of kind identity"
        )
    logger.info("%s: %d of %d values are known to %s", name, num_known, num_values, source.origin)
    return source.rows[places]


def _vocabulary(encoder: Encoder) -> Vocabulary | None:
    is_one = isinstance(encoder, CategoricalEncoder | MultiHotEncoder)
    return encoder.vocabulary if is_one else None


def _places(
    name: str, mine: Vocabulary, theirs: Vocabulary, origin: str
) -> tuple[np.ndarray, int, int]:
    """The other's id for each of mine; how many values I have, and how many it knows."""
    is_hashed = not len(mine.tokens)
    if is_hashed and (len(theirs.tokens) or theirs.num_buckets != mine.num_buckets):
        raise UserError(
            f"columns.{name}.init_from: its {mine.num_buckets} hash buckets can begin only with as "
            f"many; {origin} has {theirs.describe()}. Use a vocabulary"
        )
    buckets = 1 + np.arange(mine.num_buckets) % theirs.num_buckets
    known = np.zeros(0, int)
    if not is_hashed:
        known = theirs.ids_of(tf.constant(mine.tokens, tf.string)).numpy()
    places = np.concatenate([[0], buckets, known])
    if is_hashed:
        return places, len(buckets), len(buckets)
    first = 1 + theirs.num_buckets if len(theirs.tokens) else 1
    return places, len(known), int((known >= first).sum())
