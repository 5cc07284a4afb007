"""trainer.signatures: the entry points, asked before they are saved, against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.answers import NUM_TOP, Served
from trainer.label import Label
from trainer.serving import ServingInputs
from trainer.signatures import make_signatures

SPECS = {"a b": tf.TensorSpec([None], tf.float32), "v": tf.TensorSpec([None, 2], tf.float32)}
INPUTS = ServingInputs(
    dtypes={"a b": "float32", "v": "float32", "id": "string"},
    names={"a b": "a_b", "v": "v", "id": "id"},
    key="id",
    sizes={"v": 2},
)
NUMBERS = np.float32([0.5, -1.0, np.nan])
VECTORS = np.float32([[1, 2], [np.nan, np.nan], [0.25, -3]])
KEYS = ["r0", "", "r2"]


class SumEncoder(tf.Module):
    """The sum of what there is of the three numbers of a row."""

    serving_inputs = SPECS

    def __call__(self, raw):
        values_BN = tf.concat([raw["a b"][:, tf.newaxis], raw["v"]], axis=1)
        return tf.reduce_sum(tf.where(tf.math.is_nan(values_BN), 0.0, values_BN), axis=1)


SUMS = np.nansum(np.c_[NUMBERS, VECTORS], axis=1)


def answers(predict, *, thresholds=(), classes=(), is_calibrated=False, **label):
    """What both signatures say to the three rows, which is the same."""
    label = Label(**({} if "columns" in label else {"column": "y"}), **label)
    served = Served(INPUTS, label, thresholds, tuple(classes), is_calibrated)
    made = make_signatures(SumEncoder(), predict, served)
    columns = {"a_b": tf.constant(NUMBERS), "v": tf.constant(VECTORS), "id": tf.constant(KEYS)}
    found = {name: value.numpy() for name, value in made["serving_default"](columns).items()}
    examples = tf.constant([example(*row) for row in zip(NUMBERS, VECTORS, KEYS, strict=True)])
    again = made["serving_examples"](examples)
    assert set(again) == set(found)
    for name, values in found.items():
        np.testing.assert_array_equal(again[name].numpy(), values)
    assert found.pop("key").tolist() == [key.encode() for key in KEYS]
    return found


def example(number, vector, key):
    """A serialized tf.Example, in which what is missing is absent."""
    floats = {"a b": [] if np.isnan(number) else [number], "v": [v for v in vector if v == v]}
    feature = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
        for name, values in floats.items()
        if values
    }
    if key:
        feature["id"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[key.encode()]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def test_values_and_logits_of_one_column_become_the_score():
    found = answers(lambda sums: sums[:, tf.newaxis], task="regression")
    assert list(found) == ["prediction"]
    np.testing.assert_allclose(found["prediction"], SUMS)

    label = {"task": "binary", "positive": "yes"}
    found = answers(lambda sums: sums[:, tf.newaxis], thresholds=(0.3,), **label)
    probabilities = 1 / (1 + np.exp(-SUMS))
    np.testing.assert_allclose(found["probability"], probabilities, rtol=1e-6)
    expected = [b"yes" if p >= 0.3 else b"not yes" for p in probabilities]
    assert found["class"].tolist() == expected and len(set(expected)) == 2


def test_a_calibrated_model_also_serves_the_raw_score():
    found = answers(lambda sums: (sums / 2, sums), task="regression", is_calibrated=True)
    np.testing.assert_allclose(found["prediction"], SUMS / 2)
    np.testing.assert_allclose(found["raw_prediction"], SUMS)


def test_labels_have_a_threshold_each():
    found = answers(
        lambda sums: tf.stack([sums, -sums], axis=1),
        thresholds=(3.0, 2.0),
        classes=("a", "b"),
        task="multilabel",
        columns=["a", "b"],
    )
    np.testing.assert_array_equal(found["probabilities"], np.stack([SUMS, -SUMS], axis=1))
    assert found["is_positive"].tolist() == [[s >= 3, -s >= 2] for s in SUMS]
    assert found["is_positive"].any(axis=0).all()


@pytest.mark.parametrize("num_classes", [3, 1001])
def test_of_many_classes_the_top_is_served_with_raw_scores_in_its_places(num_classes):
    weights = np.random.default_rng(0).normal(size=num_classes).astype(np.float32)
    names = [f"k{i}" for i in range(num_classes)]
    found = answers(
        lambda sums: (tf.nn.softmax(sums[:, tf.newaxis] * weights), sums[:, tf.newaxis] * weights),
        classes=names,
        is_calibrated=True,
        task="multiclass",
    )
    logits = SUMS[:, np.newaxis] * weights
    shares = softmax(logits)
    best = shares.argmax(axis=1)
    assert found["class"].tolist() == [names[k].encode() for k in best]
    np.testing.assert_allclose(found["probability"], shares.max(axis=1), rtol=1e-5)
    if num_classes == 3:
        np.testing.assert_allclose(found["probabilities"], shares, rtol=1e-5)
        np.testing.assert_allclose(found["raw_probabilities"], logits, rtol=1e-5)
        return
    top = np.argsort(-logits, axis=1)[:, :NUM_TOP]
    assert found["top_classes"].tolist() == [[names[k].encode() for k in row] for row in top]
    expected = np.take_along_axis(shares, top, axis=1)
    np.testing.assert_allclose(found["top_probabilities"], expected, rtol=1e-5)
    expected = np.take_along_axis(logits, top, axis=1)
    np.testing.assert_allclose(found["raw_top_probabilities"], expected, rtol=1e-5)


def test_output_of_several_columns_is_refused():
    with pytest.raises(ValueError, match=r"\(B,\) or \(B, 1\); it gives \(None, 2\)"):
        answers(lambda sums: tf.stack([sums, sums], axis=1), task="regression")
