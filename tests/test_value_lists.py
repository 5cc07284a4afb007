"""trainer.value_lists: lists as joined texts."""

import pyarrow as pa
import pytest

from trainer.value_lists import is_list, join_lists


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.string())])
def test_lists_become_texts(kind):
    lists = pa.array([["a", "b c"], None, [], [None], ["d", None, "e"]], kind)
    sliced = lists[1:]

    assert join_lists(lists, lists.flatten(), "|", "t")[0].to_pylist() == [
        "a|b c",
        None,
        "",
        "",
        "d||e",
    ]
    assert join_lists(sliced, sliced.flatten(), ", ", "t")[0].to_pylist() == [
        None,
        "",
        "",
        "d, , e",
    ]


def test_a_value_with_the_delimiter_within_makes_a_bad_row():
    lists = pa.array([["a"], ["b", "c|d", "|"], [], ["e|"]])
    _, problems = join_lists(lists, lists.flatten(), "|", "tags")
    assert [p.row for p in problems] == [1, 3]
    assert problems[0].reason == (
        "tags: the value 'c|d' has the delimiter '|' within; give the column another one"
    )


def test_lists_of_lists_are_no_lists_of_values():
    assert is_list(pa.list_(pa.int64()))
    assert not is_list(pa.list_(pa.list_(pa.string())))
    assert not is_list(pa.string())
