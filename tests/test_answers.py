"""trainer.answers: the outputs of each task."""

import json

import numpy as np
import pytest

from trainer.answers import MOST_PROBABILITIES, Served, response_json
from trainer.label import Label
from trainer.serving import ServingInputs

INPUTS = ServingInputs({"size": "float32", "id": "string"}, {"size": "size", "id": "id"}, "id")
ROW = {"size": 1.5, "id": "a"}


def test_response_of_one_output_is_the_bare_value():
    label = Label(column="fare", task="regression")
    served = Served(INPUTS._replace(key=None), label, (0.5,))
    assert json.loads(
        response_json([ROW], served.answers(np.array([np.float32(12.1)])), served)
    ) == {"predictions": [12.1]}


def test_response_of_a_binary_model_has_probability_class_and_key():
    label = Label(column="income", task="binary", positive=">50K")
    served = Served(INPUTS, label, (0.25,))
    text = response_json([ROW, ROW], served.answers(np.array([0.25, 0.125])), served)
    assert json.loads(text)["predictions"] == [
        {"probability": 0.25, "class": ">50K", "key": "a"},
        {"probability": 0.125, "class": "not >50K", "key": "a"},
    ]


def test_class_without_a_text_is_0_or_1():
    served = Served(INPUTS, Label(column="tip", task="binary"), (0.7,))
    # 0.7 in float32 is below 0.7 in float64: the served float32 score still reaches it.
    scores = np.array([0.69, float(np.float32(0.7)), 0.71])
    assert served.decisions(scores) == {"class": [0, 1, 1]}


def test_one_class_of_several_has_all_probabilities():
    served = Served(
        INPUTS, Label(column="kind", task="multiclass"), (0.5,), classes=("cat", "dog", "eel")
    )
    scores = np.array([[0.125, 0.625, 0.25], [0.5, 0.5, 0.0]])
    assert json.loads(response_json([ROW, ROW], served.answers(scores), served))["predictions"] == [
        {"class": "dog", "probability": 0.625, "probabilities": [0.125, 0.625, 0.25], "key": "a"},
        {"class": "cat", "probability": 0.5, "probabilities": [0.5, 0.5, 0.0], "key": "a"},
    ]


@pytest.mark.parametrize("num_classes", [MOST_PROBABILITIES, MOST_PROBABILITIES + 1])
def test_of_many_classes_the_ten_most_probable_are_served(num_classes):
    classes = tuple(f"c{k}" for k in range(num_classes))
    served = Served(INPUTS, Label(column="y", task="multiclass"), (0.5,), classes)
    scores = np.zeros((1, num_classes))
    scores[0, 7:18] = np.arange(11) / 55
    (answer,) = served.answers(scores)
    assert answer["class"] == "c17" and answer["probability"] == 10 / 55
    if num_classes == MOST_PROBABILITIES:
        assert len(answer["probabilities"]) == num_classes
        return
    assert answer["top_classes"] == [f"c{k}" for k in range(17, 7, -1)]
    assert answer["top_probabilities"] == [k / 55 for k in range(10, 0, -1)]


def test_any_of_several_labels_has_a_decision_for_each():
    label = Label(columns=("a", "b"), task="multilabel")
    served = Served(INPUTS._replace(key=None), label, (0.25,), ("a", "b"))
    assert served.answers(np.array([[0.25, 0.125]])) == [
        {"probabilities": [0.25, 0.125], "is_positive": [True, False]}
    ]


def test_a_calibrated_model_serves_its_raw_probability_too():
    label = Label(column="tip", task="binary")
    served = Served(INPUTS._replace(key=None), label, (0.5,), is_calibrated=True)
    (answer,) = served.answers(np.array([0.25]), np.array([0.75]))
    assert answer == {"probability": 0.25, "class": 0, "raw_probability": 0.75}


def test_each_label_has_its_threshold():
    label = Label(columns=("a", "b"), task="multilabel")
    served = Served(INPUTS, label, (0.25, 0.75), ("a", "b"), is_calibrated=True)
    (answer,) = served.answers(np.array([[0.5, 0.5]]), np.array([[0.4, 0.6]]))
    assert answer["is_positive"] == [True, False]
    assert answer["raw_probabilities"] == [0.4, 0.6]


def test_raw_probabilities_of_the_most_probable_classes_are_in_their_places():
    classes = tuple(f"c{k}" for k in range(MOST_PROBABILITIES + 1))
    served = Served(INPUTS, Label(column="y", task="multiclass"), (), classes, True)
    scores, raw = np.zeros((1, len(classes))), np.zeros((1, len(classes)))
    scores[0, 3:13], raw[0, 3:13] = np.arange(10) / 45, np.arange(10) / 90
    (answer,) = served.answers(scores, raw)
    assert answer["top_classes"][0] == "c12"
    assert answer["raw_top_probabilities"] == (np.arange(10)[::-1] / 90).tolist()
