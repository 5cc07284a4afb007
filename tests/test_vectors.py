"""trainer.vectors: lists of numbers from text and from Arrow's lists."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from trainer.cells import ReadColumn
from trainer.errors import UserError
from trainer.reader import BadRows, Source, read_blocks
from trainer.vectors import list_vectors, text_vectors, vector_numbers

V = ReadColumn("v", "vector", size=2)
NUMBERS = [[0.1, -2e-3], None, [3.0, 4.0]]


def read(path, limit=0, column=V):
    bad_rows = BadRows(limit)
    source = Source(files=(str(path),), columns=(column,), null_values=("", "NA"))
    (block,) = read_blocks(source, bad_rows)
    return block.columns["v"], [e.removeprefix(str(path)) for e in bad_rows.examples]


@pytest.mark.parametrize(
    "text", ["[0.1, -2e-3]", "0.1;-2e-3", " 0.1  -2e-3 ", "0.1|-2e-3", "(0.1,-2e-3)", "0.1\t-.002"]
)
def test_text_is_split_at_any_of_the_usual_marks(text):
    vectors, problems = text_vectors(pa.array([text, "NA", "3 4", None]), V, ("NA",))

    assert problems == []
    np.testing.assert_array_equal(
        vector_numbers(vectors),
        np.float32([[0.1, -2e-3], [np.nan] * 2, [3, 4], [np.nan] * 2]),
    )
    assert vectors.is_valid().to_pylist() == [True, False, True, False]


def test_wrong_texts_are_told_beside_good_ones():
    texts = ["1 2 3", "1;x", "[]", "5,6", "1_0 2", "nan 1"]

    vectors, problems = text_vectors(pa.array(texts), V, ())

    assert [(problem.row, problem.reason) for problem in sorted(problems)] == [
        (0, "column v: 3 values instead of 2"),
        (1, "column v: '1;x' is not a list of numbers"),
        (2, "column v: 0 values instead of 2"),
        (4, "column v: '1_0 2' is not a list of numbers"),
    ]
    np.testing.assert_array_equal(
        vector_numbers(vectors)[[3, 5]], np.float32([[5, 6], [np.nan, 1]])
    )


@pytest.mark.parametrize(
    "of", [pa.float64(), pa.float32(), pa.int64()], ids=["float64", "float32", "int64"]
)
@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda of: pa.list_(of, 2)])
def test_lists_of_any_width_become_vectors(kind, of):
    lists = pa.array([[9, 9], [1, 2], None, [4, None]], kind(of))[1:]

    vectors, problems = list_vectors(lists, V)

    assert problems == []
    np.testing.assert_array_equal(
        vector_numbers(vectors), np.float32([[1, 2], [np.nan, np.nan], [4, np.nan]])
    )
    assert vectors.type == pa.list_(pa.float32(), 2)
    assert vector_numbers(vectors[2:]).tolist()[0][0] == 4.0


def test_csv_and_parquet_give_the_same_vectors_and_name_bad_rows(tmp_path):
    (tmp_path / "a.csv").write_text(
        "v,w\n0.1 -0.002,1\n,2\n3;4,3\n1;2;3,4\ninf;0,5\none,6\n", newline=""
    )
    rows = [*NUMBERS, [1.0, 2.0, 3.0], [np.inf, 0.0]]
    pa.parquet.write_table(pa.table({"v": rows}), tmp_path / "a.parquet")

    of_csv, csv_problems = read(tmp_path / "a.csv", 3)
    of_parquet, parquet_problems = read(tmp_path / "a.parquet", 2)

    assert of_csv.equals(of_parquet)
    assert of_csv.to_pylist() == [
        [np.float32(0.1), np.float32(-0.002)],
        None,
        [3.0, 4.0],
    ]
    assert csv_problems == [
        ":5 column v: 3 values instead of 2",
        ":6 column v: [inf, 0.0] is not finite",
        ":7 column v: 'one' is not a list of numbers",
    ]
    assert parquet_problems == [
        ":4 column v: 3 values instead of 2",
        ":5 column v: [inf, 0.0] is not finite",
    ]


def test_required_vector_and_other_types_are_refused(tmp_path):
    pa.parquet.write_table(pa.table({"v": NUMBERS}), tmp_path / "a.parquet")
    pa.parquet.write_table(pa.table({"v": [["a"]]}), tmp_path / "b.parquet")
    pa.parquet.write_table(pa.table({"v": [1.5]}), tmp_path / "c.parquet")

    _, problems = read(tmp_path / "a.parquet", 1, V._replace(required=True))

    assert problems == [":2 column v is missing"]
    for name, found in (("b", "list<element: string>"), ("c", "double")):
        with pytest.raises(UserError, match=f"type {found}, expected lists of 2 numbers"):
            read(tmp_path / f"{name}.parquet")
