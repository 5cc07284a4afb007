"""trainer.init.target_kind: the task that the values of the target ask for."""

import numpy as np
import pyarrow as pa
import pytest

from trainer.errors import UserError
from trainer.init.target_kind import choose_target, find_target
from trainer.insight.column_profile import profile_column


def target(texts, task=None, positive=None):
    return choose_target(profile_column("y", pa.array(texts)), task, positive)


def test_zeros_and_ones_are_binary_without_a_positive_text():
    found = target(["0", "1", "1", ""])
    assert found.label == {"column": "y", "task": "binary"}
    assert found.values[:3].tolist() == [0, 1, 1] and found.num_missing == 1


@pytest.mark.parametrize(
    ("texts", "positive"),
    [
        (["yes", "no", "yes"], "yes"),
        (["False", "True", "True"], "True"),
        (["healthy", "sick", "healthy"], "sick"),  # the rarer one
        ([" <=50K.", " >50K.", " <=50K."], " >50K."),
        (["2", "1", "1"], "2"),
        (["-1", "1", "1"], "1"),
    ],
)
def test_two_values_are_binary_and_one_of_them_is_positive(texts, positive):
    found = target(texts)
    assert found.label == {"column": "y", "task": "binary", "positive": positive}
    assert found.values.tolist() == [float(text == positive) for text in texts]


def test_one_class_against_the_rest():
    found = target(["a", "b", "c", "a"], positive="a")
    assert found.values.tolist() == [1, 0, 0, 1]
    assert found.label["positive"] == "a"


def test_several_texts_are_classes_judged_by_the_most_frequent():
    found = target(["b", "c", "a", "b", "c", "", "b"])
    assert found.label == {"column": "y", "task": "multiclass", "classes": ["b", "c", "a"]}
    assert (found.label_task, found.task) == ("multiclass", "binary")
    np.testing.assert_array_equal(found.values, [1, 0, 0, 1, 0, np.nan, 1])
    assert found.class_counts == (3, 2, 1)
    assert "3 different texts; the columns are judged by how they tell 'b'" in found.reason


def test_whole_numbers_are_classes_where_the_user_says_so():
    found = target(["3", "1", "2", "2"], task="multiclass")
    assert found.label == {"column": "y", "task": "multiclass", "classes": ["2", "1", "3"]}


def test_a_long_list_of_classes_is_not_stated():
    found = target([f"t{k}" for k in range(101)], task="multiclass")
    assert found.label == {"column": "y", "task": "multiclass"}


def test_numbers_are_a_regression_and_few_whole_ones_are_said():
    assert target(["1.5", "2", "7"]).task == "regression"
    few = target(["1", "2", "3", "3"])
    assert few.task == "regression" and "3 whole numbers (1, 2, 3), taken for amounts" in few.reason
    forced = target(["0", "1", "1"], task="regression")
    assert forced.task == "regression" and forced.values.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["", "NA"], {}, "'y' is missing in every row"),
        (["7", "7", ""], {}, "'y' is '7' in every row"),
        (["a", "b", "c"], {"task": "binary"}, "has 3 different texts .*binary needs two, or --pos"),
        ([f"t{k}" for k in range(101)], {}, "has 101 different texts .* more than 100; if they"),
        (["a", "b", "a"], {"task": "multiclass"}, "has two values; multiclass needs three"),
        (["a", "b", "c"], {"positive": "a", "task": "multiclass"}, "only with --task=binary"),
        (["a", "b", "1"], {"task": "regression"}, "has texts such as 'a'; regression needs"),
        (["1", "2", "3"], {"task": "binary"}, "has 3 values; binary needs 0 and 1"),
        (["a", "b"], {"positive": "B"}, "has no value 'B'"),
        (["a", "b"], {"positive": "a", "task": "regression"}, "only with --task=binary"),
    ],
)
def test_targets_that_are_no_good_are_refused(texts, options, message):
    with pytest.raises(UserError, match=message):
        target(texts, **options)


def test_target_is_found_by_name_or_number():
    assert find_target("b", ("a", "b")) == "b"
    assert find_target("2", ("a", "b")) == "b"
    assert find_target("2", ("2", "b")) == "2"
    for wrong in ("0", "3"):
        with pytest.raises(UserError, match=f"no column '{wrong}'"):
            find_target(wrong, ("a", "b"))
    with pytest.raises(UserError, match=r"did you mean 'income'\?; the columns are income, b"):
        find_target("incme", ("income", "b"))


def test_missing_targets_stay_missing():
    found = target(["yes", "", "no", "NA"])
    assert np.isnan(found.values).tolist() == [False, True, False, True]
    assert found.num_missing == 2
