"""trainer.rows: packing bit for bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.rows import RowLayout, labels_of, pack_rows, weights_of

BITS = st.integers(0, 2**32 - 1)


def as_floats(bits):
    return np.array(bits, np.uint32).view(np.float32)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(0, 5), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_packed_words_are_the_inputs_bit_for_bit(data, num_rows, num_ids, num_numbers, num_labels):
    """Any 32 bits survive: NaN payloads, signed zeros, infinities, denormals."""

    def words(*shape):
        size = int(np.prod(shape))
        drawn = data.draw(st.lists(BITS, min_size=size, max_size=size))
        return np.array(drawn, np.uint32).reshape(shape)

    ids, numbers = words(num_rows, num_ids), words(num_rows, num_numbers)
    labels, weight = words(num_rows, num_labels), words(num_rows)
    rows = pack_rows(
        ids.view(np.int32),
        numbers.view(np.float32),
        labels.view(np.float32),
        weight.view(np.float32),
    )
    assert rows.dtype == np.int32
    assert rows.shape == (num_rows, RowLayout(num_ids, num_numbers, num_labels).width)
    expected = np.concatenate([ids, numbers, labels, weight[:, None]], axis=1)
    assert rows.tobytes() == expected.tobytes()
    assert labels_of(rows, num_labels).tobytes() == labels.tobytes()
    assert weights_of(rows).tobytes() == weight.tobytes()


def test_signalling_nan_keeps_its_payload():
    payload = as_floats([0x7FA12345, 0xFFC00001])
    rows = pack_rows(np.zeros((2, 1), np.int32), payload[:, None], payload[:, None], payload)
    assert rows[:, 1:].view(np.uint32).tolist() == [[0x7FA12345] * 3, [0xFFC00001] * 3]
