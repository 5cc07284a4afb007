"""Random vectors and TFRecord files, whole and damaged: no traceback, and no row lost in silence.

python -m pytest tests/test_fuzz_formats.py --fuzz_examples=10000
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import damaged, fuzz, only_clear_errors
from trainer.cells import ReadColumn
from trainer.reader import BadRows, Source, read_blocks
from trainer.tfrecord_files import TFRecordFile
from trainer.vectors import text_vectors, vector_numbers

SIZE = 3
V = ReadColumn("v", "vector", size=SIZE)
COLUMNS = (ReadColumn("x", "float"), ReadColumn("n", "int"), ReadColumn("t", "string"), V)
LISTS = {"float_list": st.floats(width=32), "int64_list": st.integers(-(2**63), 2**63 - 1)}
BETWEEN = st.sampled_from([";", "|", " ", ", ", "  ", "\t"])
ENDS = st.sampled_from([("", ""), ("[", "]"), ("( ", " )"), (" ", " ")])


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@st.composite
def vector_cells(draw):
    """A text and what it means; None for a missing or a wrong one."""
    if draw(st.integers(0, 4)) == 0:
        return draw(
            st.sampled_from(["1;x;3", "NA", "[1 2 3", "1;;3", "one", "1,2,3,4", "[]"])
        ), None
    numbers = draw(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5))
    between, (before, after) = draw(BETWEEN), draw(ENDS)
    text = before + between.join(map(repr, numbers)) + after
    return text, numbers if len(numbers) == SIZE else None


@fuzz()
@given(cells=st.lists(vector_cells(), min_size=1, max_size=9))
def test_each_text_is_its_vector_or_a_problem_whatever_stands_beside_it(cells):
    texts = pa.array([text for text, _ in cells])

    vectors, problems = text_vectors(texts, V, ("NA",))

    is_bad = {problem.row for problem in problems}
    numbers = vector_numbers(vectors)
    for row, (text, expected) in enumerate(cells):
        if expected is not None:
            np.testing.assert_array_equal(numbers[row], np.float32(expected))
            assert row not in is_bad
        elif text in ("NA", "[1 2 3"):  # a bracket that is lost does no harm
            assert row not in is_bad
        else:
            assert row in is_bad and np.isnan(numbers[row]).all()


@st.composite
def records(draw):
    """A tf.Example of any lists for the columns, and whether each is fit for its column."""
    example, is_good = tf.train.Example(), True
    for column in COLUMNS:
        kind = draw(st.sampled_from(["float_list", "int64_list", "bytes_list", None]))
        if kind is None:
            continue
        values = st.text(max_size=5).map(str.encode) if kind == "bytes_list" else LISTS[kind]
        found = draw(st.lists(values, max_size=4))
        getattr(example.features.feature[column.name], kind).value.extend(found)
        numbers = kind != "bytes_list"
        if column.dtype == "vector":
            is_good &= numbers and len(found) in (0, SIZE) and not np.isinf(found).any()
        elif column.dtype == "string":
            is_good &= kind != "float_list" and len(found) < 2
        elif column.dtype == "float":
            is_good &= numbers and len(found) < 2 and not np.isinf(np.float32(found)).any()
        else:
            is_good &= numbers and len(found) < 2 and all(_is_whole(value) for value in found)
    return example.SerializeToString(), is_good


def _is_whole(value):
    if isinstance(value, int) or np.isnan(value):
        return True
    return bool(np.isfinite(value) and value == int(value) and -(2**63) <= value < 2**63)


def read(path):
    bad_rows = BadRows(10**6)
    source = Source(files=(str(path),), columns=COLUMNS, open_tfrecord=TFRecordFile)
    rows = [int(row) for block in read_blocks(source, bad_rows) for row in block.row_numbers]
    return rows, bad_rows.count


def write(path, examples):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)


@fuzz(0.5)
@given(found=st.lists(st.one_of(records(), st.just((b"\xff", False))), min_size=1, max_size=8))
def test_each_record_is_good_or_bad_whatever_stands_beside_it(folder, found):
    write(folder / "a.tfrecord", [example for example, _ in found])

    rows, num_bad = read(folder / "a.tfrecord")

    assert rows == [row for row, (_, is_good) in enumerate(found) if is_good]
    assert len(rows) + num_bad == len(found)


@fuzz(0.5)
@given(data=st.data(), found=st.lists(records(), min_size=1, max_size=5))
def test_damaged_bytes_are_clear_errors_or_a_file_of_whole_records(folder, data, found):
    write(folder / "b.tfrecord", [example for example, _ in found])
    content = data.draw(damaged([(folder / "b.tfrecord").read_bytes()]))
    (folder / "b.tfrecord").write_bytes(content)

    with only_clear_errors():
        rows, num_bad = read(folder / "b.tfrecord")
        # The checksums let nothing through but whole records of before.
        assert len(rows) + num_bad <= len(found)
