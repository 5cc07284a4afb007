"""The features of COURSE by TensorFlow, and a Keras wide-and-deep over them, for three contenders.

Axes: B rows.
"""

from __future__ import annotations

import columns
import keras
import tensorflow as tf
from pacer import Pacer

# Days before each month of a year that begins in March, with February at its end.
_DAYS_BEFORE_MONTH = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337]


def ids_and_numbers(raw: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Int32 ids and scaled float32 numbers, (B,) each, of raw columns (B,)."""
    ids = _date_parts(raw[columns.DATE])
    for name, source in columns.BUCKETS.items():
        ids[name] = tf.searchsorted(columns.EDGES[source], raw[source], side="right")
    for name, parts in columns.CROSSES.items():
        ids[name] = cross([ids[part] for part in parts], parts)
    east = raw["dropoff_longitude"] - raw["pickup_longitude"]
    north = raw["dropoff_latitude"] - raw["pickup_latitude"]
    numbers = {name: raw[name] for name in columns.NUMBERS}
    numbers["distance"] = tf.sqrt(east * east + north * north)
    for name, (mean, deviation) in columns.SCALES.items():
        numbers[name] = (numbers[name] - mean) / deviation
    return ids, numbers


def cross(ids: list[tf.Tensor], parts: tuple[str, ...]) -> tf.Tensor:
    """The id of the combination."""
    combined = tf.zeros_like(ids[0])
    for part, part_ids in zip(parts, ids, strict=True):
        combined = combined * columns.COURSE_SIZES[part] + part_ids
    return combined


def _date_parts(texts: tf.Tensor) -> dict[str, tf.Tensor]:
    """Day of the week, Monday 0, and hour of `2009-06-08 07:24:16 UTC`."""

    def field(start: int, width: int) -> tf.Tensor:
        return tf.strings.to_number(tf.strings.substr(texts, start, width), tf.int32)

    month = (field(5, 2) + 9) % 12
    year = field(0, 4) - month // 10
    days = year * 365 + year // 4 - year // 100 + year // 400
    days += tf.gather(_DAYS_BEFORE_MONTH, month) + field(8, 2)
    # 2000-03-01 was a Wednesday.
    return {"day_of_week": (days + 1) % 7, "hour": field(11, 2)}


def wide_and_deep(*, one_hot: bool, spare_ids: int = 0) -> keras.Model:
    """The functional model over what `ids_and_numbers` gives.

    Args:
        one_hot: whether the wide part multiplies one-hot vectors, as the course teaches it, or
            looks its weights up, as one does who knows better.
        spare_ids: that every id space has besides its own.
    """
    sizes = {name: size + spare_ids for name, size in columns.COURSE_SIZES.items()}
    ids = {n: keras.Input((), name=n, dtype="int32") for n in sizes}
    numbers = {n: keras.Input((), name=n) for n in columns.SCALES}
    if one_hot:
        wide = [
            keras.layers.CategoryEncoding(size, output_mode="one_hot")(ids[name][:, None])
            for name, size in sizes.items()
        ]
        wide_logit = keras.layers.Dense(1)(keras.layers.Concatenate()(wide))
    else:
        weights = [keras.layers.Embedding(size, 1)(ids[name]) for name, size in sizes.items()]
        wide_logit = keras.layers.Add()(weights)
    deep = [keras.layers.Reshape((1,))(number) for number in numbers.values()]
    deep += [
        keras.layers.Embedding(sizes[name], columns.EMBEDDING_DIM)(ids[name])
        for name in columns.EMBEDDED
    ]
    hidden = keras.layers.Concatenate()(deep)
    for units in columns.HIDDEN_UNITS:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    logit = keras.layers.Add()([wide_logit, keras.layers.Dense(1)(hidden)])
    model = keras.Model([*ids.values(), *numbers.values()], logit)
    model.compile("adam", "mse", metrics=[keras.metrics.RootMeanSquaredError()])
    return model


def model_inputs(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Ids and numbers by the names of the model's inputs."""
    ids, numbers = ids_and_numbers(raw)
    return {**ids, **numbers}


class Ticks(keras.callbacks.Callback):
    """Batches of `fit` as ticks."""

    def __init__(self, pacer: Pacer, batch_size: int):
        """Count `batch_size` examples a batch."""
        super().__init__()
        self._pacer, self._batch_size = pacer, batch_size

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """One batch more."""
        self._pacer.tick(self._batch_size)


def read_csv(path: str, batch_size: int) -> tf.data.Dataset:
    """Shuffled batches of raw columns and labels, without end: what Keras' guides read CSV with."""
    return tf.data.experimental.make_csv_dataset(
        path,
        batch_size,
        column_names=list(columns.FIELDS),
        column_defaults=[0.0, "", *[0.0] * len(columns.NUMBERS)],
        select_columns=list(columns.FIELDS[:-1]),
        label_name=columns.LABEL,
        header=False,
        shuffle=True,
        num_epochs=None,
        prefetch_buffer_size=tf.data.AUTOTUNE,
    )


def fit_forever(model: keras.Model, dataset: tf.data.Dataset, batch_size: int) -> None:
    """Train until the benchmark has what it wants."""
    pacer = Pacer()
    model.fit(
        dataset,
        steps_per_epoch=1_000_000_000,
        verbose=0,
        callbacks=[Ticks(pacer, batch_size)],
    )
