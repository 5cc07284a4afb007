"""trainer.label: what a label may state."""

import pytest
from pydantic import ValidationError

from trainer.label import Label


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"task": "binary"}, "give column or columns, one of them"),
        ({"task": "multilabel", "column": "y", "columns": ["a", "b"]}, "give column or columns"),
        ({"task": "binary", "columns": ["a", "b"]}, "columns has a meaning only with task: multi"),
        ({"task": "multilabel", "columns": ["a"]}, r"columns must be two or more, each once"),
        (
            {"task": "multiclass", "column": "y", "classes": ["a", "b", "a"]},
            r"classes must be two or more, each once; received \['a', 'b', 'a'\]",
        ),
        ({"task": "multiclass", "column": "y", "positive": "a"}, "positive has a meaning only"),
        ({"task": "binary", "column": "y", "classes": ["a", "b"]}, "classes has a meaning only"),
        (
            {"task": "multiclass", "columns": ["a", "b"], "classes": ["a", "b"]},
            "classes has a meaning only with column",
        ),
        ({"task": "multiclass", "column": "y", "delimiter": "|"}, "delimiter has a meaning only"),
        (
            {"task": "multilabel", "columns": ["a", "b"], "delimiter": ";"},
            "delimiter has a meaning",
        ),
        ({"task": "binary", "column": "y", "transform": "log1p"}, "transform has a meaning only"),
        ({"task": "classification", "column": "y"}, "must be binary, of two classes, or multicl"),
        ({"task": "binary", "column": "y", "positive": True}, "must be text; received True. Put y"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(label, message):
    with pytest.raises(ValidationError, match=message):
        Label.model_validate(label)


def test_classes_that_are_numbers_are_texts():
    assert Label(column="y", task="multiclass", classes=[0, 1, 2]).classes == ("0", "1", "2")


def test_a_positive_class_that_is_a_number_is_its_text():
    assert Label(column="y", task="binary", positive=1).class_values == ("not 1", "1")


def test_names_are_of_one_column_or_all():
    assert Label(column="y", task="binary").name == "y"
    several = Label(columns=("a", "b"), task="multilabel")
    assert (several.name, several.raw_columns) == ("a, b", ("a", "b"))


def test_labels_in_a_cell_are_parted_by_a_bar():
    assert Label(column="y", task="multilabel").separator == "|"
    assert Label(column="y", task="multilabel", delimiter="; ").separator == "; "
