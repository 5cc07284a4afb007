"""Contender: a Keras functional wide-and-deep with one-hot wide part, make_csv_dataset and `fit`.

python plain_keras.py CSV_PATTERN BATCH_SIZE
"""

import sys

import course_features
import tensorflow as tf


def main(argv: list[str]) -> int:
    """Train without end."""
    path, batch_size = argv[0], int(argv[1])
    dataset = course_features.read_csv(path, batch_size).map(
        lambda raw, label: (course_features.model_inputs(raw), label), tf.data.AUTOTUNE
    )
    model = course_features.wide_and_deep(one_hot=True)
    course_features.fit_forever(model, dataset.prefetch(tf.data.AUTOTUNE), batch_size)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
