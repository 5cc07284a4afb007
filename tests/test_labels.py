"""trainer.labels: cells to labels, and the rows that have none."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.cells import Problem, ReadColumn
from trainer.label import Label
from trainer.labels import LabelEncoder, read_label, split_labels, with_classes
from trainer.statistics import StatisticsBuilder


def label_of(task, column="y", **options):
    return Label(column=None if "columns" in options else column, task=task, **options)


def as_dictionary(texts):
    return pa.array(texts).dictionary_encode()


@pytest.mark.parametrize("texts", [pa.array, as_dictionary])
def test_a_class_is_its_number(texts):
    encoder = LabelEncoder(label_of("multiclass"), ["b", "a", "10"])
    labels = encoder.encode({"y": texts(["a", "10", "b", "a"])})
    assert (labels.dtype, labels.tolist()) == (np.float32, [[1], [2], [0], [1]])
    assert encoder.num_labels == 1


@pytest.mark.parametrize("texts", [pa.array, as_dictionary])
def test_a_class_that_training_has_not_is_a_problem(texts):
    encoder = LabelEncoder(label_of("multiclass"), ["b", "a"])
    advice = (
        'A right class that no training row has must be stated: label.classes: ["b", "a", "c", "d"]'
    )
    assert encoder.problems({"y": texts(["a", "c", "b", "d", "c"])}) == [
        Problem(row, f"label y: {text!r} is no class of the training rows", advice)
        for row, text in ((1, "c"), (3, "d"), (4, "c"))
    ]


def test_of_very_many_classes_the_advice_has_none():
    encoder = LabelEncoder(label_of("multiclass"), [str(i) for i in range(40)])
    (problem,) = encoder.problems({"y": pa.array(["x"])})
    assert problem.advice.endswith("label.classes: [...]")


def test_before_the_classes_are_known_every_text_is_one():
    assert LabelEncoder(label_of("multiclass")).problems({"y": pa.array(["a"])}) == []


def test_soft_labels_are_the_columns_and_add_up_to_1():
    encoder = LabelEncoder(label_of("multiclass", columns=("a", "b", "c")))
    rows = np.array([[0.2, 0.3, 0.5], [0.2, 0.3, 0.502], [1, 0, 0], [0.1, 0.1, 0.1]], np.float32)
    columns = {name: pa.array(rows[:, i]) for i, name in enumerate("abc")}
    np.testing.assert_array_equal(encoder.encode(columns), rows)
    assert encoder.problems(columns) == [
        Problem(1, "label a, b, c: adds up to 1.002, not to 1"),
        Problem(3, "label a, b, c: adds up to 0.3, not to 1"),
    ]
    assert encoder.num_labels == 3


def test_labels_of_a_cell_are_split_trimmed_and_taken_once():
    cells = pa.array(["a|b", "", None, " b |a|b", "|c|"])
    tokens = split_labels(cells, "|")
    found = sorted(zip(tokens.rows.tolist(), tokens.texts.to_pylist(), strict=True))
    assert found == [(0, "a"), (0, "b"), (3, "a"), (3, "b"), (4, "c")]


@pytest.mark.parametrize("texts", [pa.array, as_dictionary])
def test_delimited_labels_are_0_or_1_for_each(texts):
    encoder = LabelEncoder(label_of("multilabel", delimiter=";"), ["b", "a"])
    labels = encoder.encode({"y": texts(["a;b", "", "b", "a;a"])})
    assert labels.tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]
    problems = encoder.problems({"y": texts(["a;z;c", "", "b"])})
    assert [(p.row, p.reason.split(" is ")[0]) for p in problems] == [(0, "label y: 'z'")]


def test_several_columns_of_0_and_1_are_the_labels():
    encoder = LabelEncoder(label_of("multilabel", columns=("a", "b")))
    columns = {"a": pa.array([0.0, 1.0], pa.float32()), "b": pa.array([1.0, 1.0], pa.float32())}
    assert encoder.encode(columns).tolist() == [[0, 1], [1, 1]]
    assert encoder.problems(columns) == []


def test_a_regression_may_be_learned_as_its_logarithm():
    encoder = LabelEncoder(label_of("regression", transform="log1p"))
    labels = encoder.encode({"y": pa.array([0.0, 1e6, -0.5], pa.float32())})
    np.testing.assert_allclose(labels[:, 0], np.log([1.0, 1e6 + 1, 0.5]), rtol=1e-7)


def test_the_positive_text_is_1():
    encoder = LabelEncoder(label_of("binary", positive="yes"))
    assert encoder.encode({"y": as_dictionary(["no", "yes", "?"])}).tolist() == [[0], [1], [0]]


REQUIRED = {"required": True, "role": "label"}
POSITIVE = (
    "A label of other texts than 0 and 1 needs label.positive, the text of its positive class: "
    'positive: "yes"'
)
PLAIN = (
    "label.task regression needs plain numbers such as 1234.5; classes are of task binary, with "
    "label.positive, or multiclass"
)
TWO = ("a", "b")


@pytest.mark.parametrize(
    ("label", "columns"),
    [
        (label_of("regression"), [ReadColumn("y", "float", advice=PLAIN, **REQUIRED)]),
        (
            label_of("binary"),
            [ReadColumn("y", "float", allowed=("0", "1"), advice=POSITIVE, **REQUIRED)],
        ),
        (label_of("binary", positive="b"), [ReadColumn("y", "dictionary", **REQUIRED)]),
        (label_of("multiclass"), [ReadColumn("y", "dictionary", **REQUIRED)]),
        (
            label_of("multiclass", classes=TWO),
            [ReadColumn("y", "dictionary", allowed=TWO, **REQUIRED)],
        ),
        (
            label_of("multiclass", columns=TWO),
            [ReadColumn(name, "float", minimum=0, maximum=1, **REQUIRED) for name in TWO],
        ),
        (
            label_of("multilabel", columns=TWO),
            [ReadColumn(name, "float", allowed=("0", "1"), **REQUIRED) for name in TWO],
        ),
        (label_of("multilabel"), [ReadColumn("y", "string", role="label", delimiter="|")]),
    ],
)
def test_cells_are_read_by_the_task(label, columns):
    assert list(read_label(label, is_count=False)) == columns


def test_counts_are_not_negative_and_logarithms_end_above_minus_1():
    (count,) = read_label(label_of("regression"), is_count=True)
    assert count.minimum == 0
    (log,) = read_label(label_of("regression", transform="log1p"), is_count=False)
    assert -1 < log.minimum < -0.9999999
    assert np.isfinite(np.log1p(np.float32(log.minimum)))


def counted(label, cells):
    encoder = LabelEncoder(label)
    builder = StatisticsBuilder(encoder.number_columns, encoder.counted_columns, None)
    columns = {name: encoder.tokens_of(column) for name, column in cells.items()}
    builder.add(columns, np.arange(len(next(iter(cells.values()))), dtype=np.uint64))
    return with_classes(label, builder.finalize())


def test_classes_are_counted_the_most_frequent_first_then_by_text():
    found = counted(label_of("multiclass"), {"y": pa.array(list("bacbcd"))})
    assert found.classes == (("b", 2), ("c", 2), ("a", 1), ("d", 1))
    assert (found.tokens, found.missing_tokens, found.label) == ({}, {}, None)


def test_stated_classes_keep_their_order_also_without_rows():
    label = label_of("multiclass", classes=("x", "b", "a"))
    assert counted(label, {"y": pa.array(["a", "b", "a"])}).classes == (
        ("x", 0),
        ("b", 1),
        ("a", 2),
    )


def test_labels_of_cells_are_counted_once_a_row():
    found = counted(label_of("multilabel"), {"y": pa.array(["a|b", "b|b", "", "c"])})
    assert found.classes == (("b", 2), ("a", 1), ("c", 1))


def test_probabilities_are_added_up():
    columns = {"a": pa.array([0.25, 1.0]), "b": pa.array([0.75, 0.0])}
    found = counted(label_of("multiclass", columns=TWO), columns)
    assert found.classes == (("a", 1.25), ("b", 0.75))
    assert found.numbers == {}
    assert found.from_json(found.to_json()) == found
