"""trainer.token_memory against a dict."""

import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import token_memory
from trainer.token_memory import MAX_WORDS, TokenMemory


class Numbering:
    """Gives each new token the next number, and keeps the account of what it was asked."""

    def __init__(self):
        self.numbers = {}
        self.asked = []

    def __call__(self, tokens):
        self.asked += tokens.to_pylist()
        found = [self.numbers.setdefault(t, len(self.numbers)) for t in tokens.to_pylist()]
        return np.array(found, np.int64)


TOKENS = st.text("ab\0", max_size=9) | st.text(max_size=4) | st.text("x", min_size=30, max_size=35)


@settings(deadline=None)
@given(st.lists(st.lists(TOKENS, max_size=40), max_size=6), st.sampled_from([0, 3, 1000]))
def test_each_token_has_its_own_number(blocks, max_tokens):
    compute = Numbering()
    memory = TokenMemory(compute, np.int64, max_tokens)
    for block in blocks:
        found = memory(pa.array(["unused", *block], pa.string())[1:]).tolist()
        assert found == [compute.numbers[token] for token in block]


def test_a_token_is_computed_once():
    compute = Numbering()
    memory = TokenMemory(compute)
    tokens = [f"{n}-{'y' * (n % 20)}" for n in range(5000)]
    for _ in range(2):
        for start in range(0, 5000, 700):
            memory(pa.array(tokens[start : start + 700]))
    memory(pa.array(["3-yyy"]))  # without the longer ones beside it
    assert compute.asked == tokens
    assert memory(pa.array(tokens[::-1])).tolist() == list(range(4999, -1, -1))


def test_texts_of_many_words_and_tokens_beyond_the_most_are_computed_each_time():
    compute = Numbering()
    memory = TokenMemory(compute, max_tokens=2)
    longest = "z" * (8 * MAX_WORDS - 1)
    for _ in range(2):
        memory(pa.array([longest + "z"]))
        memory(pa.array([longest]))
        memory(pa.array(["a"]))
        memory(pa.array(["b"]))
    assert compute.asked == [longest + "z", longest, "a", "b", longest + "z", "b"]


def test_tokens_of_equal_hash_stay_apart(monkeypatch):
    monkeypatch.setattr(token_memory, "_hash", lambda words: np.zeros(words.shape[1], np.uint64))
    compute = Numbering()
    memory = TokenMemory(compute)
    for _ in range(3):
        found = memory(pa.array(["p", "q", "p", "r", "pq"])).tolist()
        assert found == [compute.numbers[t] for t in ["p", "q", "p", "r", "pq"]]


def test_threads_share_it():
    memory = TokenMemory(lambda tokens: np.array([int(t) for t in tokens.to_pylist()]))
    rng = np.random.default_rng(0)
    blocks = [rng.integers(0, 3000, 500) for _ in range(60)]
    wrong = []

    def look_up(part):
        wrong.extend(
            i for i, b in part if memory(pa.array(b.astype(str).tolist())).tolist() != b.tolist()
        )

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [
            threading.Thread(target=look_up, args=(list(enumerate(blocks))[n::3],))
            for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_nothing_and_empty_texts(texts):
    compute = Numbering()
    assert TokenMemory(compute)(pa.array(texts, pa.string())).tolist() == [0] * len(texts)


def test_the_same_dictionary_again_gives_the_same():
    memory = TokenMemory(Numbering())
    for tokens in (["a", "b"], ["a", "b"], ["b", "a"], ["b", "a"], ["a"]):
        found = memory.of_dictionary(pa.array(tokens))
        assert found.tolist() == ["ab".index(token) for token in tokens]


def test_texts_that_come_many_times_are_asked_for_once():
    compute = Numbering()
    texts = ["b", "a", None, "b", "long " * 8, "a", "long " * 8]
    found = TokenMemory(compute)(pa.array(texts)).tolist()
    assert compute.asked == ["b", "a", "", "long " * 8]
    assert [found[i] for i in (0, 1, 3, 4, 5, 6)] == [0, 1, 0, 3, 1, 3]
