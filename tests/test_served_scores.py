import csv

import numpy as np
from comparison_table import make_config

from trainer import model
from trainer.compare.contenders import open_rows
from trainer.compare.served_scores import served_scores


def test_scores_are_the_logits_of_the_served_probabilities(tmp_path):
    """By hand: each row of the file through the signature, missing values as a server has them."""
    import tensorflow as tf

    config, _ = make_config(tmp_path, num_rows=120)
    model.train_and_evaluate(config)
    parts, rows = open_rows(config, None)

    scores = served_scores(str(tmp_path / "run" / "model"), parts["test"])

    serve = tf.saved_model.load(str(tmp_path / "run" / "model")).signatures["serving_default"]
    specs = serve.structured_input_signature[1]
    expected = []
    for row in csv.DictReader((tmp_path / "test.csv").open()):
        feed = {}
        for name, spec in specs.items():
            text = row[name]
            if spec.dtype == tf.float32:
                feed[name] = tf.constant([float(text) if text else np.nan])
            elif spec.dtype == tf.int64:
                feed[name] = tf.constant([int(text)], tf.int64)
            else:
                feed[name] = tf.constant([text])
        probability = float(serve(**feed)["probability"][0])
        expected.append(np.log(probability / (1 - probability)))
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert len(scores) == len(rows.label) == 60
