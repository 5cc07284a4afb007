"""Contender: the course's own way of reading, row by row, before the same Keras model.

Each line of text is split and converted by a function that is mapped over single rows; the rows are
shuffled, and batched last. The wide part looks its weights up: what is measured is the reading.

python row_parsing.py CSV_PATTERN BATCH_SIZE
"""

import sys

import columns
import course_features
import tensorflow as tf

SHUFFLED_ROWS = 1000


def parse_row(line: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """The raw columns of a line, scalars, and its label."""
    fields = tf.strings.split(line, ",")
    raw = {
        name: tf.strings.to_number(fields[columns.FIELDS.index(name)]) for name in columns.NUMBERS
    }
    raw[columns.DATE] = fields[columns.FIELDS.index(columns.DATE)]
    return raw, tf.strings.to_number(fields[columns.FIELDS.index(columns.LABEL)])


def main(argv: list[str]) -> int:
    """Train without end."""
    path, batch_size = argv[0], int(argv[1])
    dataset = (
        tf.data.TextLineDataset(sorted(tf.io.gfile.glob(path)))
        .map(parse_row)
        .shuffle(SHUFFLED_ROWS)
        .repeat()
        .batch(batch_size)
        .map(lambda raw, label: (course_features.model_inputs(raw), label))
        .prefetch(1)
    )
    model = course_features.wide_and_deep(one_hot=False)
    course_features.fit_forever(model, dataset, batch_size)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
