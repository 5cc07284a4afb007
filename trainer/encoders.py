"""What every column encoder has, and how Arrow columns reach TensorFlow. Knows no kind of column.

Axes: B batch, W bytes of a text.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.column_base import embedding_width
from trainer.columns import Combiner, EmbeddedColumn, Tower
from trainer.scaling import Scaling
from trainer.token_memory import TokenMemory
from trainer.transforms import MISSING_TIME
from trainer.vectors import vector_numbers


@dataclass(frozen=True)
class IdFeature:
    """An id in [0, size), or several; `embedding_dim` 0 keeps it out of the deep part.

    slots: columns of ids that it takes in a row. Of several, those that are not used have id 0 and
        count nothing, but a row without any id looks up id 0 once.
    combiner: how the rows of several ids become one, in both parts.
    shared: features of one such name have one embedding; "": its own.
    frozen: whether the embedding stays as it is.
    """

    name: str
    size: int
    wide: bool
    embedding_dim: int
    slots: int = 1
    combiner: Combiner = "mean"
    shared: str = ""
    frozen: bool = False


@dataclass(frozen=True)
class NumberFeature:
    """A number; `piecewise_edges` are the bounds of its bins, in its own unit, () for no bins."""

    name: str
    wide: bool
    deep: bool
    piecewise_edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Number:
    """How the values of one number become features; `number_bank.NumberBank` does it.

    name: of the number, its scaled value and its bucket.
    clip: bounds of its values, None for none.
    fill: replaces a missing value, before scaling.
    scaling: of what is then there.
    has_missing, has_zero: whether there is a number `<name>.missing` and `<name>.zero`.
    edges: of its buckets; None for no id.
    """

    name: str
    clip: tuple[float, float] | None = None
    fill: float = 0.0
    scaling: Scaling = field(default_factory=Scaling)
    has_missing: bool = False
    has_zero: bool = False
    edges: tuple[float, ...] | None = None


@dataclass
class Features:
    """(B,) int32 ids and (B,) float32 numbers by feature name."""

    ids: dict[str, tf.Tensor] = field(default_factory=dict)
    numbers: dict[str, tf.Tensor] = field(default_factory=dict)

    def update(self, other: Features) -> None:
        """Take in what `other` has."""
        self.ids |= other.ids
        self.numbers |= other.numbers


class Encoder(tf.Module):
    """One column of the schema: raw columns -> decoded -> features.

    Decoding is the work on strings, which training does on distinct values only; encoding is
    arithmetic on (B,) numbers. `id_features` also lists ids that no tower sees, for crosses.
    `numbers` are encoded with those of all columns at once; `encode` gives the other features.
    """

    id_features: Sequence[IdFeature] = ()
    number_features: Sequence[NumberFeature] = ()
    numbers: Sequence[Number] = ()

    @abstractmethod
    def decode(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Tensors that `encode` needs, from (B,) raw columns."""

    @abstractmethod
    def decode_block(self, columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """The same from Arrow columns, as arrays or tensors."""

    def values(self, decoded: Mapping[str, tf.Tensor]) -> Sequence[tf.Tensor]:
        """(B,) float32 of each of `numbers`, from what `decode` gave; NaN where missing."""
        return ()

    def encode(self, decoded: Mapping[str, tf.Tensor]) -> Features:
        """Features from what `decode` gave, without those of `numbers`."""
        return Features()

    def tokens(self) -> Sequence[str]:
        """Texts of the last ids, where there is one feature of ids and these have texts."""
        return ()

    @abstractmethod
    def describe(self) -> list[str]:
        """One line per feature, for people."""


def id_feature(
    name: str,
    size: int,
    *,
    towers: Sequence[Tower],
    embedding_dim: int | str,
    default: int | str,
    **options: Any,
) -> IdFeature:
    """The feature of `size` ids in its towers.

    Args:
        name: of the feature.
        size: number of ids.
        towers: parts of the model that see it.
        embedding_dim: the column's own width, or auto for the default.
        default: width of embeddings that do not state one, see `embedding_width`.
    """
    dim = embedding_width(size, embedding_dim, default) if "deep" in towers else 0
    return IdFeature(name, size, "wide" in towers, dim, **options)


def embedding_options(column: EmbeddedColumn) -> dict[str, Any]:
    """What `id_feature` takes of a column whose embedding may be another's."""
    return {
        "towers": column.towers,
        "embedding_dim": column.embedding_dim,
        "shared": column.shared_embedding or "",
        "frozen": column.init_from is not None and not column.init_from.trainable,
    }


def describe_ids(feature: IdFeature, origin: str) -> str:
    """`hour: 25 ids (24 hours); wide, embedding 3`."""
    parts = ["wide"] if feature.wide else []
    if feature.embedding_dim:
        shared = f" shared as {feature.shared}" if feature.shared else ""
        frozen = ", frozen" if feature.frozen else ""
        parts.append(f"embedding {feature.embedding_dim}{shared}{frozen}")
    if feature.slots > 1:
        parts.append(f"{feature.combiner} of up to {feature.slots}")
    return f"{feature.name}: {feature.size} ids ({origin}); {', '.join(parts) or 'crosses only'}"


def to_floats(column: pa.Array) -> np.ndarray:
    """(B,) float32, of vectors (B, n); NaN where null."""
    if pa.types.is_fixed_size_list(column.type):
        return vector_numbers(column)
    if column.type != pa.float32():
        column = column.cast(pa.float32())
    if column.null_count:
        column = column.fill_null(float("nan"))
    return column.to_numpy()


def to_integers(column: pa.Array) -> np.ndarray:
    """(B,) int64, MISSING_TIME where null or, in a column of floats, NaN or infinite."""
    if pa.types.is_floating(column.type):
        values = column.fill_null(float("nan")).to_numpy()
        return integers_of_floats(tf.constant(values)).numpy()
    return column.cast(pa.int64()).fill_null(int(MISSING_TIME)).to_numpy()


def integers_of_floats(values_B: tf.Tensor) -> tf.Tensor:
    """(B,) int64 of floats, cut to whole numbers, MISSING_TIME where not finite."""
    is_finite = tf.math.is_finite(values_B)
    whole = tf.cast(tf.where(is_finite, values_B, tf.zeros_like(values_B)), tf.int64)
    return tf.where(is_finite, whole, MISSING_TIME)


def integer_tensor(values_B: tf.Tensor) -> tf.Tensor:
    """(B,) int64; a raw column that another column reads as float arrives as float."""
    return integers_of_floats(values_B) if values_B.dtype.is_floating else values_B


def remembered(decode: Callable[[tf.Tensor], tf.Tensor], dtype: npt.DTypeLike) -> TokenMemory:
    """`decode`, (V,) strings to (V,) integers of `dtype`, computed once for each string."""

    def compute(tokens: pa.Array) -> np.ndarray:
        decoded: np.ndarray = decode(
            tf.constant(tokens.to_numpy(zero_copy_only=False), tf.string)
        ).numpy()
        return decoded

    return TokenMemory(compute, dtype)


def take_decoded(column: pa.Array, memory: TokenMemory, missing: int) -> np.ndarray:
    """What `memory` has for the texts of a column, (B,) integers; `missing` where null.

    Args:
        column: (B,) Arrow strings, plain or dictionary-encoded.
        memory: as `remembered` gives it.
        missing: what null becomes.
    """
    if not pa.types.is_dictionary(column.type):
        decoded = memory(column)
        if column.null_count:
            bits = np.frombuffer(column.buffers()[0], np.uint8)
            end = column.offset + len(column)
            is_valid = np.unpackbits(bits, count=end, bitorder="little")[column.offset :]
            np.putmask(decoded, is_valid == 0, missing)
        return decoded
    decoded = memory.of_dictionary(column.dictionary)
    positions = column.indices
    if positions.null_count:
        decoded = np.append(decoded, np.array(missing, decoded.dtype))
        positions = positions.fill_null(len(decoded) - 1)
    return decoded.take(positions.to_numpy())


def fixed_width_bytes(column: pa.Array, width: int) -> np.ndarray:
    """The first bytes of each text, (B, width) uint8; short and null ones are padded with spaces.

    Where all texts are equally long, as dates are, this is a view of Arrow's own buffer.
    """
    if len(column) and not column.null_count and column.type == pa.string():
        offsets = np.frombuffer(column.buffers()[1], np.int32)
        offsets = offsets[column.offset : column.offset + len(column) + 1]
        length = int(offsets[1] - offsets[0])
        if length >= width and np.all(np.diff(offsets) == length):
            data = np.frombuffer(column.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
            return data.reshape(len(column), length)[:, :width]
    texts = column.fill_null("").cast(pa.binary())
    texts = pc.binary_join_element_wise(texts, pa.scalar(b" " * width, pa.binary()), b"")
    texts = pc.binary_slice(texts, 0, width)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    start = int(offsets[0])
    return data[start : start + len(texts) * width].reshape(len(texts), width)
