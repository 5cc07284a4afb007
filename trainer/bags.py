"""Texts of several values: how they are split, for statistics, training and serving alike.

Imports tallies, Arrow and TensorFlow; knows no schema. Axes: B rows, V distinct texts, S slots.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import tensorflow as tf

from trainer.tallies import Bag

# What separates words: neither letter nor digit, nor a mark that belongs to the letter before it
# (the vowels of Hindi and Thai, and accents that are characters of their own).
_BETWEEN_WORDS = r"[^\pL\pM\pN]+"


def split_values(text_V: tf.Tensor, delimiter: str) -> tf.RaggedTensor:
    """The values of each text, (V, any) strings: without blanks around them, and none empty.

    Blanks are those of ASCII. 0.5 us a row of 4 values (2-core AMD EPYC VM, November 2026).
    """
    values = tf.strings.split(text_V, delimiter)
    values = values.with_flat_values(tf.strings.strip(values.flat_values))
    return tf.ragged.boolean_mask(values, tf.not_equal(values, ""))


def split_ngrams(text_V: tf.Tensor, ngrams: int) -> tf.RaggedTensor:
    """The n-grams of each text, (V, any) strings, joined by a blank: all words, then all pairs ...

    "Red wine, red" has `red`, `wine`, `red`, `red wine`, `wine red`. Lower case is that of Unicode.
    3 us a row of 10 words, most of them for the search of words (2-core AMD EPYC VM, November
    2026).
    """
    # Lowered last: that ends at a NUL, which by then is gone.
    apart = tf.strings.regex_replace(text_V, _BETWEEN_WORDS, " ")
    words = tf.strings.split(tf.strings.lower(apart, encoding="utf-8"))
    return words if ngrams == 1 else tf.strings.ngrams(words, tuple(range(1, ngrams + 1)))


def to_slots(ids: tf.RaggedTensor, num_slots: int) -> tf.Tensor:
    """(V, S) int32: the first ids of each text, then 0."""
    return tf.cast(ids.to_tensor(0, shape=[None, num_slots]), tf.int32)


class BagReader:
    """Blocks of texts, each text split once. Any number of threads may use it.

    Not a tf.Module: what it compiles is no part of the exported model.
    """

    def __init__(self, decode: Callable[[tf.Tensor], tf.Tensor | tf.RaggedTensor]):
        """`decode` is of (V,) strings, each text by itself."""
        self._split = decode

    def slots(self, column: pa.Array) -> np.ndarray:
        """(B, S) of what `decode` makes, (V, S), of (B,) Arrow strings; null is ''."""
        texts, positions = _distinct(column)
        return self._decode(texts).numpy().take(positions, axis=0)

    @functools.cached_property
    def _decode(self) -> Callable[[tf.Tensor], tf.Tensor | tf.RaggedTensor]:
        # A concrete function: of many columns' functions TensorFlow would warn as of one retraced.
        signature = [tf.TensorSpec([None], tf.string)]
        function = tf.function(self._split, input_signature=signature, autograph=False)
        return function.get_concrete_function()

    def bag(self, column: pa.Array, has_values: bool) -> Bag:
        """What `decode` makes, (V, any) strings, as statistics count it."""
        texts, positions = _distinct(column)
        values = self._decode(texts)
        tokens = None
        if has_values:
            tokens = pa.array(values.flat_values.numpy(), pa.binary()).cast(pa.string())
        return Bag(
            num_rows=np.bincount(positions, minlength=len(texts)),
            lengths=values.row_lengths().numpy(),
            values=tokens,
        )


def _distinct(column: pa.Array) -> tuple[tf.Tensor, np.ndarray]:
    """The texts of a block, (V,) strings, and which of them each row has, (B,)."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    encoded = column.fill_null("").dictionary_encode()
    texts = encoded.dictionary.to_numpy(zero_copy_only=False)
    return tf.constant(texts, tf.string), encoded.indices.to_numpy()
