"""Contender: Keras FeatureSpace in the input pipeline, make_csv_dataset and `fit`.

A cross of FeatureSpace takes two categories, so cells of the map are made before it. The wide part
looks its weights up: the one-hot vectors that FeatureSpace can give cost half of the speed.

python feature_space.py CSV_PATTERN BATCH_SIZE
"""

import sys

import columns
import course_features
import keras
import tensorflow as tf

# Crosses that are left to FeatureSpace, of ids that it is given.
SPACE_CROSSES = {
    "day_of_week_x_hour": ("day_of_week", "hour"),
    "trip_cells": ("pickup_cell", "dropoff_cell"),
}
BATCHES_TO_ADAPT = 100


def make_space() -> keras.utils.FeatureSpace:
    """The features, not adapted yet."""
    kinds = keras.utils.FeatureSpace
    features = {name: kinds.float_normalized() for name in columns.SCALES}
    features |= {
        name: kinds.integer_categorical(output_mode="int", max_tokens=size + 1)
        for name, size in columns.COURSE_SIZES.items()
        if name not in SPACE_CROSSES
    }
    crosses = [
        kinds.cross(parts, crossing_dim=columns.COURSE_SIZES[name], output_mode="int")
        for name, parts in SPACE_CROSSES.items()
    ]
    return kinds(features, crosses=crosses, output_mode="dict")


def space_inputs(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What FeatureSpace reads: (B,) numbers, and ids but for its own crosses."""
    ids, numbers = course_features.ids_and_numbers(raw)
    return {**numbers, **{n: i for n, i in ids.items() if n not in SPACE_CROSSES}}


def model_inputs(encoded: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The outputs of FeatureSpace, (B, 1) each, by the names of the model's inputs."""
    crossed = {"_X_".join(parts): name for name, parts in SPACE_CROSSES.items()}
    inputs = {}
    for name, values in encoded.items():
        flat = tf.reshape(values, [-1])
        inputs[crossed.get(name, name)] = (
            flat if name in columns.SCALES else tf.cast(flat, tf.int32)
        )
    return inputs


def main(argv: list[str]) -> int:
    """Train without end."""
    path, batch_size = argv[0], int(argv[1])
    raw = course_features.read_csv(path, batch_size).map(
        lambda raw, label: (space_inputs(raw), label), tf.data.AUTOTUNE
    )
    space = make_space()
    space.adapt(raw.map(lambda inputs, label: inputs).take(BATCHES_TO_ADAPT))
    dataset = raw.map(
        lambda inputs, label: (model_inputs(space(inputs)), label), tf.data.AUTOTUNE
    ).prefetch(tf.data.AUTOTUNE)
    model = course_features.wide_and_deep(one_hot=False, spare_ids=1)
    course_features.fit_forever(model, dataset, batch_size)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
